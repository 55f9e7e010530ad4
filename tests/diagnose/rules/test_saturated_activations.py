"""Activations that are flat where they should learn, and flat ones that are right."""

from __future__ import annotations

import pytest
import torch
from diagnosed_trainings import (
    Recurrent,
    adam,
    chain,
    convolutions,
    digits,
    known,
    normal,
    redrawn,
    severity,
    sgd,
    trained,
    verdict,
)
from torch import nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError

RULE = "saturated_activations"


def flat(model: nn.Module, *shape: int) -> Case:
    return trained(model, sgd(lr=0.1), digits(*shape), steps=60)


@pytest.mark.parametrize(
    "case",
    [
        lambda: known("large weights for tanh"),
        lambda: flat(redrawn(chain(64, 4, nn.Sigmoid), normal(3.0))),
        lambda: flat(redrawn(convolutions(4, nn.Tanh), normal(2.0)), 1, 8, 8),
        lambda: flat(redrawn(chain(64, 4, nn.Tanh), lambda _: None, 5.0)),
    ],
    ids=["tanh", "sigmoid", "convolutions", "biases"],
)
def test_flat_from_the_start(case):
    found = verdict(RULE, case())
    assert found is not None
    assert found.severity == "fault"
    assert found.first_step == 0
    assert float(found.evidence["saturated_fraction"]) > 0.5


def test_flat_since_a_step_too_large():
    found = verdict(RULE, trained(chain(64, 4, nn.Tanh), adam(lr=0.5), digits()))
    assert found is not None
    assert found.severity == "fault"
    assert found.evidence["saturated_fraction_at_start"] == 0.0
    assert found.first_step is not None
    assert found.first_step > 0


def test_a_recurrent_state_at_its_ends():
    assert severity(RULE, known("large recurrent weights")) == "fault"


@pytest.mark.parametrize("name", ["tanh with large weights that learns", "rate too low", "sigmoids"])
def test_what_is_not_saturated(name):
    assert verdict(RULE, known(name)) is None


def test_tanh_as_torch_draws_it():
    assert verdict(RULE, trained(chain(64, 3, nn.Tanh), sgd(lr=0.1), digits())) is None


def test_a_large_state_of_a_rectified_recurrent_layer_is_not_flat():
    model = Recurrent("RNN")
    model.rows.mode, model.rows.nonlinearity = "RNN_RELU", "relu"
    nn.init.orthogonal_(model.rows.weight_hh_l0, 2.5)
    case = trained(model, sgd(lr=0.1), digits(8, 8), steps=40)
    assert case.series("rms", "output").values[0].max() > 1.0
    assert verdict(RULE, case) is None


def test_the_gates_of_an_lstm_are_not_judged():
    case = trained(Recurrent("LSTM"), adam(lr=1e-2), digits(8, 8), steps=12)
    with pytest.raises(MissingError, match="no activation"):
        verdict(RULE, case)


def test_a_sure_output_may_be_saturated():
    torch.manual_seed(0)
    inputs = torch.randn(512, 4)
    batches = [(inputs, (inputs[:, :1] > 0).float())]
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1), nn.Sigmoid())
    case = trained(model, adam(lr=0.1), batches, nn.functional.binary_cross_entropy)
    assert case.series("saturated_fraction", "activation").values[-1].max() > 0.5
    assert verdict(RULE, case) is None


def falling_without_end(output: torch.Tensor, _target: torch.Tensor) -> torch.Tensor:
    return -output.sum(1).mean()


def test_what_a_loss_without_a_floor_drives_to_its_ends_is_no_fault_of_the_units():
    model = chain(32, 4, nn.Tanh)
    case = trained(model, sgd(lr=0.3), digits(), falling_without_end)
    flat = case.series("saturated_fraction", "activation").values
    assert flat[0].max() < 0.5 < flat[-1].max()
    assert severity(RULE, case) == ""
