"""EF106: with depth all samples become the same vector, and nothing behind can tell them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, NotApplicableError, Verdict
from evenflow.diagnose.layers import hidden_activations, matrices
from evenflow.diagnose.outcome import outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import LEAST_POINTS, Line, Vector, decades, line, middle, outer
from evenflow.diagnose.twins import compared
from evenflow.wording import named, number

_SAME = -1.5
"""Decades of 1 − cosine: below 0.03 two samples differ by less than a quarter of their length."""
_DECADES = 1.0
"""By so much 1 − cosine has to fall over the depth; what begins alike is the data's doing."""


@dataclass(frozen=True)
class Collapse:
    """How far apart samples are, in decades of 1 − cosine.

    Args:
        trend: over depth, before the first update.
        first, last: in the first and the last third of the layers, before the first update.
        usual: in the last third, at most of the steps it was recorded at.
        names: of the activations.
        place: of the first from which on samples look the same.
        step: the first recorded one.
    """

    trend: Line
    first: float
    last: float
    usual: float
    names: tuple[str, ...]
    place: int
    step: int


def collapse(case: Case) -> Collapse | None:
    """1 − cosine of the samples' activations over depth; None where samples stay apart, or looked alike before.

    Raises:
        MissingError: it was not recorded, or the network has too few activations.
    """
    cosine = hidden_activations(case, "cosine")
    if len(cosine.sites) < LEAST_POINTS:
        raise NotApplicableError(
            f"a trend over depth needs {LEAST_POINTS} activations; this network has {len(cosine.sites)}"
        )
    apart = decades(np.maximum(1.0 - cosine.values, 1e-16).ravel()).reshape(cosine.values.shape)
    trend = line(np.arange(len(cosine.sites), dtype=float), apart[0])
    first, last = outer(apart[0])
    _, usual = outer(middle(apart))
    same = last <= _SAME and usual <= _SAME
    if trend is None or not trend.falls or not same or first - last < _DECADES:
        return None
    return Collapse(trend, first, last, usual, cosine.names, _collapsed_from(apart[0]), int(cosine.steps[0]))


def judge(case: Case) -> Verdict | None:
    """Whether samples collapse at the start and go on to, and nothing is learned."""
    found = collapse(case)
    if found is None:
        return None
    result = outcome(case)
    if not result.stuck or result.diverged or _hardly_moves(case):
        return None
    # A twin with another learning rate began with the same collapse: where it learns, that is not what costs.
    learns = any(twin.clear for twin in compared(case.setting, "learning_rate", result.start))
    return Verdict(
        severity="risk" if learns else "fault",
        sites=tuple(reversed(found.names[found.place :]))[:8],
        message=(
            f"From {named(found.names[found.place])} on all samples look the same: the cosine between two is "
            f"{number(1 - 10**found.last, 4)} in the last layers and {number(1 - 10**found.first, 2)} in the first, "
            f"and {result.words}."
        ),
        evidence={
            "cosine_in_the_first_layers": float(1 - 10**found.first),
            "cosine_in_the_last_layers": float(1 - 10**found.last),
            "cosine_in_the_last_layers_in_most_steps": float(1 - 10**found.usual),
            "decades_of_difference_per_layer": found.trend.slope,
            "decades_of_difference_per_layer_low": found.trend.low,
            "decades_of_difference_per_layer_high": found.trend.high,
            "share_learned": result.learned,
        },
        first_step=found.step,
        strength=0.45,
    )


def _hardly_moves(case: Case) -> bool:
    try:
        return matrices(case).hardly_move
    except MissingError:
        return False


def _collapsed_from(apart: Vector) -> int:
    """The first layer from which on samples stay the same."""
    different = np.flatnonzero(~(apart <= _SAME))
    return min(int(different[-1]) + 1 if len(different) else 0, len(apart) - 1)


RULE = Rule(
    code="EF106",
    name="correlation_collapse",
    title="with depth all samples become the same vector",
    judge=judge,
    remedies=("reinitialise", "add_skip_connections", "add_normalisation", "change_activation"),
    follows_from=(
        "uncleared_gradient",
        *("unnormalised_input", "symmetric_init", "poor_init", "lr_too_high", "dead_units"),
        *("vanishing_gradient", "frozen_layers"),
    ),
    confidence=0.94,
    explanation=(
        "The correlation of two samples obeys a map of its own from layer to layer, with a fixed point at 1. In the "
        "ordered phase (χ₁ < 1) they run into it exponentially: behind some depth the network gives one answer for "
        "all inputs, whatever its gradients look like."
    ),
)
