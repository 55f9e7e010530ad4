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


def level(
    whole: Array, correction: Array, narrowing: float, controls: Array | None = None, share: float = 1.0
) -> Level:
    """Put the wide network's logs, shape (many draws, layers), and the chains' corrections together, as log10.

    What the chains' known surprises explain of a correction is taken off (control variates: Owen 2013, §8.9).
    Noise that the two parts of a chain's samples do not have in common averages out further over the whole
    batch: by the `share` that a chain carries where it is a sample's own, not at all where it is a pair's. Which
    it is, is not known; √share lies between, and what was measured on saturating activations lies near it.

    Args:
        correction: of all samples of a chain, shape (chains, layers), or of two parts of them too,
            (chains, layers, 3).
    """
    parts = correction if correction.ndim == 3 else np.repeat(correction[:, :, None], 3, axis=2)
    correction = parts[:, :, 0]
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
    both = whole[:chains, :, None] + parts
    return Level(
        mean / (2 * LN10),
        _deviation(both, whole, narrowing, share),
        error / (2 * LN10),
        _deviation(both - both[:, -1:], whole - whole[:, -1:], narrowing, share),
    )


def _deviation(both: Array, whole: Array, narrowing: float, share: float) -> Array:
    centred = both - np.mean(both, axis=0)
    total = np.var(both[:, :, 0], axis=0, ddof=1)
    common = np.sum(centred[:, :, 1] * centred[:, :, 2], axis=0) / (len(both) - 1)
    total = total - np.maximum(total - np.maximum(common, 0.0), 0.0) * (1 - math.sqrt(share))
    if narrowing > 1:
        limit = np.var(whole, axis=0, ddof=1)
        total = limit + np.maximum(total - limit, 0.0) / narrowing
    return np.sqrt(total) / (2 * LN10)
