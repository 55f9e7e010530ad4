"""How far the weights moved: the update of each step relative to the weight, and the way covered in all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Movement:
    """What the optimiser did to the weights (not biases, nor the scales of normalisations).

    Args:
        steps: recorded steps.
        sites: names of the weights, in the order of depth.
        ratio: ‖Δw‖ / ‖w‖ by step and weight; NaN where either was not measured.
        stride: steps of the training for each recorded one.
    """

    steps: NDArray[np.int64]
    sites: tuple[str, ...]
    ratio: NDArray[np.float64]
    stride: float

    @property
    def path(self) -> Vector:
        """Σ ‖Δw‖ / ‖w‖ over the steps, by weight: an upper bound of its relative change."""
        return self.stride * np.nansum(self.ratio, axis=0)

    @property
    def late_path(self) -> Vector:
        """The path had all steps been as large as the largest tenth of the later half, which is past a warm-up."""
        if not len(self.steps):
            return np.zeros(len(self.sites))
        later = self.ratio[len(self.steps) // 2 :]
        filled = np.where(np.isfinite(later), later, 0.0)
        return self.stride * len(self.steps) * np.quantile(filled, 0.9, axis=0)

    def fastest(self, count: int = 3) -> tuple[str, ...]:
        """Names of the weights that were changed most in one step."""
        peak = np.nanmax(np.where(np.isfinite(self.ratio), self.ratio, 0.0), axis=0, initial=0.0)
        return tuple(self.sites[place] for place in np.argsort(-peak, kind="stable")[:count])

    def median_at(self, steps: slice) -> float:
        """Median over weights and over these recorded steps; NaN where nothing was measured."""
        part = self.ratio[steps]
        part = part[np.isfinite(part)]
        return float(np.median(part)) if part.size else float("nan")


def movement(case: Case) -> Movement:
    """What the optimiser did to the weights of a case.

    Raises:
        MissingError: updates were not recorded.
    """
    try:
        series = case.series("update_to_weight", "weight")
    except MissingError:
        raise case.missing(
            "update_to_weight of the weights", "give the probe the optimiser and leave statistics out"
        ) from None
    span = int(series.steps[-1] - series.steps[0]) if len(series) else 0
    stride = max(span / (len(series) - 1), 1.0) if len(series) > 1 else 1.0
    return Movement(series.steps, series.names, series.values, stride)


def elasticity(case: Case) -> float:
    """max over weights of the median of ‖∂L/∂w‖ ‖w‖ / |L|: by how many per cent the loss can change with 1 % of w.

    Free of the units of loss and weight, and near 0.1 to 10 wherever a gradient arrives; far below, the gradient is
    at fault rather than the learning rate.

    Raises:
        MissingError: gradients, weights or loss were not recorded.
    """
    gradient, weight = case.series("grad_norm", "weight"), case.series("weight_norm", "weight")
    steps = np.intersect1d(np.intersect1d(gradient.steps, weight.steps), case.loss.steps)
    common = sorted(set(gradient.names) & set(weight.names))
    if not len(steps) or not common:
        raise MissingError("gradients, weights and loss have no step in common")
    loss = np.abs(case.loss.values[np.isin(case.loss.steps, steps), 0])
    product = np.ones((len(steps), len(common)))
    for series in (gradient, weight):
        columns = [series.names.index(name) for name in common]
        product *= series.values[np.isin(series.steps, steps)][:, columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = product / loss[:, None]
    found = [np.median(column[np.isfinite(column)]) for column in relative.T if np.isfinite(column).any()]
    return float(max(found, default=0.0))
