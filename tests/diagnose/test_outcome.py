"""What a training came to, and what is said of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from examined_trainings import curve

from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.outcome import outcome
from evenflow.spec.setting import Output, Target, Trial

CLASSES = {
    "target": Target(kind="classes", classes=10),
    "output": Output(loss="cross_entropy", units=10),
    "batch": 64,
}


def noisy(levels: np.ndarray) -> list[float]:
    return (levels + 0.02 * np.random.default_rng(0).normal(size=len(levels))).tolist()


@pytest.mark.parametrize(
    ("levels", "stuck", "poor", "words"),
    [
        (np.linspace(2.3, 0.2, 60), False, False, "only 87 %"),
        (np.linspace(2.3, 1.6, 60), False, True, "only 28 %"),
        (np.full(60, 2.3), True, True, "hardly moved"),
        (np.linspace(2.3, 40.0, 60), True, True, "rose from 2.3"),
        (np.array([2.3] * 20 + [math.nan] * 40), True, True, "NaN or infinity"),
        (np.full(60, math.nan), True, True, "NaN or infinity"),
    ],
    ids=["learned", "learned little", "stuck", "ran away", "broke", "broken from the start"],
)
def test_the_outcome_of_a_loss(levels, stuck, poor, words):
    found = outcome(curve(noisy(levels), **CLASSES))
    assert (found.stuck, found.poor) == (stuck, poor)
    assert words in found.words


def test_a_converged_network_whose_small_loss_doubles_has_not_run_away():
    own = Trial(change="nothing", loss=(0.01, 0.02), score=0.99, chance=0.1)
    rising = noisy(np.linspace(1.0, 2.0, 60) * 1e-2)
    found = outcome(curve(np.abs(rising).tolist(), **CLASSES, twins=(own,)))
    assert not found.diverged
    assert found.learned > 0.9
    lost = Trial(change="nothing", loss=(0.01, 20.0), score=0.1, chance=0.1)
    assert outcome(curve(noisy(np.linspace(0.01, 20.0, 60)), **CLASSES, twins=(lost,))).diverged


def test_a_loss_below_zero_counts_by_whether_it_fell():
    assert outcome(curve(noisy(np.linspace(-1.0, -4.0, 60)))).learned == 1.0
    assert outcome(curve(noisy(np.full(60, -1.0)))).stuck


def test_an_absurd_start_is_told_in_units_of_a_guess():
    assert outcome(curve(noisy(np.linspace(23.0, 2.0, 60)), **CLASSES)).absurd_start == pytest.approx(
        10.0, rel=0.05
    )
    assert outcome(curve(noisy(np.linspace(23.0, 2.0, 60)))).absurd_start == 1.0


def test_too_few_steps_are_said():
    with pytest.raises(MissingError, match="10 are needed"):
        outcome(curve([2.0, 1.0, 0.5]))
