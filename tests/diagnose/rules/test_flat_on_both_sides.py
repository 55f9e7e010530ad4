"""Units without a slope: saturated where the activation is flat on both sides, dead where they say 0."""

from __future__ import annotations

import pytest
import torch
from diagnosed_trainings import adam, chain, digits, redrawn, severity, trained
from examined_trainings import mlp
from torch import nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.rules.unnormalised_input import floods
from evenflow.measure.graph_layers import activation_of


def keep(_: torch.Tensor) -> None:
    """Leave the weights as they are."""


def pushed(activation: type[nn.Module], bias: float) -> Case:
    return trained(redrawn(chain(24, 3, activation), keep, bias), adam(lr=1e-3), digits(), steps=60)


@pytest.mark.parametrize("bias", [7.0, -7.0])
def test_a_hard_tanh_at_its_ends_is_saturated_and_not_dead(bias: float):
    case = pushed(nn.Hardtanh, bias)
    assert case.series("dead_fraction", "activation").values[-1].max() == 1.0
    assert severity("dead_units", case) == ""
    assert severity("saturated_activations", case) == "fault"


def test_a_bounded_rectifier_below_0_is_dead_and_not_saturated():
    case = pushed(nn.ReLU6, -7.0)
    assert severity("dead_units", case) == "fault"
    assert severity("saturated_activations", case) == ""


def test_the_graph_tells_the_two():
    inputs = torch.ones(2, requires_grad=True)
    assert [activation_of(one(inputs).grad_fn) for one in (nn.ReLU6(), nn.Hardtanh(), nn.Hardtanh(0, 2))] == [
        "relu6",
        "hardtanh",
        "hardtanh",
    ]


@pytest.mark.parametrize(
    ("activation", "flooded"), [(nn.Hardtanh, True), (nn.Hardsigmoid, True), (nn.ReLU, False)]
)
def test_inputs_flood_whatever_is_flat_on_both_sides(activation: type[nn.Module], flooded: bool):
    model = mlp(64, 32, 10, activation=activation)
    case = trained(model, adam(lr=1e-3), digits(scale=255.0), steps=12)
    assert floods(case) is flooded
