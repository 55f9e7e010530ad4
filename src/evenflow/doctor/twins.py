"""Twins of a trial: from the same start, on the same batches, with the same random numbers, and one thing changed.

What one change does is seen at once beside what the training does as it is: a learning rate is too low where ten times
as much is better, too high where a tenth is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from evenflow.diagnose.stillness import SLOW
from evenflow.doctor.batches import standardised
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.longer import Raised, clearly_better, contested, tried_longer
from evenflow.doctor.memory import why_no_twin
from evenflow.doctor.trial import Course, Plan, train
from evenflow.measure.data_facts import input_tensors
from evenflow.measure.sites import rate_of, stepped_by
from evenflow.measure.unregistered import unregistered_parameters
from evenflow.spec.setting import Change, Input, Trial

FACTORS = (0.1, 10.0)
"""Of the learning rate that is tried; beyond the better one, where it is better, the next power of ten."""
_FURTHEST = 2  # powers of ten from the trial's own rate; one more where it has diverged
FAR_OUT = 30.0
"""Deviations, by a feature's middle half, from which on an entry is far out."""
# What counts as standardised: |mean|, std, feature to feature, the size of the mean over that of the spread.
_CENTRED, _NARROW, _WIDE, _UNEVEN, _OFF = 0.3, 0.5, 2.0, 3.0, 1.0
_WORTH_A_TWIN = (
    0.4  # of a twin's time without a probe to that of a trial with one; measured, in case of doubt too high
)


@dataclass(frozen=True)
class Twins:
    """Trials with one thing changed, and in words what was left out and why."""

    trials: tuple[Trial, ...]
    skipped: tuple[str, ...] = ()


