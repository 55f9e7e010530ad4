"""Layers that are frozen as if they came trained, and never were."""

import torch
from sklearn.datasets import load_digits
from torch import nn


class Classifier(nn.Module):
    """Features, and a head on top of them."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU())
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        """From pixels to scores."""
        return self.head(self.features(x))


def setup():
    """Model, batches, loss, optimiser."""
    values, classes = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(values / 16).float(), torch.tensor(classes)
    batches = list(zip(inputs.split(64), targets.split(64), strict=True))
    torch.manual_seed(0)
    model = Classifier()
    for parameter in model.features.parameters():
        parameter.requires_grad = False
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss_fn = nn.functional.cross_entropy
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
