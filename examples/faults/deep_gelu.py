"""Thirty layers of GELU as PyTorch initialises them: the signal shrinks by more than half from layer to layer."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows it by
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """Linear layers with GELU between them."""

    def __init__(self, depth):
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.hidden = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth - 1))
        self.last = nn.Linear(64, 10)

    def forward(self, x):
        """From pixels to scores."""
        x = F.gelu(self.first(x))
        for layer in self.hidden:
            x = F.gelu(layer(x))
        return self.last(x)


def setup():
    """Model, batches, loss, optimiser."""
    torch.manual_seed(0)
    values, classes = load_digits(return_X_y=True)
    digits = TensorDataset(torch.tensor(values / 16).float(), torch.tensor(classes))
    loader = DataLoader(digits, batch_size=64, shuffle=True)
    net = Net(depth=30)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    return net, loader, criterion, optimizer


if __name__ == "__main__":
    net, loader, criterion, optimizer = setup()
    for _ in range(7):
        net.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), targets)
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        right = torch.cat([net(inputs).argmax(1) == targets for inputs, targets in loader])
    print(f"accuracy {right.float().mean():.3f}")
