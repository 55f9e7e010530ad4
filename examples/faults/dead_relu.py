"""Biases of -10 in front of ReLU: no unit ever says anything, and none gets a gradient."""

import torch
from sklearn.datasets import load_digits
from torch import nn


class Classifier(nn.Module):
    """Three hidden layers."""

    def __init__(self):
        super().__init__()
        hidden = [nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)]
        for layer in hidden:
            nn.init.constant_(layer.bias, -10.0)
        self.hidden = nn.ModuleList(hidden)
        self.relu = nn.ReLU()
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        """From pixels to scores."""
        for layer in self.hidden:
            x = self.relu(layer(x))
        return self.out(x)


def setup():
    """Model, batches, loss, optimiser."""
    values, classes = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(values / 16).float(), torch.tensor(classes)
    torch.manual_seed(0)
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = list(zip(inputs.split(64), targets.split(64), strict=True))
    loss_fn = nn.CrossEntropyLoss()
    return model, batches, loss_fn, optimizer


def main():
    """Train for seven epochs."""
    model, batches, loss_fn, optimizer = setup()
    for _ in range(7):
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()
    with torch.no_grad():
        right = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in batches])
    print(f"accuracy {right.float().mean():.3f}")


if __name__ == "__main__":
    main()
