"""EF103: the forward signal grows by a factor per layer, or without end through training."""

from __future__ import annotations

import math
import re

import numpy as np

from evenflow.diagnose.case import Case, Series
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.layers import hidden_activations
from evenflow.diagnose.outcome import Outcome, outcome
from evenflow.diagnose.rescaled import ABSURD, by_the_twin, costs, unit_sized, with_unit_sizes
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import Vector, beginning, decades, line
from evenflow.diagnose.twins import Comparison, compared
from evenflow.wording import named, number

_DECADES = 1.5
"""Growth over depth: a residual stream grows like the square root of the depth, 1 decade in 100 blocks."""
_FACTOR = 0.08
"""Decades per layer, a factor of 1.2: below it, growth over a usual depth does no harm."""
_LARGE = 10.0
"""Root mean square that is large by itself: what has grown to less began at nothing."""
_IN_TIME = 3.0
"""Decades of a layer's signal over that of its first steps; learning brings one."""
_OVERFLOWING = 2.0
"""Decades of an operand over the inputs: layers that keep a signal's size, as all usual ones do, add less than one."""
_GROWN = 1.0
"""Decades from the inputs, or from 1 where they are smaller, to what a layer puts out: drawn by theory it keeps their
size."""
_DRAWN_LARGE = 2.0
"""Times the deviation that theory asks for, from which on it is a layer's own weights that make its output large."""
_SHORT = 0.5
"""Decades from the inputs to the last hidden layer: drawn by He, both have the same root mean square."""
_TROUBLE = 0.6
"""What may be learned in spite of it where the loss ends above a guess's: answers at random places that happen to be
right, since nothing has brought their size down."""
_OPERAND = re.compile(r" in \[([^,\]]+), ([^\]]+)\]")
_MODULE = re.compile(r'^forward: [^"]* in (?:"([^"]+)"|the model\'s own forward)')


def judge(case: Case) -> Verdict | None:
    """The slope over depth of log10 of the activations' size at the start, their growth in time, the outcome."""
    overflow = _overflow(case)
    if overflow is not None:
        return overflow
    result = outcome(case)
    twin = unit_sized(case, result)
    try:
        signal = hidden_activations(case, "rms")
    except MissingError:
        if found := _by_outputs(case, result, twin) or by_the_twin(case, result, twin):
            return found
        raise
    return (
        _judged(case, result, twin, signal)
        or _by_outputs(case, result, twin)
        or by_the_twin(case, result, twin)
    )


def _by_outputs(case: Case, result: Outcome, twin: Comparison | None) -> Verdict | None:
    """What layers put out, where code between them multiplies the signals in ways that no activation shows."""
    layers = [
        layer
        for layer in case.setting.layers
        if layer.output_rms > 0.0 and not layer.weight_std > _DRAWN_LARGE * layer.expected_std
    ]
    if any(each.clear for each in compared(case.setting, "weights")):
        return None  # what weights drawn anew mend is their matter
    inputs = _inputs(case, "rms")
    begins = max(inputs, 1.0) if inputs > 0.0 else 1.0
    if not layers or not (result.poor or costs(result, twin)) or not result.absurd_start > ABSURD:
        return None
    top = max(layers, key=lambda layer: layer.output_rms)
    growth = math.log10(top.output_rms / begins) if math.isfinite(top.output_rms) else math.nan
    if not growth >= _GROWN:
        return None
    verdict = Verdict(
        severity="fault",
        sites=(top.name,),
        message=(
            f"The signals grow {number(10**growth)} times from the inputs to what {named(top.name)} puts out before "
            f"the first step; the loss begins at {number(result.start, 3)}, {number(result.absurd_start)} times that "
            f"of a guess, and {result.words}."
        ),
        evidence={
            "growth_decades": growth,
            "rms_of_the_largest_output": top.output_rms,
            "loss_at_start_over_chance": result.absurd_start,
            "share_learned": result.learned,
        },
        first_step=int(case.steps[0]),
        strength=min(growth / 6.0, 1.0),
    )
    return with_unit_sizes(verdict, twin, result)


def _judged(case: Case, result: Outcome, twin: Comparison | None, signal: Series) -> Verdict | None:
    """By the activations themselves."""
    start = decades(beginning(signal.values))
    if not result.poor and not costs(result, twin):
        grown = _over_depth(signal, start, result) if _still_absurd(case, result) else None
        return with_unit_sizes(grown, twin, result)
    grown = _over_depth(signal, start, result) or _over_few_layers(case, signal, start, result)
    return with_unit_sizes(grown, twin, result) or (
        _over_time(signal, start, result) if result.poor else None
    )


def _still_absurd(case: Case, result: Outcome) -> bool:
    """Whether the loss, absurd at the start, is still that of answers at random though many are right.

    It ends above ten times a guess's with little learned, or above a guess's while a twin shows what is missing.
    """
    if not result.absurd_start > ABSURD:
        return False
    if result.end > ABSURD * result.chance and result.learned < _TROUBLE:
        return True
    twins = [each for change in ("inputs", "learning_rate") for each in compared(case.setting, change)]
    return result.end > result.chance and any(each.clear for each in twins)


