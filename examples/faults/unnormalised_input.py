"""Measurements in their own units, from 0.003 to 4254, as they are: the largest one drowns the others."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def setup():
    """Model, batches, loss, optimiser."""
    torch.manual_seed(0)
    values, classes = load_breast_cancer(return_X_y=True)
    cells = TensorDataset(torch.tensor(values).float(), torch.tensor(classes))
    batches = DataLoader(cells, batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(30, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loss_fn = nn.CrossEntropyLoss()
    return model, batches, loss_fn, optimizer


def main():
    """Train for twelve epochs."""
    model, batches, loss_fn, optimizer = setup()
    for _ in range(12):
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()
    with torch.no_grad():
        right = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in batches])
    print(f"accuracy {right.float().mean():.3f}")


if __name__ == "__main__":
    main()
