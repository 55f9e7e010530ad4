"""What an activation function does to signals and gradients, measured from the function itself.

f and f' are scanned on a grid from -10⁴ to 10⁴ that is fine around 0, extremes and edges are then refined,
and expectations are integrals over z ~ N(0, 1). Nothing is typed in, so a function of the user's own is measured
in the same way.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evenflow.spec.activation import Activation, activation
from evenflow.spec.quadrature import find_kinks, gaussian_mean

Interval = tuple[float, float]
Function = Callable[[np.ndarray], np.ndarray]

SATURATED_BELOW = 0.01  # share of the largest slope under which an activation counts as saturated
_BESIDE = 1e-13  # how far beside a kink its one-sided limits are read


@dataclass(frozen=True)
class Properties:
    """Measured properties of an activation f with derivative f'; z ~ N(0, 1) in every expectation.

    Args:
        max_slope: the supremum of ``|f'|``.
        max_slope_at: where it is reached, of several places the nearest to 0; ±inf where it is only approached.
        minimum, maximum: infimum and supremum of f.
        mean: E[f(z)].
        zero_centred: whether E[f(z)] is 0.
        monotone: whether f never falls, or never rises.
        saturated: the intervals where ``|f'|`` is less than 1 % of `max_slope`; where that is infinite, `dead`.
        dead: the intervals where f' is exactly 0, so that no gradient passes.
        second_moment: E[f(z)²].
        slope_second_moment: E[f'(z)²].
        gain: 1/√E[f(z)²], the factor on the weights behind f that keeps the second moment at 1.
        kinks: the points where f' jumps.
        slope_at_zero: f'(0).
        slope_at_zero_is_convention: whether f has a kink at 0, so that f'(0) is agreed, not derived.
    """

    max_slope: float
    max_slope_at: float
    minimum: float
    maximum: float
    mean: float
    zero_centred: bool
    monotone: bool
    saturated: tuple[Interval, ...]
    dead: tuple[Interval, ...]
    second_moment: float
    slope_second_moment: float
    gain: float
    kinks: tuple[float, ...]
    slope_at_zero: float
    slope_at_zero_is_convention: bool


def properties(function: Activation | str) -> Properties:
    """Measure an activation; the result is kept, so that a second call costs nothing.

    Raises:
        SpecError: the name is not known.

    >>> sigmoid = properties("sigmoid")
    >>> sigmoid.max_slope, sigmoid.max_slope_at, sigmoid.zero_centred
    (0.25, 0.0, False)
    >>> properties("relu").dead
    ((-inf, 0.0),)
    """
    return _measured(activation(function))


@functools.lru_cache(maxsize=256)
def _measured(function: Activation) -> Properties:
    kinks = find_kinks(function.derivative)
    grid = _grid(kinks)
    values, slopes = function(grid), function.derivative(grid)
    # a function of the user's own may overflow far out; it is measured where it is finite
    finite = np.isfinite(values) & np.isfinite(slopes)
    grid, values, slopes = grid[finite], values[finite], slopes[finite]
    max_slope, max_slope_at = _largest_slope(function, grid, slopes, kinks)
    largest = max_slope if max_slope < math.inf else 0.0

    def is_saturated(z: np.ndarray) -> np.ndarray:
        size = np.abs(function.derivative(z))
        return (size < SATURATED_BELOW * largest) | (size == 0)

    def is_dead(z: np.ndarray) -> np.ndarray:
        return function.derivative(z) == 0

    second_moment = gaussian_mean(lambda z: function(z) ** 2, kinks=kinks)
    mean = gaussian_mean(function, kinks=kinks)
    zero_centred = abs(mean) <= 1e-12 * max(1.0, math.sqrt(second_moment))
    return Properties(
        max_slope=max_slope,
        max_slope_at=max_slope_at,
        minimum=0.0 - _supremum(lambda z: -function(z), grid, -values),
        maximum=_supremum(function, grid, values),
        mean=0.0 if zero_centred else mean,
        zero_centred=zero_centred,
        monotone=bool(np.all(slopes >= -1e-12) or np.all(slopes <= 1e-12)),
        saturated=_intervals(is_saturated, grid),
        dead=tuple(one for one in _intervals(is_dead, grid) if not _underflows(function, one)),
        second_moment=second_moment,
        slope_second_moment=gaussian_mean(lambda z: function.derivative(z) ** 2, kinks=kinks),
        gain=1 / math.sqrt(second_moment) if second_moment > 0 else math.inf,
        kinks=kinks,
        slope_at_zero=float(function.derivative(0.0)),
        slope_at_zero_is_convention=0.0 in kinks,
    )


def _grid(kinks: tuple[float, ...]) -> np.ndarray:
    near = np.linspace(-40.0, 40.0, 80 * 512 + 1)
    far = np.geomspace(40.0, 1e4, 2000)
    beside = [kink + side for kink in kinks for side in (-_BESIDE, 0.0, _BESIDE)]
    return np.unique(np.concatenate([near, far, -far, beside]))


def _largest_slope(
    function: Activation, grid: np.ndarray, slopes: np.ndarray, kinks: tuple[float, ...]
) -> tuple[float, float]:
    def steepness(z: np.ndarray) -> np.ndarray:
        return np.abs(function.derivative(z))

    sizes = np.abs(slopes)
    reached = grid[sizes >= np.max(sizes) * (1 - 1e-15)]
    nearest = float(reached[np.argmin(np.abs(reached))])
    largest, at = _zoomed(steepness, grid, nearest)
    beside = [kink for kink in kinks if abs(at - kink) <= 2 * _BESIDE]
    if beside:
        return largest, beside[0]
    if _is_limit(steepness, at, largest, float(grid[-1])):
        end = math.copysign(math.inf, at)
        beyond = float(steepness(np.array([end]))[0])
        return (largest if math.isnan(beyond) else max(largest, beyond)), end
    return largest, at


def _is_limit(steepness: Function, at: float, largest: float, edge: float) -> bool:
    """Whether the largest slope is only approached, as by softplus: it lasts to the edge and begins smoothly."""
    if abs(at) < 1:
        return False
    outside, inside = math.copysign(edge, at), at - math.copysign(0.01, at)
    at_edge, before = steepness(np.array([outside, inside]))
    return bool(at_edge >= largest * (1 - 1e-15) and largest - before < 1e-9 * largest) or abs(at) >= edge


def _zoomed(function: Function, grid: np.ndarray, start: float) -> tuple[float, float]:
    """The largest value of `function` in the two cells of the grid around `start`, and where it is."""
    index = int(np.searchsorted(grid, start))
    low, high = grid[max(index - 1, 0)], grid[min(index + 1, len(grid) - 1)]
    best, at = float(function(np.array([start]))[0]), start
    for _ in range(8):
        z = np.linspace(low, high, 33)
        values = function(z)
        index = int(np.argmax(values))
        if values[index] > best * (1 + 1e-15):
            best, at = float(values[index]), float(z[index])
        low, high = z[max(index - 1, 0)], z[min(index + 1, 32)]
    return best, at


def _supremum(function: Function, grid: np.ndarray, values: np.ndarray) -> float:
    best, _ = _zoomed(function, grid, float(grid[np.argmax(values)]))
    for end in (-math.inf, math.inf):
        limit = float(function(np.array([end]))[0])
        if math.isnan(limit):  # 0·∞ in a function of the user's own: does it still grow far out?
            near, far = function(np.array([math.copysign(1e4, end), math.copysign(1e8, end)]))
            limit = math.inf if far > near + 1.0 else float(far)
        if limit > best:
            best = limit
    return best + 0.0


def _intervals(holds: Callable[[np.ndarray], np.ndarray], grid: np.ndarray) -> tuple[Interval, ...]:
    """The intervals on which `holds` is true, their ends bisected; single points are left out."""
    inside = np.concatenate([[False], holds(grid), [False]])
    starts = np.flatnonzero(inside[1:] & ~inside[:-1])
    stops = np.flatnonzero(~inside[1:] & inside[:-1]) - 1
    found = []
    for start, stop in zip(starts, stops, strict=True):
        if stop > start:
            low = -math.inf if start == 0 else _edge(holds, grid[start], grid[start - 1])
            high = math.inf if stop == len(grid) - 1 else _edge(holds, grid[stop], grid[stop + 1])
            found.append((low, high))
    return tuple(found)


def _edge(holds: Callable[[np.ndarray], np.ndarray], inside: float, outside: float) -> float:
    for _ in range(60):
        middle = (inside + outside) / 2
        if holds(np.array([middle]))[0]:
            inside = middle
        else:
            outside = middle
    return round(float(inside), 12) + 0.0


def _underflows(function: Activation, interval: Interval) -> bool:
    """Whether f' is 0 there only because float64 ends: just outside it is already as good as 0."""
    outside = [end + side for end, side in zip(interval, (-0.01, 0.01), strict=True) if math.isfinite(end)]
    return any(abs(slope) < 1e-12 for slope in function.derivative(np.array(outside)))
