"""A forecast as people read it: one line a layer, with notes that its figures call for, and a sentence.

Gradients are compared by their order of magnitude, log10 of the norm, since a deep network's leave the range of
a float. What theory says comes from a table of source *predicted*, what random networks did from one of source
*simulated* with a run a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.record.table import Table
from evenflow.report.series import logged
from evenflow.report.wording import decimal, from_log, of_the_last, raised

Array = NDArray[np.float64]

FLOAT32_ZERO = -150 * math.log10(2)
"""log10 of the number below which float32 rounds to 0: half of its smallest, 2⁻¹⁴⁹."""
_FLOAT32_LARGEST = 128 * math.log10(2)
_FAR = 3.0  # decades between a layer's gradient and the last layer's that are worth a note
_FADED, _GROWN = 1e-6, 1e6  # second moments of a pre-activation that are worth a note


@dataclass(frozen=True, eq=False)
class Layers:
    """Figures of every layer, the output layer last; NaN where there is none.

    Args:
        depth: number of the layer, from 1.
        log: mean of log10 of the norm of the weight's gradient over random initialisations.
        deviation: its standard deviation.
        second: second moment of the pre-activation.
        dead: share of dead units.
        seeds: log10 of that norm in networks that were drawn, seeds × layers, minus infinity for exactly 0;
            no seed where none was drawn.
        activations: name of every hidden layer's activation.
    """

    depth: NDArray[np.int64]
    log: Array
    deviation: Array
    second: Array
    dead: Array
    seeds: Array
    activations: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def measured(self) -> Array:
        """Mean over the drawn seeds, of those that are finite."""
        return _over_seeds(np.nanmean, self.seeds, 1)

    @property
    def measured_deviation(self) -> Array:
        """Standard deviation over the drawn seeds, with n - 1 in the denominator; NaN for one."""
        return _over_seeds(lambda logs, axis: np.nanstd(logs, axis=axis, ddof=1), self.seeds, 2)

    @property
    def zeros(self) -> NDArray[np.int64]:
        """In how many seeds the norm is exactly 0."""
        return np.sum(self.seeds == -math.inf, axis=0)


def layers_of(predicted: Table, drawn: Table | None = None) -> Layers:
    """The figures of a forecast, and of the networks drawn beside it, by layer."""
    weights = predicted.select(kind="weight", phase="accumulated")
    depth = np.unique(weights["depth"])
    seeds = np.empty((0, len(depth)))
    if drawn is not None:
        measured = drawn.select(kind="weight", phase="accumulated")
        seeds = np.full((len(measured.runs), len(depth)), np.nan)
        known = np.isin(measured["depth"], depth)
        place = np.searchsorted(depth, measured["depth"][known])
        seeds[measured["run"][known], place] = logged(measured["grad_norm"][known])
    names = predicted.runs[0].fields.get("activation", ()) if predicted.runs else ()
    names = [names] if isinstance(names, str) else list(names) if isinstance(names, list | tuple) else []
    hidden = range(max(0, len(depth) - 1))
    return Layers(
        depth=depth,
        log=_by_layer(weights, "grad_norm_log10", depth),
        deviation=_by_layer(weights, "grad_norm_log10_sd", depth),
        second=_by_layer(predicted.select(kind="pre-activation"), "rms", depth) ** 2,
        dead=_by_layer(predicted.select(kind="activation"), "dead_fraction", depth),
        seeds=seeds,
        activations=tuple(str(names[layer % len(names)]) for layer in hidden) if names else (),
    )


def notes(layers: Layers) -> tuple[str, ...]:
    """What there is to say of every layer; "" where nothing is out of the ordinary."""
    return tuple("; ".join(_notes(layers, place)) for place in range(len(layers)))


def chosen(layers: Layers, most: int = 24) -> NDArray[np.int64]:
    """Places of the layers that a short table shows: all, or round numbers, the first and the last two."""
    count = len(layers)
    if count <= most:
        return np.arange(count)
    steps = (part * 10**power for power in range(1, 9) for part in (0.2, 0.5, 1))
    step = next(int(step) for step in steps if count / step <= most - 3)
    round_ones = set(range(step - 1, count, step))
    return np.array(sorted(round_ones | {0, count - 2, count - 1}))


def summary(layers: Layers) -> str:
    """The gradient of the first layer against the last layer's, in a sentence."""
    if not len(layers) or math.isnan(layers.log[0] - layers.log[-1]):
        return "The gradient of the first layer cannot be predicted."
    ratio = layers.log[0] - layers.log[-1]
    return f"Predicted gradient of the first layer: {of_the_last(float(ratio))}."


