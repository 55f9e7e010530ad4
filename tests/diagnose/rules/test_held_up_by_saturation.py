"""Flat units that hold a training up, and a training that is slow all along beside flat units."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from diagnosed_trainings import adam, digits, redrawn, severity, trained
from torch import Tensor, nn

RULE = "saturated_activations"


class Steep(nn.Module):
    """An activation of its input times a factor."""

    def __init__(self, factor: float, activation: type[nn.Module]) -> None:
        super().__init__()
        self.factor = factor
        self.activation = activation()

    def forward(self, values: Tensor) -> Tensor:
        return self.activation(self.factor * values)


def steep(factor: float, activation: type[nn.Module], depth: int) -> nn.Module:
    torch.manual_seed(1)
    sizes = [64, *[24] * depth]
    parts: list[nn.Module] = []
    for before, after in pairwise(sizes):
        parts += [nn.Linear(before, after), Steep(factor, activation)]
    return redrawn(nn.Sequential(*parts, nn.Linear(24, 10)), nn.init.xavier_uniform_)


@pytest.mark.parametrize(
    ("factor", "rate", "depth", "expected"),
    [(40.0, 3e-3, 4, "fault"), (1.0, 3e-3, 4, ""), (100.0, 1e-3, 1, "risk")],
    ids=["steep", "as it should be", "one steep layer under a head that learns"],
)
def test_what_flat_units_cost_is_what_counts(factor, rate, depth, expected):
    model = steep(factor, nn.Tanh, depth)
    assert severity(RULE, trained(model, adam(lr=rate), digits(), steps=200)) == expected
