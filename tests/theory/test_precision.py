"""Depths at which float32 loses a gradient, against float32 itself."""

import numpy as np
import pytest
import torch
from theory.networks import CLASSES, FEATURES, batch

from evenflow.spec.network import Network
from evenflow.spec.plan import plan_of
from evenflow.study.build import build
from evenflow.theory.losses import loss_gradient
from evenflow.theory.precision import float32_depths
from evenflow.theory.propagate import propagate


def lost(network: Network, inputs: np.ndarray, labels: np.ndarray) -> tuple[bool, bool]:
    """Whether `.norm()` reads 0 at the first layer in most of five networks, and whether every entry is 0."""
    norms, entries = 0, 0
    for seed in range(5):
        model = build(network, FEATURES, CLASSES, seed)
        loss = torch.nn.functional.cross_entropy(
            model(torch.from_numpy(inputs).float()), torch.from_numpy(labels)
        )
        (found,) = torch.autograd.grad(loss, [model.get_parameter("hidden_1.weight")])
        norms += int(found.norm() == 0)
        entries += int(not found.any())
    return norms >= 3, entries >= 3


@pytest.mark.parametrize(
    ("activation", "initialisation"),
    [
        ("sigmoid", "torch"),
        pytest.param("sigmoid", "xavier", marks=pytest.mark.slow),
        ("gelu", "torch"),
        pytest.param("relu", "torch", marks=pytest.mark.slow),
        pytest.param("tanh", "torch", marks=pytest.mark.slow),
    ],
)
def test_depths_are_those_at_which_float32_loses_the_gradient(activation: str, initialisation: str) -> None:
    inputs, labels = batch(32)
    network = Network(depth=20, width=64, activation=activation, initialisation=initialisation)
    forecast = propagate(
        plan_of(network, FEATURES, CLASSES), inputs, loss_gradient("cross_entropy", labels, CLASSES)
    )
    depths = float32_depths(forecast.weight.mean, FEATURES, 64)
    for place, depth in enumerate(depths):
        for factor, expected in ((0.9, False), (1.1, True)):
            deeper = Network(
                depth=round(factor * depth), width=64, activation=activation, initialisation=initialisation
            )
            assert lost(deeper, inputs, labels)[place] is expected, (place, depth, factor)


def test_a_level_gradient_is_not_lost() -> None:
    assert float32_depths([0.0, 0.0, 0.001, 0.002], 64, 64) == (np.inf, np.inf)
    assert float32_depths([3.0, 2.0, 1.0], 64, 64) == (np.inf, np.inf)