def float32_sentence(predicted: Table, depth: int) -> str:
    """From which depth on float32 loses the first layer's gradient; "" where that is ten times the network's own."""
    lost = predicted.runs[0].facts.get("float32_depths") if predicted.runs else None
    if not isinstance(lost, list) or lost[0] is None or lost[0] > 10 * depth:
        return ""
    return (
        f"In float32, .norm() of the first layer's gradient reads 0 from a depth of about {lost[0]}, and every entry "
        f"is 0 from about {lost[1]}."
    )


def distance(layers: Layers) -> str:
    """How far apart prediction and drawn networks are in the worst layer, in a sentence; "" where none were drawn."""
    if not len(layers.seeds):
        return ""
    with np.errstate(invalid="ignore"):
        apart = np.abs(layers.log - layers.measured)
    apart[~np.isfinite(apart)] = np.nan  # a note says where every seed is exactly 0
    if np.isnan(apart).all():
        return "No layer has both a prediction and a measured gradient that is a finite number above 0."
    worst = int(np.nanargmax(apart))
    text = (
        f"Furthest apart in layer {layers.depth[worst]}: predicted {decimal(layers.log[worst])}, measured "
        f"{decimal(layers.measured[worst])}, a factor of {_factor(float(apart[worst]))}"
    )
    error = layers.measured_deviation[worst] / math.sqrt(np.isfinite(layers.seeds[:, worst]).sum())
    if not error > 0:
        return f"{text}."
    return f"{text}, {decimal(float(apart[worst] / error), 1)} standard errors of the measured mean."


def _by_layer(table: Table, statistic: str, depth: NDArray[np.int64]) -> Array:
    found = np.full(len(depth), np.nan)
    known = np.isin(table["depth"], depth)
    found[np.searchsorted(depth, table["depth"][known])] = table[statistic][known]
    return found


def _notes(layers: Layers, place: int) -> list[str]:
    found = []
    log, ratio = float(layers.log[place]), float(layers.log[place] - layers.log[-1])
    if ratio <= -_FAR:
        found.append(f"vanishing: {_power(ratio)}")
    elif ratio >= _FAR:
        found.append(f"exploding: {_power(ratio)}")
    if log < FLOAT32_ZERO:
        found.append("0 in float32")
    elif log > _FLOAT32_LARGEST:
        found.append("overflows float32")
    second, dead = float(layers.second[place]), float(layers.dead[place])
    if second < _FADED:
        found.append("signal fades")
    elif second > _GROWN:
        found.append("signal explodes")
    if dead >= 0.5:
        share = "all" if dead > 0.995 else "most" if dead >= 0.55 else "half"
        found.append(f"{share} units dead" if share != "half" else "half of the units dead")
    zeros, seeds = int(layers.zeros[place]), len(layers.seeds)
    if zeros:
        found.append(f"exactly 0 in {zeros} of {seeds} seeds")
    infinite = int(np.sum(layers.seeds[:, place] == math.inf))
    if infinite:
        found.append(f"infinite in {infinite} of {seeds} seeds")
    return found


def _power(log: float) -> str:
    return "0" if log == -math.inf else f"10{raised(round(log))}"


def _factor(log: float) -> str:
    return from_log(log, 3 if log < 1 else 2)


def _over_seeds(reduce: Callable[..., Any], seeds: Array, least: int) -> Array:
    logs = np.where(np.isfinite(seeds), seeds, np.nan)
    known = np.isfinite(logs).sum(axis=0) >= least
    found = np.full(seeds.shape[1], np.nan)
    if known.any():
        found[known] = reduce(logs[:, known], axis=0)
    if least == 1:  # every seed exactly 0
        found[(len(seeds) > 0) & (seeds == -math.inf).all(axis=0)] = -math.inf
    return found
