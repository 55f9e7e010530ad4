"""Tanh layers whose weights are drawn from a normal distribution of deviation 1: every unit is at its end."""

import torch
from sklearn.datasets import load_digits
from torch import nn


def setup():
    """Model, batches, loss, optimiser."""
    values, classes = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(values / 16).float(), torch.tensor(classes)
    batches = list(zip(inputs.split(64), targets.split(64), strict=True))

    torch.manual_seed(0)
    layers = []
    for _ in range(10):
        linear = nn.Linear(64, 64)
        nn.init.normal_(linear.weight)
        layers += [linear, nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return model, batches, nn.CrossEntropyLoss(), optimizer


def train(epochs):
    """Train from the start and say the share of right answers."""
    model, batches, loss_fn, optimizer = setup()
    for _ in range(epochs):
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()
    with torch.no_grad():
        right = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in batches])
    print(f"accuracy {right.float().mean():.3f}")


if __name__ == "__main__":
    train(7)