def raise_twins(
    patient: Patient,
    plan: Plan,
    course: Course,
    inputs: tuple[Input, ...],
    *,
    loss_kind: str = "",
    ended: Patient | None = None,
    end: Callable[[Patient], Patient] | None = None,
    drawn: Callable[[Patient], Patient] | None = None,
    scaled: Callable[[Patient], Patient] | None = None,
    seconds: float = 12.0,
    said: Callable[[str], None] = lambda _: None,
) -> Twins:
    """Train the twins of a trial.

    Args:
        patient: at the start of the trial; copied anew for every twin.
        plan: of the trial.
        course: how the trial went.
        inputs: figures of its inputs.
        loss_kind: as in `spec.setting.Output`.
        ended: the copy that the trial has trained, to train it on where what it came to is contested.
        end: makes a copy hand out what its loss takes, where it does not; see `doctor.mended_end`.
        drawn: draws the weights of a copy anew, where they are far from theory; see `doctor.redrawn`.
        scaled: brings the signals of a copy to unit size, where they grow; see `doctor.rescaled`.
        seconds: for all twins together; one that would not be through in what is left is skipped.
        said: called with the name of a twin before it trains.
    """
    own = trial_of(course, "nothing")
    raised: list[Raised] = []
    skipped: list[str] = []
    left = seconds
    done = len(course.losses)
    steps = (
        done if done and math.isfinite(course.losses[-1]) else course.planned
    )  # a twin may live where it died
    if steps < 2 or done < 2:
        return Twins((own,), ("twins: the trial has fewer than two steps",))
    disputed = ended is not None and contested(own)

    def twin(
        name: str,
        change: Change,
        plan: Plan,
        factor: float = 1.0,
        changed: Callable[[Patient], Patient] = lambda patient: patient,
    ) -> Course | None:
        nonlocal left
        expected = course.seconds * _WORTH_A_TWIN * steps / done
        if expected > left:
            skipped.append(
                f"{name}: a twin would take about {expected:.0f} s and {max(left, 0):.0f} s are left"
            )
            return None
        no_room = why_no_twin(patient.model)
        if no_room:
            skipped.append(f"{name}: {no_room}")
            return None
        said(name)
        copied, plan = patient.copied(), replace(plan, steps=steps)
        with untouched_randomness(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a training that is not the user's
            copied = changed(copied)
            found = train(copied, plan, factor=factor, seconds=left, loss_kind=lambda: loss_kind)
        left -= found.seconds
        if len(found.losses) < steps and math.isfinite(found.losses[-1]):
            skipped.append(f"{name}: the time was over after {len(found.losses)} of {steps} steps")
            return None
        trial = trial_of(found, change, factor)
        goes_on = disputed and len(found.losses) == steps and clearly_better(own, trial)
        raised.append(Raised(name, trial, copied if goes_on else None, plan, factor, found.seconds))
        return found

    if end is not None:
        twin("an output as the loss takes it", "output", plan, changed=end)
    if not is_standardised(inputs) and any(
        tensor.is_floating_point() for _, tensor in input_tensors(plan.batches[0].inputs)
    ):
        twin("standardised inputs", "inputs", replace(plan, batches=standardised(plan.batches)))
        if any(one.outlying > FAR_OUT for one in inputs):
            cut = standardised(plan.batches, cut=True)
            twin("inputs without outliers", "outliers", replace(plan, batches=cut))
    if _frozen(patient) or _slow(patient):
        twin("nothing frozen", "unfrozen", plan, changed=_unfrozen)
    if drawn is not None and not course.near_the_best:
        twin("weights drawn anew", "weights", plan, changed=drawn)
    if scaled is not None and not course.near_the_best:
        twin("signals of unit size", "signals", plan, changed=scaled)
    _rates(course, lambda factor: twin(f"learning rate × {factor:g}", "learning_rate", plan, factor))
    if any(each.patient is not None for each in raised):
        expected = course.seconds * _WORTH_A_TWIN
        first = Raised("the training as it is", own, ended, replace(plan, steps=steps), 1.0, expected)
        on = tried_longer([first, *raised], loss_kind=loss_kind, seconds=left, said=said)
        return Twins(on.trials, (*skipped, *on.skipped))
    return Twins((own, *(each.trial for each in raised)), tuple(skipped))


def _rates(course: Course, twin: Callable[[float], Course | None]) -> None:
    """Twins with other learning rates: both neighbours, and beyond the one that is better than the trial.

    Of a trial that has diverged only lower rates are tried, down to one that does not diverge.
    """
    diverged = math.isnan(course.settled)
    for factor in FACTORS[:1] if diverged else FACTORS:
        before = course
        for power in range(1, _FURTHEST + diverged + 1):
            found = twin(round(factor**power, 6))
            if found is None:
                break
            if not better(found, before) and not math.isnan(found.settled + before.settled):
                break
            before = found


def better(one: Course, other: Course) -> bool:
    """Whether a trial ends with a lower loss; a loss that is not finite is the worst of all."""
    if math.isnan(one.settled):
        return False
    return math.isnan(other.settled) or one.settled < other.settled


def trial_of(
    course: Course,
    change: Change,
    factor: float = 1.0,
) -> Trial:
    """As the setting holds it."""
    return Trial(change=change, factor=factor, loss=course.losses, score=course.score, chance=course.chance)


def _frozen(patient: Patient) -> list[nn.Parameter]:
    """Weights that ask for no gradient, or that the optimiser or even the model does not have."""
    optimised = stepped_by(patient.optimizer)
    unregistered = [one for _, one in unregistered_parameters(patient.model)]
    return [
        one
        for one in (*patient.model.parameters(), *unregistered)
        if one.is_floating_point() and (not one.requires_grad or id(one) not in optimised)
    ]


def _slow(patient: Patient) -> list[dict[str, Any]]:
    """Parameter groups with a learning rate so far below that of another group that they as good as stand still."""
    groups = patient.optimizer.param_groups
    fastest = max(map(rate_of, groups), default=math.nan)
    return [group for group in groups if 0.0 <= rate_of(group) <= SLOW * fastest]


def _at_one_rate(patient: Patient) -> None:
    """Give the slow groups the rate of the fastest, by the schedule too where there is one."""
    slow = [id(group) for group in _slow(patient)]
    groups = patient.optimizer.param_groups
    fastest = max(groups, key=rate_of)
    base = getattr(patient.scheduler, "base_lrs", None)
    for place, group in enumerate(groups):
        if id(group) not in slow:
            continue
        group["lr"] = fastest["lr"]
        if "initial_lr" in group:
            group["initial_lr"] = rate_of(fastest)
        if isinstance(base, list) and len(base) == len(groups):
            base[place] = rate_of(fastest)


def _unfrozen(patient: Patient) -> Patient:
    """A copy with all its parameters in training: what stood still by the options of the first group, what was slow at
    the rate of the fastest.
    """
    _at_one_rate(patient)
    optimised = stepped_by(patient.optimizer)
    frozen = _frozen(patient)
    for one in frozen:
        one.requires_grad_(True)
    left_out = [one for one in frozen if id(one) not in optimised]
    if left_out:
        first = {name: value for name, value in patient.optimizer.param_groups[0].items() if name != "params"}
        patient.optimizer.add_param_group({**first, "params": left_out})
    return patient


def is_standardised(inputs: tuple[Input, ...]) -> bool:
    """Whether all floating inputs have mean 0 and standard deviation 1, about, and no feature is far from the others.

    >>> is_standardised((Input(name="input", shape=(8, 2), mean=0.0, std=1.0, offset=0.1, feature_spread=1.2),))
    True
    """
    return all(
        one.integer
        or (
            abs(one.mean) <= _CENTRED
            and _NARROW <= one.std <= _WIDE
            and not (one.offset > _OFF or one.feature_spread > _UNEVEN)
        )
        for one in inputs
    )
