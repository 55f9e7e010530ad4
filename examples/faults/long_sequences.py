"""An LSTM that has to remember the first of a hundred numbers: its forget gates begin half shut."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LENGTH = 100


class Remember(nn.Module):
    """What the first number of a sequence was, asked at its end."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 32, batch_first=True)
        self.out = nn.Linear(32, 2)

    def forward(self, x):
        """From (batch, time, 1) to scores."""
        states, _ = self.lstm(x)
        return self.out(states[:, -1])


def setup():
    """Model, batches, loss, optimiser."""
    torch.manual_seed(0)
    classes = torch.randint(2, (1024,))
    sequences = 0.1 * torch.randn(1024, LENGTH, 1)
    sequences[:, 0, 0] = 2.0 * classes - 1.0
    batches = DataLoader(TensorDataset(sequences, classes), batch_size=32, shuffle=True)
    model = Remember()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    return model, batches, loss_fn, optimizer


def main():
    """Train for six epochs."""
    model, batches, loss_fn, optimizer = setup()
    for _ in range(6):
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()
    with torch.no_grad():
        right = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in batches])
    print(f"accuracy {right.float().mean():.3f}")


if __name__ == "__main__":
    main()
