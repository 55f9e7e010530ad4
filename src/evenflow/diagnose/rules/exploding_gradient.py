"""EF102: the gradient grows on its way back, or through training, beyond what any step can follow."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.case import Case, Series
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.layers import Matrices, matrices
from evenflow.diagnose.outcome import Outcome, outcome
from evenflow.diagnose.rescaled import costs, unit_sized, with_unit_sizes
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import Line, beginning, decades, line
from evenflow.wording import named, number

_DECADES = 2.0
"""Total growth over depth: a pre-norm Transformer of 100 blocks has 1, BatchNorm with ReLU at depth 20 has 1.4."""
_IN_TIME = 3.0
"""Decades above the first steps; what a gradient gains while a network learns is one or two."""
_LARGE = 1.0
"""Decades of the loss that a relative change of the weights would move: where all is well about 0."""
_SPIKES = 2.0
"""Decades of a single step above the median of the run, the median not being small itself."""


def judge(case: Case) -> Verdict | None:
    """The slope over depth of gradients and signals at the start, the growth of the whole gradient, the outcome."""
    found = matrices(case)
    result = outcome(case)
    twin = unit_sized(case, result)
    if not result.poor and not costs(result, twin):
        return None
    ran_away = result.diverged or not result.improving  # a network that begins to learn late has bursts, too
    grown = with_unit_sizes(_over_depth(case, found, result), twin, result)
    return grown or (_over_time(found, result) if result.poor and ran_away else None)


def _over_depth(case: Case, found: Matrices, result: Outcome) -> Verdict | None:
    """A trend towards the input in the gradients of the weights, or in what reaches the pre-activations."""
    trends = [("gradient", found.names, line(found.places, decades(found.start(found.gradient))))]
    signal = _signals(case)
    if signal is not None:
        values = decades(beginning(signal.values))
        trends.append(("signal", signal.names, line(np.arange(len(signal.sites), dtype=float), values)))
    grown = [(kind, names, trend) for kind, names, trend in trends if trend is not None and _grows(trend)]
    if not grown:
        return None
    kind, names, trend = min(grown, key=lambda one: one[2].rise)
    return Verdict(
        severity="fault",
        sites=names[: max(len(names) // 3, 1)][:8],
        message=(
            f"The {kind} that flows back grows {number(10**-trend.slope)} times per layer, {number(10**-trend.rise)} "
            f"times from the last layer to {named(names[0])}, and {result.words}."
        ),
        evidence={
            "decades_per_layer": -trend.slope,
            "decades_per_layer_low": -trend.high,
            "decades_per_layer_high": -trend.low,
            "first_to_last_decades": -trend.rise,
            "share_learned": result.learned,
        },
        first_step=int(found.steps[0]),
        strength=min(-trend.rise / 8.0, 1.0),
    )


def _grows(trend: Line) -> bool:
    return trend.falls and -trend.rise >= _DECADES


def _signals(case: Case) -> Series | None:
    """Of pre-activations alone: outputs of blocks lie on the skip connection, which has its own scale."""
    try:
        return case.series("signal_rms", "pre-activation")
    except MissingError:
        return None


def _over_time(found: Matrices, result: Outcome) -> Verdict | None:
    """The norm of the whole gradient over the steps."""
    total = decades(np.sqrt(np.nansum(np.square(found.gradient), axis=1)))
    known = total[np.isfinite(total)]
    if len(known) < 2:
        return None
    start, top = float(known[0]), float(np.max(known))
    typical = max(float(np.median(known)), start - 1.0)
    spikes = not result.improving and top - typical >= _SPIKES
    if not (top - start >= _IN_TIME or (spikes and top - start >= _SPIKES)):
        return None
    pull = decades(np.sqrt(np.nansum(np.square(found.pull(result.start)), axis=1)))
    if not np.nanmax(pull) >= _LARGE:
        return None
    limit = start + min(_SPIKES, _IN_TIME)
    onset = int(found.steps[int(np.argmax(np.where(np.isfinite(total), total, -np.inf) >= limit))])
    peak = int(np.argmax(np.where(np.isfinite(total), total, -np.inf)))
    row = np.where(np.isnan(found.gradient[peak]), -np.inf, found.gradient[peak])
    sites = tuple(found.names[place] for place in np.argsort(-row, kind="stable")[:3])
    return Verdict(
        severity="fault",
        sites=sites,
        message=(
            f"The gradient grew from {number(10**start)} to {number(10**top)}, beyond all measure from step {onset} "
            f"on and most in {named(sites[0])}, and {result.words}."
        ),
        evidence={
            "gradient_at_start": 10**start,
            "largest_gradient": 10**top,
            "growth_decades": top - start,
            "share_learned": result.learned,
        },
        first_step=onset,
        strength=min((top - start) / 10.0, 1.0) if math.isfinite(top) else 1.0,
    )


RULE = Rule(
    code="EF102",
    name="exploding_gradient",
    title="the gradient grows on its way back, or through training, beyond all measure",
    judge=judge,
    remedies=(
        "clip_gradients",
        "reinitialise",
        "add_normalisation",
        "add_skip_connections",
        "lower_learning_rate",
    ),
    follows_from=(
        "uncleared_gradient",
        "unnormalised_input",
        "poor_init",
        "lr_too_high",
        "exploding_activations",
        "bad_output_layer",
    ),
    confidence=0.95,
    explanation=(
        "Where each layer multiplies the gradient by more than 1, it grows exponentially on its way back; the updates "
        "of the first layers are then larger than the weights, and the loss jumps or ends as NaN. Through time the "
        "same happens in a recurrent network, and in any network whose steps are too large."
    ),
)