def _overflow(case: Case) -> Verdict | None:
    """Signals that overflow in the first forward pass: the operands of what did it, against the inputs."""
    setting = case.setting
    module = _MODULE.search(setting.origin)
    if module is None or not len(case.steps) or setting.origin_step > case.steps[0]:
        return None
    ranges = [(float(low), float(high)) for low, high in _OPERAND.findall(setting.origin)]
    # By the upper end: the lower one may be a mask, which takes a large negative number to say "not here".
    operand = max((high for _, high in ranges), default=0.0)
    inputs = _inputs(case, "max_abs")
    if not operand > 0.0 or not inputs > 0.0 or not math.isfinite(operand):
        return None
    growth = math.log10(operand / inputs)
    if growth < _OVERFLOWING:
        return None
    site = module.group(1)
    where = named(site) if site else "an operation of the model's own forward"
    return Verdict(
        severity="fault",
        sites=(site,) if site else (),
        message=(
            f"The signals grow {number(10**growth)} times from the inputs to {where}, to {number(operand)} "
            f"before the first step, and overflow there."
        ),
        evidence={"growth_decades": growth, "largest_operand": operand, "largest_input": inputs},
        first_step=int(case.steps[0]),
        strength=min(growth / 6.0, 1.0),
    )


def _inputs(case: Case, statistic: str) -> float:
    """The largest figure of the model's inputs at the start; NaN where none was recorded, as of words."""
    try:
        values = beginning(case.series(statistic, "input").values)
    except MissingError:
        return math.nan
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


def _over_few_layers(case: Case, signal: Series, start: Vector, result: Outcome) -> Verdict | None:
    """Too few layers for a line: from the inputs to the last hidden layer, where the loss at the start is absurd."""
    inputs = math.log10(inputs) if (inputs := _inputs(case, "rms")) > 0.0 else math.nan
    known = np.flatnonzero(np.isfinite(start))
    if result.absurd_start <= ABSURD or not len(known):
        return None
    top = int(known[np.argmax(start[known])])
    growth = float(start[top]) - inputs
    if not growth >= _SHORT or not start[known[-1]] - inputs >= _SHORT:
        return None
    return Verdict(
        severity="fault",
        sites=(signal.names[top],),
        message=(
            f"The activations grow {number(10**growth)} times from the inputs to {named(signal.names[top])}; before "
            f"the first step the loss is {number(result.start, 3)}, {number(result.absurd_start)} times that of a "
            f"guess, and {result.words}."
        ),
        evidence={
            "growth_decades": growth,
            "rms_of_the_inputs": 10**inputs,
            "rms_of_the_last_layer": float(10 ** start[top]),
            "loss_at_start_over_chance": result.absurd_start,
            "share_learned": result.learned,
        },
        first_step=int(signal.steps[0]),
        strength=min(growth / 3.0, 1.0),
    )


def _over_depth(signal: Series, start: Vector, result: Outcome) -> Verdict | None:
    """An exponential: the line over depth fits better than the line over the depth's logarithm (a power law)."""
    depths = np.arange(1.0, len(start) + 1.0)
    trend = line(depths, start)
    if trend is None or not trend.rises or trend.rise < _DECADES or trend.slope < _FACTOR:
        return None
    power = line(np.log10(depths), start)
    if power is not None and _scatter(np.log10(depths), start) < 0.5 * _scatter(depths, start):
        return None
    top = int(np.nanargmax(start))
    return Verdict(
        severity="fault",
        sites=tuple(reversed(signal.names[max(top - 2, 0) : top + 1])),
        message=(
            f"The activations grow {number(10**trend.slope)} times per layer, to {number(10 ** start[top])} in "
            f"{named(signal.names[top])} before the first step, and {result.words}."
        ),
        evidence={
            "factor_per_layer": 10**trend.slope,
            "factor_per_layer_low": 10**trend.low,
            "factor_per_layer_high": 10**trend.high,
            "rms_of_the_first_layer": float(10 ** start[np.isfinite(start)][0]),
            "rms_of_the_last_layer": float(10 ** start[top]),
            "share_learned": result.learned,
        },
        first_step=int(signal.steps[0]),
        strength=min(trend.rise / 6.0, 1.0),
    )


def _scatter(depths: Vector, values: Vector) -> float:
    """Sum of squares around the straight line of least squares."""
    known = np.isfinite(values)
    fit = np.polyfit(depths[known], values[known], 1)
    return float(np.square(values[known] - np.polyval(fit, depths[known])).sum())


def _over_time(signal: Series, start: Vector, result: Outcome) -> Verdict | None:
    large = np.where(signal.values >= _LARGE, signal.values, np.nan)
    grown = decades(large.ravel()).reshape(large.shape) - start
    if not np.isfinite(grown).any():
        return None
    top = np.max(np.where(np.isfinite(grown), grown, -np.inf), axis=0)
    worst = int(np.argmax(top))
    if not top[worst] >= _IN_TIME:
        return None
    column = np.where(np.isfinite(grown[:, worst]), grown[:, worst], -np.inf)
    onset = int(signal.steps[int(np.argmax(column >= _IN_TIME))])
    order = np.argsort(-top, kind="stable")[:3]
    return Verdict(
        severity="fault",
        sites=tuple(signal.names[place] for place in order),
        message=(
            f"The activations of {named(signal.names[worst])} have grown {number(10 ** top[worst])} times since the "
            f"start, a thousand times by step {onset}, and {result.words}."
        ),
        evidence={
            "growth_decades": float(top[worst]),
            "rms_at_start": float(10 ** start[worst]),
            "share_learned": result.learned,
        },
        first_step=onset,
        strength=min(float(top[worst]) / 10.0, 1.0),
    )


RULE = Rule(
    code="EF103",
    name="exploding_activations",
    title="the forward signal grows by a factor per layer, or without end through training",
    judge=judge,
    remedies=("reinitialise", "add_normalisation", "scale_residual_branches", "lower_learning_rate"),
    follows_from=("uncleared_gradient", "unnormalised_input", "bad_output_layer", "poor_init", "lr_too_high"),
    confidence=0.98,
    explanation=(
        "Each layer multiplies the variance of its input by σ_w² E[φ²]/q. Above 1 the signal grows exponentially with "
        "depth; the logits are then absurd before the first step, and the loss with them. A residual stream grows too, "
        "but like the square root of the depth, which does no harm."
    ),
)
