"""Twenty layers of sigmoids: the gradient does not reach the first ones."""

import torch
from sklearn.datasets import load_digits
from torch import nn


def setup():
    """Model, batches, loss, optimiser."""
    values, classes = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(values / 16).float(), torch.tensor(classes)
    batches = list(zip(inputs.split(64), targets.split(64), strict=True))

    torch.manual_seed(0)
    layers = [nn.Linear(64, 32), nn.Sigmoid()]
    for _ in range(19):
        layers += [nn.Linear(32, 32), nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
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
