"""A learning rate that is too high, and trainings that only look it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from examined_trainings import adam, cnn, curve, digits, examined, known, mlp, regression, sgd, without_twins
from torch.nn.functional import mse_loss

from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.rules.lr_too_high import judge
from evenflow.spec.setting import Trial


@pytest.mark.parametrize(
    "training",
    [
        lambda: (mlp(64, 32, 32, 10), digits(), adam(1.0)),
        lambda: (mlp(64, 32, 32, 10), digits(), sgd(100.0)),
        lambda: (mlp(8, 32, 32, 1), regression(), sgd(2.0), mse_loss),
        lambda: (cnn(), digits(images=True), sgd(100.0)),
    ],
    ids=["adam", "sgd", "regression", "cnn"],
)
def test_loss_that_its_steps_have_spoiled(training):
    case = examined(*training())
    verdict = judge(case)
    assert verdict is not None
    assert verdict.severity == "fault"
    assert float(verdict.evidence["update_to_weight_largest"]) > 0.1
    assert verdict.sites
    assert (alone := judge(without_twins(case))) is not None
    assert alone.severity == "fault"


def test_first_step_is_the_one_behind_which_the_loss_never_came_back():
    case = examined(mlp(8, 32, 32, 1), regression(), sgd(2.0), mse_loss)
    verdict = judge(case)
    assert verdict is not None
    loss = case.loss.values[:, 0]
    low = case.loss.steps[loss <= 1.5 * loss[0]]
    assert verdict.first_step == low[-1] + 1


def test_somewhat_too_high_is_told_by_a_twin():
    case = examined(cnn(), digits(images=True), sgd(3.0, 0.9))
    verdict = judge(case)
    assert verdict is not None
    assert float(verdict.evidence["twin_points"]) >= 10


@pytest.mark.parametrize(
    "training",
    [
        lambda: known("sound"),
        lambda: known("nothing to learn"),
        lambda: examined(mlp(64, 32, 32, 10), digits(), sgd(0.1, 0.9)),
        lambda: examined(mlp(8, 32, 1), regression(batch=8), sgd(0.05), mse_loss, steps=100),
        lambda: examined(cnn(), digits(images=True, batch=8), adam(1e-2), steps=100),
    ],
    ids=["adam", "nothing to learn", "momentum", "small batches", "noisy cnn"],
)
def test_sound_training(training):
    case = training()
    assert judge(case) is None
    assert judge(without_twins(case)) is None


def test_one_batch_that_stands_out_is_no_jump():
    loss = 0.3 + 2.0 * np.exp(-np.arange(200) / 50)
    loss[90] = 30.0
    assert judge(curve(loss.tolist())) is None


def test_loss_alone_is_enough_for_a_divergence():
    loss = [2.3 + 0.01 * step for step in range(20)] + [math.nan]
    verdict = judge(curve(loss))
    assert verdict is not None
    assert verdict.message == "the loss began at 2.30 and was not finite at step 20"


def swinging(*, jump: float, swing: float, falls: float = 0.0) -> tuple[float, ...]:
    """A loss of 0.7 that jumps at once, then swings about 0.4."""
    noise = np.random.default_rng(0).lognormal(0.0, swing, 200)
    return (0.7, jump, *(0.4 * noise * np.linspace(1.0, 1.0 - falls, 200)).tolist())


@pytest.mark.parametrize(
    ("loss", "better", "severity"),
    [
        (swinging(jump=9.0, swing=0.6), 0.08, "fault"),
        (swinging(jump=9.0, swing=0.6), 0.0, "risk"),
        (swinging(jump=9.0, swing=0.1), 0.08, None),
        (swinging(jump=1.0, swing=0.6), 0.08, None),
        (swinging(jump=9.0, swing=0.6, falls=0.95), 0.08, None),
    ],
    ids=["clearly", "as well", "quiet", "no jump", "on its way"],
)
def test_a_training_that_was_thrown_up_and_swings_on(loss, better, severity):
    own = Trial(change="nothing", loss=loss, score=0.87, chance=0.5)
    lower = Trial(change="learning_rate", factor=0.1, loss=loss, score=0.87 + better, chance=0.5)
    verdict = judge(curve(loss, twins=(own, lower), batch=32))
    assert (None if verdict is None else verdict.severity) == severity


def test_what_grows_with_depth_from_the_start_makes_the_rate_a_risk():
    model = mlp(64, *[24] * 6, 10)
    with torch.no_grad():
        for weight in [one for one in model.parameters() if one.ndim > 1][1:-1]:
            weight.mul_(10)
    found = {one.rule: one for one in diagnose(examined(model, digits(4.0), sgd(0.1, 0.9)).table).findings}
    assert found["lr_too_high"].severity == "risk"
    assert found["lr_too_high"].root in ("exploding_activations", "exploding_gradient", "poor_init")


@pytest.mark.parametrize(
    ("rate", "severity"), [(3.0, "fault"), (0.1, None), (0.02, None)], ids=["far too high", "high", "usual"]
)
def test_weights_that_steps_have_overwritten_need_no_twin(rate, severity):
    verdict = judge(examined(cnn(), digits(images=True), sgd(rate, 0.9), steps=80, twins=False))
    assert (None if verdict is None else verdict.severity) == severity
