"""The promised sign: what a remedy should change besides the loss, measured before and after over the same steps.

Whether a network learns better is one question, whether for the reason that was given is another. A remedy against a
vanishing gradient promises that the gradient reaches the first layers; if the network learns without that, the reason
was another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.layers import hidden_activations, matrices
from evenflow.diagnose.learning import nonfinite_loss_step
from evenflow.diagnose.trends import decades, line, middle, outer
from evenflow.prescribe.prescription import Sign
from evenflow.record.table import Table
from evenflow.spec.setting import NAN
from evenflow.verify.trial import Look

_CLOSER = 0.5
"""A figure that should be 1 has come closer if its logarithm is at most half of what it was …"""
_NEAR = 1.0
"""… or within one decade, having been outside of it."""
_FEWER = 0.5
"""A share that should be 0 is at most half of what it was."""
_STILL = 1e-12


@dataclass(frozen=True)
class Reading:
    """A sign before and after.

    Args:
        sign: which.
        before, after: its value, over the same steps; NaN where it cannot be measured.
        appeared: whether it has come; None where that cannot be told.
    """

    sign: Sign
    before: float
    after: float
    appeared: bool | None

    @property
    def words(self) -> str:
        """What it is, for people."""
        return WORDS[self.sign]


def reading(sign: Sign, before: Table, after: Sequence[Look]) -> Reading:
    """A sign of the original and of a candidate over the same steps: those in which the original shows it more.

    Args:
        sign: which.
        before: of the original, with all of its steps.
        after: of the candidate, leg by leg.
    """
    found: list[Reading] = []
    for look in after:
        steps = look.table.index["step"]
        if not len(steps):
            continue
        values = (
            measured(sign, _cut(before, look.first, look.first + int(steps.max()))),
            measured(sign, look.table),
        )
        found.append(Reading(sign, *values, _appeared(sign, *values)))
    told = [one for one in found if one.appeared is not None]
    if not told:
        return found[0] if found else Reading(sign, NAN, NAN, None)
    return max(told, key=lambda one: _badness(sign, one.before))


def measured(sign: Sign, table: Table) -> float:
    """The value of a sign in a table of one run; NaN where it has no such figures."""
    if not table.runs:
        return NAN
    try:
        with np.errstate(all="ignore"):
            return float(_MEASURES[sign](Case(table, table.runs[0])))
    except MissingError:
        return NAN


def _cut(table: Table, first: int, last: int) -> Table:
    """The rows of these steps; of a training that ended sooner the last there are."""
    steps = table.index["step"]
    if not len(steps):
        return table
    end = int(steps.max())
    if end < first:
        first, last = end - (last - first), end
    return table.select(step=lambda column: (column >= first) & (column <= last))


def _gradient_ratio(case: Case) -> float:
    """Median over the steps of ‖∂L/∂W‖ ‖W‖ in the first third of the matrices over that in the last third."""
    found = matrices(case)
    first, last = outer(middle(found.gradient * found.weight))
    return first / last if last > 0.0 else NAN


def _gradient_through_time(case: Case) -> float:
    """‖∂L/∂x_t‖ at the first time step over that at the last before any update, where it is smallest."""
    found = [one.gradient for one in case.setting.recurrences if one.gradient[-1] > 0.0]
    return min((gradient[0] / gradient[-1] for gradient in found), default=NAN)


def _gradient_growth(case: Case) -> float:
    """By how much the gradient's ‖∂L/∂W‖ ‖W‖ grows from one matrix to the one in front of it."""
    found = matrices(case)
    trend = line(found.places, decades(middle(found.gradient * found.weight)))
    return 10.0**-trend.slope if trend else NAN


def _activation_growth(case: Case) -> float:
    """By how much the root mean square of the activations grows from layer to layer."""
    series = hidden_activations(case, "rms")
    trend = line(np.arange(len(series.sites), dtype=float), decades(middle(series.values)))
    return 10.0**trend.slope if trend else NAN


def _worst_activation(statistic: str) -> Callable[[Case], float]:
    """The largest over the hidden activations of the median over the steps."""

    def of(case: Case) -> float:
        values = middle(hidden_activations(case, statistic).values)
        return float(np.nanmax(values)) if np.isfinite(values).any() else NAN

    return of


def _alike_units(case: Case) -> float:
    """The smallest share of units of a layer that are like no other."""
    shares = [layer.distinct_units for layer in case.setting.layers if not math.isnan(layer.distinct_units)]
    return min(shares, default=NAN)


def _moving_weights(case: Case) -> float:
    """The share of the matrices that move."""
    series = case.series("update_norm", "weight")
    every = [one for one in case.setting.parameters if one.kind == "weight"]
    return float((np.nanmax(series.values, axis=0) > _STILL).sum()) / max(len(every), len(series.sites))


