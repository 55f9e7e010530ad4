"""Trends over depth: the slope of a logarithm per layer, with its interval, that a few odd layers cannot bend.

Theil (1950) and Sen (1968): the slope is the median of the slopes of all pairs of points. Kendall's S of the same
points has variance n (n − 1)(2n + 5) / 18 without a trend, which gives the interval: the pairs' slopes of rank
(N ± z √Var S) / 2 of N. Nothing is assumed of how the points scatter, and a third of them may be wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_NORMAL_95 = 1.959964
LEAST_POINTS = 3
"""Below this no line is told from chance."""


@dataclass(frozen=True)
class Line:
    """A trend over depth.

    Args:
        slope: per unit of depth.
        low, high: ends of its 95 % interval.
        span: from the first point to the last, in units of depth.
        points: how many there were.
    """

    slope: float
    low: float
    high: float
    span: float
    points: int

    @property
    def rise(self) -> float:
        """What the line gains from the first point to the last."""
        return self.slope * self.span

    @property
    def rises(self) -> bool:
        """Whether all of the interval is above 0."""
        return self.low > 0.0

    @property
    def falls(self) -> bool:
        """Whether all of the interval is below 0."""
        return self.high < 0.0


def line(depths: Vector, values: Vector) -> Line | None:
    """The trend of `values` over `depths`, by Theil and Sen; None of fewer than three finite values.

    >>> found = line(np.arange(6.0), np.array([0.0, 1.0, 2.0, 99.0, 4.0, 5.0]))
    >>> found.slope, found.rises, found.rise
    (1.0, True, 5.0)
    """
    known = np.isfinite(values)
    depths, values = depths[known], values[known]
    count = len(values)
    if count < LEAST_POINTS or depths[0] == depths[-1]:
        return None
    first, second = np.triu_indices(count, 1)
    apart = depths[second] - depths[first]
    slopes = np.sort((values[second] - values[first])[apart != 0] / apart[apart != 0])
    spread = _NORMAL_95 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = math.floor((len(slopes) - spread) / 2)
    high = math.ceil((len(slopes) + spread) / 2)
    return Line(
        slope=float(np.median(slopes)),
        low=float(slopes[max(low, 0)]),
        high=float(slopes[min(high, len(slopes) - 1)]),
        span=float(depths[-1] - depths[0]),
        points=count,
    )


def since(steps: NDArray[np.int64], before: NDArray[np.bool_]) -> int | None:
    """The first step behind the last one at which something was otherwise; None where it still is at the end.

    >>> since(np.array([0, 2, 4, 6]), np.array([True, False, True, False]))
    6
    """
    otherwise = np.flatnonzero(before)
    after = steps[otherwise[-1] + 1 :] if len(otherwise) else steps
    return int(after[0]) if len(after) else None


def decades(values: Vector) -> Vector:
    """log10, NaN for what is not above 0 or not finite.

    >>> decades(np.array([100.0, 0.0, np.inf])).tolist()
    [2.0, nan, nan]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log10(values)
    return np.where(np.isfinite(found), found, np.nan)


def middle(values: NDArray[np.float64]) -> Vector:
    """Median over the steps of each column; NaN where nothing was measured.

    >>> middle(np.array([[1.0, np.nan], [3.0, np.nan], [9.0, np.nan]])).tolist()
    [3.0, nan]
    """
    found = np.full(values.shape[1], np.nan)
    for place in range(values.shape[1]):
        column = values[:, place]
        column = column[~np.isnan(column)]
        if len(column):
            found[place] = np.median(column)
    return found


def beginning(values: NDArray[np.float64]) -> Vector:
    """The first value of each column, which no update or hardly one has touched; NaN where nothing was measured.

    >>> beginning(np.array([[1.0, np.nan, np.nan], [9.0, 2.0, np.nan], [9.0, 4.0, np.nan]])).tolist()
    [1.0, 2.0, nan]
    """
    known = ~np.isnan(values)
    first = np.argmax(known, axis=0) if len(values) else np.zeros(values.shape[1], dtype=int)
    return np.array(
        [values[row, place] if known[:, place].any() else np.nan for place, row in enumerate(first)]
    )


def outer(values: Vector) -> tuple[float, float]:
    """Medians of the first third and of the last third of what is finite, at least one value each.

    >>> outer(np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0]))
    (1.5, 25.0)
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return math.nan, math.nan
    third = max(len(known) // 3, 1)
    return float(np.median(known[:third])), float(np.median(known[-third:]))
