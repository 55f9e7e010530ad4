"""Paired differences over equal seeds.

Two networks with equal seeds saw the same batches in the same order, so the difference seed by seed is free
of what both had in common, and mostly spreads less than the difference of two means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from evenflow.compare.intervals import mean_interval

# Differences of rounded shares that ought to be equal differ by a few units in the last place.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """Second minus first, over the seeds that both have.

    Args:
        mean: mean difference; NaN without a common seed.
        low, high: 95 % Student t interval; NaN with fewer than two common seeds.
        p_value: two-sided, of no difference; NaN with fewer than two common seeds.
        count: common seeds with a figure on both sides.
        unpaired: seeds that only one side has, or for which a side has no figure (NaN).
    """

    mean: float
    low: float
    high: float
    p_value: float
    count: int
    unpaired: int


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float], level: float = 0.95
) -> Difference:
    """Mean difference `second - first` over common seeds, with interval and p value of the paired t test.

    Where all differences are equal, t has no value. The p value is then 1 if they are 0, and otherwise that
    of the exact sign test, `2^(1-n)`: networks that never learn end on the same accuracy for every seed, and
    a p value of 0 would make much of it.

    Args:
        first, second: seed -> figure.
        level: of the interval.

    >>> found = paired_difference({0: 0.5, 1: 0.6, 2: 0.7}, {0: 0.6, 1: 0.8, 2: 0.8})
    >>> round(found.mean, 4), round(found.p_value, 4)
    (0.1333, 0.0572)
    """
    common = [
        seed
        for seed in first
        if seed in second and not math.isnan(first[seed]) and not math.isnan(second[seed])
    ]
    unpaired = len(first.keys() | second.keys()) - len(common)
    differences = np.array([second[seed] - first[seed] for seed in common], dtype=np.float64)
    if len(differences) and np.ptp(differences) <= _ROUNDING * max(1, float(np.abs(differences).max())):
        differences[:] = differences.mean() if abs(differences.mean()) > _ROUNDING else 0.0
    interval = mean_interval(differences, level)
    return Difference(
        interval.mean,
        interval.low,
        interval.high,
        _p_value(interval.mean, interval.deviation, interval.count),
        len(common),
        unpaired,
    )


def _p_value(mean: float, deviation: float, count: int) -> float:
    if math.isnan(deviation):
        return math.nan
    if deviation == 0:
        return 1.0 if mean == 0 else 2.0 ** (1 - count)
    return float(2 * stdtr(count - 1, -abs(mean) / (deviation / math.sqrt(count))))


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p values: the chance that any of the comparisons misleads stays below the level.

    The i-th smallest of m becomes `max over j ≤ i of min(1, (m - j + 1) p_j)` (S. Holm, Scandinavian Journal
    of Statistics 6, 1979). It holds whatever the dependence between the comparisons. A NaN is no test: it
    stays NaN and is not counted.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * given[order]))
    return adjusted
