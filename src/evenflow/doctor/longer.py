"""What is contested is tried longer: a training that is on its way, and the twins that were clearly better than it.

A twin may be 17 points ahead after 200 steps and 5 after 400, since it only learned sooner; and a loss that has just
jumped may come back. Where a training has learned something and still moves, it and such a twin are trained on for
as many steps again, without a probe, on the batches that follow and with the same random numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs

from evenflow.diagnose.learning import kendall, smoothed
from evenflow.diagnose.outcome import STUCK
from evenflow.diagnose.twins import compared, loss_level, skill_of
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.trial import Course, Plan, train
from evenflow.spec.setting import Setting, Trial

_FALLS = -1.6
"""Standard deviations of Kendall's S over the second half: p < 0.05 to one side, as being wrong costs time alone."""
_BACK = 0.2
"""Share of the way down that a loss has gone back up: it swings, or has jumped, and may come down again."""
_FEWEST = 20
"""Steps below which a second half tells nothing."""


@dataclass(frozen=True)
class Raised:
    """A trial, and what is needed to go on with it.

    Args:
        name: for people.
        trial: as the setting holds it.
        patient: model, optimiser and scheduler as they stand at its end; None where it is not to go on.
        plan: by which it was trained.
        factor: of the learning rate.
        seconds: that as many steps take without a probe.
    """

    name: str
    trial: Trial
    patient: Patient | None
    plan: Plan
    factor: float
    seconds: float


@dataclass(frozen=True)
class Longer:
    """The trials, some of which have gone on, and in words what was left out and why."""

    trials: tuple[Trial, ...]
    skipped: tuple[str, ...] = ()


def contested(own: Trial) -> bool:
    """Whether what a training has come to is not yet what it comes to: it has learned something, and still moves.

    >>> contested(Trial(change="nothing", loss=tuple(2.0 - 0.01 * step for step in range(100)), score=0.8, chance=0.5))
    True
    """
    if len(own.loss) < _FEWEST or loss_level(own.loss) == math.inf:
        return False
    return _learned(own) >= STUCK and _moves(own)


def clearly_better(own: Trial, trial: Trial) -> bool:
    """Whether a twin is ahead by what makes a fault one."""
    return any(each.clear for each in compared(Setting(twins=(own, trial)), trial.change))


def tried_longer(
    raised: Sequence[Raised],
    *,
    loss_kind: str,
    seconds: float,
    said: Callable[[str], None] = lambda _: None,
) -> Longer:
    """Train on, for as many steps again, the training itself and those of its twins that have a patient.

    All of them or none: a twin of 400 steps has nothing to be compared with, nor has one of 200 beside it.

    Args:
        raised: the training as it is, then its twins.
        loss_kind: as in `spec.setting.Output`.
        seconds: for all of them; nothing is begun that would not be through by then.
        said: called with the name of what trains on.
    """
    before = tuple(each.trial for each in raised)
    needed = sum(each.seconds for each in raised if each.patient is not None)
    if needed > seconds:
        return Longer(
            before, (f"tried longer: it would take about {needed:.0f} s and {seconds:.0f} s are left",)
        )
    left, found = seconds, []
    for each in raised:
        if each.patient is None:
            found.append(each.trial)
            continue
        said(f"{each.name}, tried longer")
        course = _trained_on(each, each.patient, loss_kind, left)
        left -= course.seconds
        if len(course.losses) < each.plan.steps and math.isfinite(course.losses[-1]):
            return Longer(before, (f"{each.name}, tried longer: the time was over",))
        found.append(structs.replace(each.trial, later_loss=course.losses, later_score=course.score))
    return Longer(tuple(found))


def _trained_on(each: Raised, patient: Patient, loss_kind: str, seconds: float) -> Course:
    with untouched_randomness(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a training that is not the user's
        return train(
            patient,
            replace(each.plan, first=each.plan.first + each.plan.steps),
            factor=each.factor,
            seconds=seconds,
            loss_kind=lambda: loss_kind,
        )


def _learned(own: Trial) -> float:
    """The score's share of what can be learned; without a score the loss's share of the way down to 0."""
    first, skill = own.loss[0], skill_of(own)
    if not math.isnan(skill):
        return skill
    return (first - loss_level(own.loss)) / first if first > 0.0 and min(own.loss) >= 0.0 else 0.0


def _moves(own: Trial) -> bool:
    loss = np.array(own.loss)
    level = smoothed(loss)
    way = max(float(loss[0] - level.min()), 0.0)
    return kendall(loss[len(loss) // 2 :]) < _FALLS or loss_level(own.loss) - level.min() > _BACK * way
