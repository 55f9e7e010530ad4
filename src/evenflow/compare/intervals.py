"""A mean or a share over seeds, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean (or a share) over `count` seeds with an interval around it.

    Args:
        mean: NaN when nothing was counted; infinite when a value is.
        low, high: bounds of the interval; NaN where there is none: a single seed, or an infinite value.
        deviation: standard deviation between seeds, with n - 1 in the denominator; NaN where `low` is, and
            for a share.
        count: values that were counted.
        missing: values that were NaN (not measured, or never reached) and therefore not counted.
    """

    mean: float
    low: float
    high: float
    deviation: float
    count: int
    missing: int = 0


def mean_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Mean and Student's t interval, `mean ± t(n-1) s / √n` (Student 1908).

    A NaN is left out and counted in `missing`. An infinite value stays: the mean is then infinite (NaN when
    both signs occur) and there are no bounds. One value gives no bounds either. Equal values give an interval
    of width 0: these seeds show no spread, which is no proof that others would not.

    >>> interval = mean_interval([1.0, 2.0, 3.0])
    >>> round(interval.low, 3), interval.mean, round(interval.high, 3)
    (-0.484, 2.0, 4.484)
    """
    given = np.asarray(list(values), dtype=np.float64)
    counted = given[~np.isnan(given)]
    count, missing = len(counted), len(given) - len(counted)
    infinite = np.unique(counted[np.isinf(counted)])
    if len(infinite) or not count:
        mean = float(infinite[0]) if len(infinite) == 1 else math.nan
        return Interval(mean, math.nan, math.nan, math.nan, count, missing)
    mean = float(counted.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan, math.nan, count, missing)
    if counted.min() == counted.max():  # the rounded mean of equal values need not equal them
        value = float(counted[0])
        return Interval(value, value, value, 0.0, count, missing)
    deviation = float(counted.std(ddof=1))
    reach = float(stdtrit(count - 1, (1 + level) / 2)) * deviation / math.sqrt(count)
    return Interval(mean, mean - reach, mean + reach, deviation, count, missing)


def wilson_interval(successes: int, count: int, level: float = 0.95) -> Interval:
    """A share and its score interval (E. B. Wilson, JASA 22, 1927), which stays within 0 and 1.

    With p = successes / n and z the normal quantile:
    `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)`. One trial gives no bounds, as one seed never does.

    >>> share = wilson_interval(3, 3)
    >>> round(share.low, 3), share.mean, share.high
    (0.439, 1.0, 1.0)
    """
    if count < 2:
        return Interval(successes / count if count else math.nan, math.nan, math.nan, math.nan, count)
    z = float(ndtri((1 + level) / 2))
    share = successes / count
    shrink = 1 + z**2 / count
    centre = (share + z**2 / (2 * count)) / shrink
    reach = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / shrink
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == count else centre + reach
    return Interval(share, low, high, math.nan, count)
