"""From draws to a prediction: the mean of a logarithm over seeds, its spread, and what the draws leave uncertain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LN10 = math.log(10)


@dataclass(frozen=True)
class Level:
    """A quantity of every layer, over the draw of the weights.

    Args:
        mean: mean of its log10, shape (layers,).
        deviation: standard deviation of its log10 between seeds, shape (layers,).
        error: standard error of `mean` from the finite number of draws, shape (layers,).
        ratio_deviation: standard deviation of its log10 relative to the last layer's.
    """

    mean: Array
    deviation: Array
    error: Array
    ratio_deviation: Array


def log_of(values: Array) -> Array:
    """Logarithms of figures that are 0 or more; of 0, that of the smallest number that is looked at."""
    return np.log(np.maximum(values, 1e-300))


def level(
    whole: Array,
    correction: Array,
    narrowing: float,
    averaging: float = 1.0,
    controls: Array | None = None,
) -> Level:
    """Put the wide network's logs and the chains' corrections together, as log10.

    What the chains' known surprises explain of a correction is taken off (control variates: Owen 2013, §8.9).

    Args:
        whole: logs of squares in the wide network for many draws of the logits, shape (draws, layers); the first
            belong to the chains.
        correction: what a chain adds to them, shape (chains, layers).
        narrowing: how many times narrower the chains are than the network; their noise is divided by it.
        averaging: what is left of a chain's variance in the whole batch.
        controls: of mean 0, shape (chains, layers, controls).
    """
    chains, layers = correction.shape
    mean, error = np.empty(layers), np.empty(layers)
    for layer in range(layers):
        columns = [np.ones(chains)] if controls is None else [np.ones(chains), *controls[:, layer].T]
        design = np.stack(columns, axis=1)
        fitted, *_ = np.linalg.lstsq(design, correction[:, layer], rcond=None)
        residual = correction[:, layer] - design @ fitted
        mean[layer] = np.mean(whole[:, layer]) + fitted[0] / narrowing
        freedom = max(1, chains - design.shape[1])
        error[layer] = math.sqrt(float(np.sum(residual**2)) / freedom / chains) / narrowing
    both = whole[:chains] + correction
    return Level(
        mean / (2 * LN10),
        _deviation(both, whole, averaging / narrowing),
        error / (2 * LN10),
        _deviation(both - both[:, -1:], whole - whole[:, -1:], averaging / narrowing),
    )


def _deviation(both: Array, whole: Array, left: float) -> Array:
    """The spread of the wide network, and what is left of the additional one of the chains."""
    total, limit = np.var(both, axis=0, ddof=1), np.var(whole, axis=0, ddof=1)
    return np.sqrt(limit + np.maximum(total - limit, 0.0) * left) / (2 * LN10)
