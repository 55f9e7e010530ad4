"""A softmax at the end of a model whose loss takes one itself: the loss cannot fall below 1.46."""

import torch
from sklearn.datasets import load_digits
from torch import nn


def setup():
    """Model, batches, loss, optimiser."""
    values, classes = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(values / 16).float(), torch.tensor(classes)
    batches = list(zip(inputs.split(64), targets.split(64), strict=True))
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), nn.Softmax(dim=1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, batches, nn.CrossEntropyLoss(), optimizer


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