def _usual_update(case: Case) -> float:
    """The median over steps and matrices of ‖ΔW‖ / ‖W‖."""
    values = case.series("update_to_weight", "weight").values
    return float(np.nanmedian(values)) if np.isfinite(values).any() else NAN


def _largest_update(case: Case) -> float:
    """The largest over the steps of the median over the matrices: one step too far is enough to silence units."""
    values = case.series("update_to_weight", "weight").values
    known = values[np.isfinite(values).any(axis=1)]
    return float(np.nanmedian(known, axis=1).max()) if len(known) else NAN


def _finite(case: Case) -> float:
    """The share of the steps in front of the first loss that is not finite."""
    bad = nonfinite_loss_step(case)
    if bad is None:
        return 1.0
    steps = case.steps
    return float((steps < bad).sum()) / len(steps)


def _loss(case: Case) -> float:
    """The median of the last third of the losses."""
    values = case.loss.values[:, 0]
    return float(np.median(values[-max(len(values) // 3, 1) :]))


_MEASURES: dict[Sign, Callable[[Case], float]] = {
    "gradient_ratio": _gradient_ratio,
    "gradient_through_time": _gradient_through_time,
    "activation_growth": _activation_growth,
    "gradient_growth": _gradient_growth,
    "dead_units": _worst_activation("dead_fraction"),
    "saturation": _worst_activation("saturated_fraction"),
    "alike_samples": _worst_activation("cosine"),
    "alike_units": _alike_units,
    "moving_weights": _moving_weights,
    "smaller_updates": _largest_update,
    "larger_updates": _usual_update,
    "finite": _finite,
    "loss": _loss,
}

WORDS: dict[Sign, str] = {
    "gradient_ratio": "gradient of the first layers over that of the last",
    "gradient_through_time": "gradient of the first time step over that of the last",
    "activation_growth": "growth of the activations per layer",
    "gradient_growth": "growth of the gradient per layer, backwards",
    "dead_units": "dead units in the worst layer",
    "saturation": "saturated activations in the worst layer",
    "alike_samples": "mean cosine between two samples in the worst layer",
    "alike_units": "units that are like no other, in the worst layer",
    "moving_weights": "matrices that move",
    "smaller_updates": "largest update relative to the weight",
    "larger_updates": "usual update relative to the weight",
    "finite": "steps before the first loss that is not finite",
    "loss": "loss",
}
"""What each sign is, for people."""

SHARES: frozenset[Sign] = frozenset({"dead_units", "saturation", "alike_units", "moving_weights", "finite"})
"""Those that are shares, shown in percent."""

_TO_ONE: frozenset[Sign] = frozenset(
    {"gradient_ratio", "gradient_through_time", "activation_growth", "gradient_growth"}
)
_TO_ZERO: frozenset[Sign] = frozenset({"dead_units", "saturation", "alike_samples"})
_UP: frozenset[Sign] = frozenset({"alike_units", "moving_weights", "finite"})
_CHANGED = 0.8
"""Factor by which a relative update has to differ.

At equal gradients it goes with the learning rate, for Δw = −η ∂L/∂w, and Adam's is η √n / ‖w‖ at most whatever the
gradient (Kingma and Ba 2015, section 2.1).
"""
_FEWEST, _MOST = 2.0**-24, 1.0
"""Relative updates between which a change is one for the better.

What is smaller is rounded away in single precision. What is larger leaves nothing of the weight, and the gradient says
nothing any more: with L layers it may change by (1 + ‖Δw‖/‖w‖)ᴸ − 1 of itself (Bernstein et al. 2020, deep relative
trust).
"""


def _badness(sign: Sign, value: float) -> float:
    """How far a value is from what it should be; ∞ where it cannot be measured or is not finite."""
    if not math.isfinite(value):
        return math.inf
    if sign in _TO_ONE:
        return abs(math.log10(value)) if value > 0.0 else math.inf
    if sign in _TO_ZERO:
        return value
    if sign in _UP:
        return 1.0 - value
    return -value if sign == "larger_updates" else value


def _appeared(sign: Sign, before: float, after: float) -> bool | None:
    if math.isnan(after):
        return None
    was, now = _badness(sign, before), _badness(sign, after)
    if math.isnan(before):
        return None
    if sign == "activation_growth" or sign == "gradient_growth":
        return now <= _CLOSER * was
    if sign == "smaller_updates":
        return _FEWEST < after <= _CHANGED * before
    if sign == "larger_updates":
        return before <= _CHANGED * after and _FEWEST < after < _MOST
    if sign in _TO_ONE:
        return now <= _CLOSER * was or (now <= _NEAR < was)
    if sign in _TO_ZERO:
        return now <= _FEWER * was if sign != "alike_samples" else 1.0 - now >= 2.0 * (1.0 - was)
    return now < was
