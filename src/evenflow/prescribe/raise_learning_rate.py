"""Raise the learning rate: by what the doctor's twins say, or a range test where there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from evenflow.diagnose.twins import CLEARLY
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.range_test import HIGHER, range_test
from evenflow.prescribe.rates import (
    distinct,
    largest_rate,
    rate_twins,
    rates_of,
    scaled,
    scaled_code,
    shown,
    told,
    twin_of,
)

FACTORS = (10.0, 100.0)
"""Tried where neither twins nor a range test have said anything."""
MOST = 3
"""Forms that are offered."""
USUAL = {"SGD": 0.1, "Adadelta": 1.0, "Rprop": 0.01, "Adagrad": 0.01}
"""Where all rates are 0; 0.001 for every other optimiser, as Adam has it."""


def forms(view: View) -> Sequence[Prescription]:
    """Rates of groups that have none, then higher rates, the one whose twin did best first."""
    if why_not(view):
        return ()
    if _still(view.training):
        return [_started(view)]
    return [_form(view, factor) for factor in list(distinct(_factors(view)))[:MOST]]


def why_not(view: View) -> str:
    """Nothing to raise, or it has been seen to be worse."""
    if not rates_of(view.training.patient.optimizer):
        return "no parameter group has a learning rate"
    higher = [one for one in rate_twins(view) if one.trial.factor > 1]
    if higher and higher[0].points <= -CLEARLY and not _still(view.training):
        return (
            f"with {higher[0].trial.factor:g} times the learning rate the same training was "
            f"{-higher[0].points:.0f} points worse"
        )
    return ""


def _factors(view: View) -> list[float]:
    higher = [one for one in rate_twins(view) if one.trial.factor > 1]
    furthest = (
        not higher
        or not higher[0].clear  # as good as none: which of them is ahead says nothing
        or higher[0].trial.factor >= max(one.trial.factor for one in higher)
    )
    tested = range_test(view.training, HIGHER).best if furthest else math.nan
    if not higher:
        return [tested, *FACTORS] if tested > 1 else list(FACTORS)
    best = higher[0].trial.factor
    # Twins go two powers of ten up and no further; a rate a million times too low is beyond their reach.
    further = [tested] if tested > 3.0 * best else []
    beyond = [best * 10.0, best * 100.0] if furthest else []
    return [*further, best, *beyond, best / math.sqrt(10.0)]


def _form(view: View, factor: float) -> Prescription:
    rate = largest_rate(view.training)
    return Prescription(
        remedy="raise_learning_rate",
        choice=f"{factor:.3g}",
        title=f"Raise the learning rate from {shown(rate)} to {shown(rate * factor)}",
        why=(
            f"steps of {shown(rate)} get nowhere in the time there is; {shown(rate * factor)} is {factor:.3g} times "
            f"as much{told(twin_of(view, factor))}"
        ),
        sign="larger_updates",
        change=partial(scaled, factor=factor),
        code=lambda: scaled_code(view.training, factor),
        size=1,
    )


def _still(training: Training) -> list[int]:
    """Places of the groups whose rate is 0."""
    groups = training.patient.optimizer.param_groups
    return [
        place
        for place, group in enumerate(groups)
        if "lr" in group and not group.get("initial_lr", group["lr"])
    ]


def _started(view: View) -> Prescription:
    places = _still(view.training)
    rate = largest_rate(view.training) or USUAL.get(type(view.training.patient.optimizer).__name__, 1e-3)
    groups = ", ".join(str(place) for place in places)
    return Prescription(
        remedy="raise_learning_rate",
        choice="from 0",
        title=f"Give parameter group {groups} the learning rate {shown(rate)} in place of 0",
        why=f"group {groups} of the optimiser has the learning rate 0, so that its weights never move",
        sign="moving_weights",
        change=partial(start, places=places, rate=rate),
        code=lambda: _started_code(view.training, places, rate),
        size=1,
    )


def start(training: Training, *, places: Sequence[int], rate: float) -> Training:
    """Give groups a learning rate, in the optimiser and in what schedules it."""
    scheduler = training.patient.scheduler
    for place in places:
        group = training.patient.optimizer.param_groups[place]
        group["lr"] = rate
        if "initial_lr" in group:
            group["initial_lr"] = rate
        for one in (scheduler, *getattr(scheduler, "_schedulers", ())):
            if hasattr(one, "base_lrs"):
                one.base_lrs[place] = rate
    return training


def _started_code(training: Training, places: Sequence[int], rate: float) -> Code:
    lines = [f"optimizer.param_groups[{place}].update(lr={rate!r})" for place in places]
    if training.patient.scheduler is not None:
        lines = [
            f"optimizer.param_groups[{place}].update(lr={rate!r}, initial_lr={rate!r})" for place in places
        ]
        lines += [f"scheduler.base_lrs[{place}] = {rate!r}" for place in places]
    return Code(
        "\n".join(lines) + "\n",
        f"behind the line that makes the optimizer; or lr={rate!r} for this group in that line",
    )


REMEDY = Remedy(
    name="raise_learning_rate",
    title="Raise the learning rate",
    answers=("lr_too_low", "frozen_layers", "clipping_always_on"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Where the loss falls, smoothly and hardly, and ten times the rate does clearly better on the same batches, "
        "the rate is what holds the training up. It is no answer to a gradient that vanishes on its way: the last "
        "layers then take steps that are too large before the first ones move."
    ),
)
