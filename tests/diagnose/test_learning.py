"""What the loss did, against curves whose level, noise and end are known."""

from __future__ import annotations

import math
from typing import Protocol, cast

import numpy as np
import pytest
from examined_trainings import curve
from numpy.typing import NDArray
from scipy import stats

from evenflow.diagnose.chance import entropy_bound
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.learning import kendall, learning, noise_of
from evenflow.spec.setting import Output, Target, Trial

STEPS = np.arange(200.0)
RANDOM = np.random.default_rng(0)
NOISE = 0.05 * RANDOM.standard_normal(200)
FALLING = 0.3 + 2.0 * np.exp(-STEPS / 60) + NOISE
FLAT = 2.3 + NOISE
CLASSES = {
    "target": Target(kind="classes", classes=10),
    "output": Output(units=10, loss="cross_entropy"),
    "batch": 32,
}


def of(loss: NDArray[np.floating], **facts: object):
    return learning(curve(loss.tolist(), **facts))


def test_noise_is_that_of_the_batches_and_not_the_level():
    assert of(FALLING).noise == pytest.approx(0.05, rel=0.2)
    assert noise_of(2.0 * np.exp(-STEPS / 60)) < 1e-3


def test_falling_curve():
    found = of(FALLING, **CLASSES)
    assert found.fell
    assert not found.diverged
    assert found.share == pytest.approx((2.3 - FALLING[-20:].mean()) / 2.3, abs=0.02)
    assert found.end == pytest.approx(0.3 + 2.0 * np.exp(-190 / 60), abs=0.05)


def test_flat_curve_has_not_fallen():
    found = of(FLAT, **CLASSES)
    assert not found.fell
    assert not found.falling
    assert abs(found.share) < 0.03
    assert found.flat_since == 0


def test_curve_that_stops_is_flat_since_then():
    found = of(np.where(STEPS < 100, 2.3 - 0.01 * STEPS, 1.3) + 0.1 * NOISE)
    assert 90 <= found.flat_since <= 105
    assert not found.falling


def test_from_an_absurd_start_down_to_guessing_is_no_learning():
    guessing = Trial(change="nothing", loss=(72.3, 2.3), score=0.1, chance=0.1)
    found = of(math.log(10) + 70.0 * np.exp(-STEPS / 10), twins=(guessing,), **CLASSES)
    assert found.start > 70
    assert found.share == pytest.approx(0.0, abs=0.01)


def test_first_batch_by_chance_high_does_not_count_as_the_start():
    noisy = 2.3 + 0.5 * RANDOM.standard_normal(200)
    noisy[0] = 3.5
    assert of(noisy).start == pytest.approx(np.median(noisy[:5]))


def test_score_counts_where_the_loss_has_a_floor():
    own = Trial(change="nothing", loss=(2.3, 1.5), score=0.91, chance=0.1)
    found = of(1.5 + 0.8 * np.exp(-STEPS / 30), twins=(own,), **CLASSES)
    assert found.skill == pytest.approx(0.9)
    assert found.learned == found.skill > found.share


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_not_finite(bad: float):
    loss = np.concatenate([FALLING[:50], [bad] * 5])
    found = of(loss)
    assert found.diverged
    assert found.nonfinite_step == 50
    assert found.end == math.inf
    assert found.first_divergence == 50


def test_runaway_begins_behind_the_last_sane_step():
    found = of(np.concatenate([FALLING[:100], 3.0 * 1.1 ** np.arange(100)]))
    assert found.diverged
    assert found.first_divergence is not None
    assert 100 <= found.first_divergence <= 104


def test_jump_that_comes_back_is_no_divergence():
    found = of(np.where(STEPS == 3, 50.0, FALLING))
    assert not found.diverged
    assert found.overshoot == pytest.approx(50.0 / found.start)


def test_swing_is_noise_beyond_what_the_batch_explains():
    calm, wild = of(FLAT, batch=32), of(2.3 + 2.0 * RANDOM.standard_normal(200), batch=32)
    assert calm.swing < 0.1
    assert wild.swing > 1.0
    assert math.isnan(of(FLAT).swing)


def test_loss_below_zero_has_no_share():
    found = of(-STEPS)
    assert math.isnan(found.share)
    assert math.isnan(found.learned)
    assert found.fell


def test_summed_loss_is_measured_against_a_summed_chance():
    found = of(32 * FLAT, **CLASSES)
    assert found.chance == pytest.approx(32 * math.log(10))


class Correlation(Protocol):
    """What SciPy's tests of correlation give."""

    statistic: float


def test_kendall_agrees_with_scipy():
    values = RANDOM.standard_normal(16) - 0.1 * np.arange(16)
    reference = cast(Correlation, stats.kendalltau(np.arange(16), values))
    assert kendall(values) == pytest.approx(reference.statistic * 120 / math.sqrt(16 * 15 * 37 / 18))


def test_entropy_bound_is_reached_by_one_common_class():
    shares = np.array([0.55, *[0.05] * 9])
    assert entropy_bound(0.55, 10) == pytest.approx(stats.entropy(shares))


def test_too_few_steps_and_no_loss_at_all():
    with pytest.raises(MissingError, match="the loss of 4 steps was recorded; 10 are needed"):
        learning(curve([2.0, 1.9, 1.8, 1.7]))
    with pytest.raises(MissingError, match="NaN or infinite at every step"):
        learning(curve([math.nan] * 20))
