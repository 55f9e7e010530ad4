"""A learning rate that is too low, and trainings that only look it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from examined_trainings import (
    adam,
    cnn,
    curve,
    digits,
    examined,
    known,
    mlp,
    regression,
    sgd,
    with_setting,
    without_twins,
)
from msgspec import structs
from torch import nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.learning import learning
from evenflow.diagnose.rules.lr_too_low import judge
from evenflow.record.table import Table
from evenflow.spec.setting import NAN


@pytest.mark.parametrize(
    "training",
    [
        lambda: (mlp(64, 32, 32, 10), digits(), adam(1e-6)),
        lambda: (mlp(64, 32, 32, 10), digits(), sgd(1e-4)),
        lambda: (cnn(), digits(images=True), adam(1e-5)),
    ],
    ids=["adam", "sgd", "cnn"],
)
def test_weights_that_hardly_move(training):
    case = examined(*training())
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert float(verdict.evidence["relative_change_of_weights_at_most"]) < 0.03
    assert (alone := judge(without_twins(case))) is not None
    assert alone.severity == "fault"


def test_twin_names_the_rate_that_learns():
    verdict = judge(examined(mlp(64, 32, 32, 10), digits(), adam(1e-4)))
    assert verdict is not None
    assert float(verdict.evidence["twin_points"]) > 30
    assert "times the learning rate the same training is" in verdict.message


def test_rate_of_zero_is_no_low_rate():
    assert judge(examined(mlp(64, 32, 10), digits(), sgd(0.0))) is None


def test_training_that_learns():
    assert judge(known("sound")) is None
    assert judge(known("sound regression")) is None


def test_warm_up_begins_as_low():
    def warm(optimiser: torch.optim.Optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / 80))

    case = examined(mlp(64, 32, 32, 10), digits(), adam(3e-3), scheduler=warm)
    assert judge(case) is None
    assert judge(without_twins(case)) is None


def test_converged_training_at_a_low_rate():
    model, batches = mlp(64, 32, 10), digits()
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for inputs, targets in batches * 6:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    assert judge(examined(model, batches, adam(1e-6))) is None


def test_vanishing_gradient_is_no_low_rate():
    case = known("sigmoids")
    assert judge(case) is None
    assert judge(without_twins(case)) is None


def test_updates_that_were_not_recorded():
    with pytest.raises(MissingError, match="give the probe the optimiser"):
        judge(curve([2.3] * 100))


def test_a_training_on_its_way_whose_twin_stays_ahead():
    case = examined(mlp(64, 32, 32, 10), digits(), adam(4e-4), steps=150)
    assert 0.25 < learning(case).learned < 0.9  # it learns, and goes on to
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert "after 300 steps" in verdict.message
    own, *twins = case.setting.twins
    early = tuple(structs.replace(one, later_loss=(), later_score=NAN) for one in (own, *twins))
    hasty = judge(with_setting(case, structs.replace(case.setting, twins=early)))
    assert hasty is None or hasty.severity == "risk"  # by then nobody knows whether it catches up


class Placed(nn.Module):
    """Layers behind a table that is added to the inputs and begins next to 0."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.places = nn.Parameter(1e-4 * torch.randn(2, 32))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.body(inputs + self.places.flatten())


def test_in_few_steps_every_training_is_on_its_way():
    assert judge(examined(mlp(64, 32, 32, 10), digits(), adam(1e-3))) is None


def test_one_small_weight_that_goes_far_hides_nothing():
    case = examined(Placed(mlp(64, 32, 32, 10)), digits(), adam(1e-5))
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert float(verdict.evidence["relative_change_of_weights_at_most"]) > 0.2
    assert "half of the weights changed by no more than" in verdict.message
    rates = tuple(one for one in case.setting.twins if one.factor <= 1)
    assert judge(with_setting(case, structs.replace(case.setting, twins=rates))) is None
    jumped = case.table.figures["loss"].copy()
    jumped[np.flatnonzero(np.isfinite(jumped))[20]] *= 5
    figures = {**case.table.figures, "loss": jumped}
    table = Table(case.table.runs, case.table.sites, case.table.index, figures)
    assert judge(Case(table, case.run)) is None


def test_targets_far_from_where_the_outputs_begin_ask_for_a_larger_rate():
    model = mlp(8, 32, 32, 1)
    far = [(x, 3000 + 500 * y) for x, y in regression()]
    verdict = judge(examined(model, far, adam(3e-3), nn.functional.mse_loss, steps=200))
    assert verdict is not None
    assert verdict.severity == "fault"
    assert float(verdict.evidence["twin_factor"]) > 1


def test_a_loss_below_0_that_falls_is_at_most_a_risk():
    """How far it could fall nobody knows, so a twin that is ahead of it is no proof that anything is wrong."""

    def density(output, target):
        mean, log_scale = output.chunk(2, 1)
        return (log_scale + 0.5 * ((target - mean) / log_scale.exp()).square()).mean()

    narrow = [(x, 0.1 * y) for x, y in regression()]
    for rate in (3e-4, 1e-3, 3e-3):
        case = examined(mlp(8, 32, 2), narrow, adam(rate), density, steps=200)
        assert learning(case).fell
        verdict = judge(case)
        assert verdict is None or verdict.severity == "risk"
