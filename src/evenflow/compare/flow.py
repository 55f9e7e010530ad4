"""How the gradient flows through one run: first layer against last, and how much it changes a layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.compare.rows import RunRows, by_run
from evenflow.record.table import Table


@dataclass(frozen=True)
class FlowAt:
    """Gradient flow at one step, from the norms of the weights' gradients before clipping.

    Args:
        step: where it was read; -1 if no gradient was recorded.
        log_ratio: log10 of the norm of the first hidden layer's weight over that of the output weight. Minus
            infinity when the first is exactly 0, plus infinity when the last is, NaN when both are, or when
            either is not finite.
        slope: decades per layer: least squares of log10 norm on the number of the layer, output included.
            Positive: the gradient shrinks on its way to the input. NaN when any norm is 0 or not finite, for
            then no line fits; the two counts below say how many.
        zero_layers: layers whose norm is exactly 0.
        nonfinite_layers: layers whose norm is NaN or infinite.
    """

    step: int
    log_ratio: float
    slope: float
    zero_layers: int
    nonfinite_layers: int


@dataclass(frozen=True)
class Flow:
    """Gradient flow of one run at its first and at its last recorded step."""

    start: FlowAt
    end: FlowAt


def flows(table: Table) -> tuple[Flow, ...]:
    """Gradient flow of every run of the table, in the order of `table.runs`."""
    return tuple(flow_of_run(rows) for rows in by_run(table))


def flow_of_run(rows: RunRows) -> Flow:
    """Gradient flow of one run."""
    weights = rows.where(kind="weight", phase="accumulated")
    if not len(weights):
        nothing = flow_at(-1, np.array([]), np.array([]))
        return Flow(nothing, nothing)
    first, last = int(weights["step"].min()), int(weights["step"].max())
    start, end = (weights.where(step=step).in_order("depth") for step in (first, last))
    return Flow(
        flow_at(first, start["depth"], start["grad_norm"]), flow_at(last, end["depth"], end["grad_norm"])
    )


def flow_at(step: int, layers: NDArray, norms: NDArray) -> FlowAt:
    """Gradient flow from the numbers of the layers, rising, and the norms of their weights' gradients.

    >>> flow_at(0, np.array([1, 2, 3]), np.array([1e-4, 1e-3, 1e-2]))
    FlowAt(step=0, log_ratio=-2.0, slope=1.0, zero_layers=0, nonfinite_layers=0)
    """
    nonfinite, zero = int(np.sum(~np.isfinite(norms))), int(np.sum(norms == 0))
    if not len(norms):
        return FlowAt(step, math.nan, math.nan, zero, nonfinite)
    slope = math.nan
    if len(norms) > 1 and not zero and not nonfinite:
        slope = _least_squares_slope(layers.astype(np.float64), np.log10(norms))
    return FlowAt(step, _log_ratio(float(norms[0]), float(norms[-1])), slope, zero, nonfinite)


def _log_ratio(first: float, last: float) -> float:
    if not (math.isfinite(first) and math.isfinite(last)) or first == last == 0:
        return math.nan
    if first == 0 or last == 0:
        return -math.inf if first == 0 else math.inf
    return math.log10(first) - math.log10(last)


def _least_squares_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    centred = x - x.mean()
    return float(centred @ (y - y.mean()) / (centred @ centred))
