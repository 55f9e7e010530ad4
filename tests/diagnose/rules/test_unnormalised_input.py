"""Inputs far from standardised, and inputs that only look it."""

from __future__ import annotations

import pytest
import torch
from examined_trainings import adam, cnn, curve, digits, examined, known, mlp, regression, sgd, without_twins
from torch import nn
from torch.nn.functional import mse_loss

from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.rules.unnormalised_input import distance, judge
from evenflow.spec.setting import Input


def offset(by: float):
    return [(inputs + by, targets) for inputs, targets in regression()]


def uneven():
    scale = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 300.0, 300.0, 300.0])
    return [(inputs * scale, targets) for inputs, targets in regression()]


@pytest.mark.parametrize(
    "training",
    [
        lambda: (mlp(64, 32, 32, 10), digits(255.0), sgd(0.1)),
        lambda: (cnn(), digits(255.0, images=True), sgd(0.1)),
        lambda: (mlp(8, 32, 1), uneven(), sgd(0.01), mse_loss),
        lambda: (mlp(8, 32, 1), offset(30.0), adam(1e-2), mse_loss),
        lambda: (mlp(64, 32, 32, 10), digits(0.003), sgd(0.3)),
    ],
    ids=["pixels", "pixels into a cnn", "uneven features", "offset", "tiny"],
)
def test_inputs_that_cost_results(training):
    case = examined(*training())
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert verdict.sites[0] == "input"
    assert float(verdict.evidence["twin_points"]) >= 10
    assert (alone := judge(without_twins(case))) is not None
    assert alone.severity == "fault"


def test_far_but_harmless_is_information():
    verdict = judge(examined(mlp(64, 64, 10), digits(255.0), adam(1e-3)))
    assert verdict is not None
    assert verdict.severity == "information"
    assert "does no harm here" in verdict.message


def test_normalisation_right_behind_the_input():
    case = examined(cnn(norm=True), digits(255.0, images=True), adam(1e-2))
    for judged in (judge(case), judge(without_twins(case))):
        assert judged is not None
        assert judged.severity == "information"


@pytest.mark.parametrize(
    "training",
    [
        lambda: known("sound"),
        lambda: known("sound regression"),
        lambda: examined(
            nn.Sequential(nn.Embedding(1000, 8), nn.Flatten(), nn.Linear(16, 2)),
            [(torch.arange(500, 628).reshape(64, 2), torch.arange(64) % 2)],
            adam(1e-2),
        ),
    ],
    ids=["pixels in 0 to 1", "standardised", "tokens"],
)
def test_inputs_as_they_should_be(training):
    assert judge(training()) is None


def test_the_worst_of_an_input_is_named():
    years = Input(name="input", shape=(8, 2), mean=1000.0, std=1000.0, offset=2.0, feature_spread=1.0)
    assert distance(years).excess == 1000.0 / 5.0
    ages = Input(name="input", shape=(8, 2), mean=1.0, std=2.0, offset=90.0, feature_spread=2.0)
    assert distance(ages).what == "a mean that is 90 times as large as the spread around it"


def test_nothing_known_of_the_inputs():
    with pytest.raises(MissingError, match="nothing is known of the inputs"):
        judge(curve([2.3] * 20))


def test_inputs_that_are_near_cost_something_where_the_twin_stays_ahead():
    scale = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.2, 1.2])
    turned = [(inputs * scale, targets) for inputs, targets in regression()]
    case = examined(mlp(8, 32, 1), turned, sgd(0.05), mse_loss)
    assert 0.4 < distance(case.setting.inputs[0]).excess < 1.0
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert judge(without_twins(case)) is None
