"""Lower the learning rate: by what the doctor's twins say, or a range test where there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from evenflow.diagnose.twins import CLEARLY
from evenflow.prescribe.prescription import Prescription, Remedy, View
from evenflow.prescribe.range_test import LOWER, range_test
from evenflow.prescribe.rates import (
    distinct,
    largest_rate,
    rate_twins,
    scaled,
    scaled_code,
    shown,
    told,
    twin_of,
)

FACTORS = (0.1, 0.01)
"""Tried where neither twins nor a range test have said anything."""
MOST = 3
"""Forms that are offered."""


def forms(view: View) -> Sequence[Prescription]:
    """Lower rates, the one whose twin did best first."""
    if why_not(view):
        return ()
    return [_form(view, factor) for factor in list(distinct(_factors(view)))[:MOST]]


def why_not(view: View) -> str:
    """Nothing to lower, or it has been seen to be worse."""
    if not largest_rate(view.training) > 0.0:
        return "no parameter group has a learning rate above 0"
    lower = [one for one in rate_twins(view) if one.trial.factor < 1]
    if lower and not lower[0].rescued and lower[0].points <= -CLEARLY:
        return (
            f"with {lower[0].trial.factor:g} times the learning rate the same training was "
            f"{-lower[0].points:.0f} points worse"
        )
    return ""


def _factors(view: View) -> list[float]:
    lower = [one for one in rate_twins(view) if one.trial.factor < 1]
    if not lower:
        best = range_test(view.training, LOWER).best
        return [best, *FACTORS] if best < 1 else list(FACTORS)
    best = lower[0].trial.factor
    first = lower[0].trial.loss[0] if lower[0].trial.loss else math.nan
    if not lower[0].clear and not lower[0].loss < first and not lower[0].own_loss < first:
        tested = range_test(view.training, LOWER).best  # all ran away: no twin went far enough down
        return [*([tested] if tested < 1 else []), best, best / 10.0, best / 100.0]
    # Beyond the best, and between it and what there is: the best of three powers of ten is within √10 of the best.
    return [best, best * math.sqrt(10.0), *(one.trial.factor for one in lower[1:]), best / 10.0]


def _form(view: View, factor: float) -> Prescription:
    rate = largest_rate(view.training)
    return Prescription(
        remedy="lower_learning_rate",
        choice=f"{factor:.3g}",
        title=f"Lower the learning rate from {shown(rate)} to {shown(rate * factor)}",
        why=(
            f"the steps of {shown(rate)} go further than the gradient's word holds; {shown(rate * factor)} is "
            f"{factor:.3g} times as much{told(twin_of(view, factor))}"
        ),
        sign="smaller_updates",
        change=partial(scaled, factor=factor),
        code=lambda: scaled_code(view.training, factor),
        size=1,
    )


REMEDY = Remedy(
    name="lower_learning_rate",
    title="Lower the learning rate",
    answers=("lr_too_high", "exploding_gradient", "exploding_activations", "dead_units", "nonfinite_origin"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A step of gradient descent lowers the loss as long as the rate stays below two over the curvature. Above, "
        "the loss jumps or runs away, and units can be thrown to where they are silent for ever. A lower rate helps "
        "against none of what is there before the first step: weights that are alike, a graph that is cut, units "
        "that were born dead, a gradient that vanishes on its way."
    ),
)
