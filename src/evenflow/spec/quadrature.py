"""Expectations of a function of a Gaussian variable, for kinked and stepped functions too.

Composite Gauss-Legendre: the line is cut into panels that shrink geometrically towards 0 (a function of √v·z
has features of width 1/√v there) and that break at kinks; a panel whose two halves disagree with it is halved
until they agree. Gauss-Hermite, the usual choice, errs by about 1/n for a kinked function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

_NODES = 20  # of one panel
_RANGE = 12.0  # beyond 12 standard deviations lies a share of 4e-33
_HALVINGS = 60  # a step anywhere is met to the last digit
_TOLERANCE = 1e-15  # of a panel, relative to E|f|

Function = Callable[[np.ndarray], np.ndarray]


@np.errstate(invalid="ignore", over="ignore")  # the mean of an infinite function is not an accident
def gaussian_mean(function: Function, variance: float = 1.0, kinks: Sequence[float] = ()) -> float:
    """E[function(√variance · z)] for z ~ N(0, 1).

    Args:
        function: takes and returns a vector of float64.
        variance: of the argument, 0 or more.
        kinks: arguments of `function` where it or its slope jumps. Those left out are met by halving, which
            takes more evaluations.

    >>> round(gaussian_mean(lambda z: z**2), 12), round(gaussian_mean(lambda z: abs(z), 4.0), 12)
    (1.0, 1.595769121606)
    """
    scale = math.sqrt(variance)
    if scale == 0:
        return float(function(np.zeros(1))[0])
    edges = _edges(tuple(kink / scale for kink in kinks))
    total = 0.0
    low, high = edges[:-1], edges[1:]
    whole, size = _panels(function, scale, low, high)
    bound = _TOLERANCE * max(float(np.sum(size)), 1e-300)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        left, _ = _panels(function, scale, low, middle)
        right, _ = _panels(function, scale, middle, high)
        # "not greater" rather than "less", so that an infinite or undefined panel is not halved for ever
        settled = ~(np.abs(left + right - whole) > bound)
        total += float(np.sum((left + right)[settled]))
        if settled.all():
            return total
        remaining = ~settled
        low, high = (
            np.concatenate([low[remaining], middle[remaining]]),
            np.concatenate([middle[remaining], high[remaining]]),
        )
        whole = np.concatenate([left[remaining], right[remaining]])
    return total + float(np.sum(whole))


def find_kinks(slope: Function, low: float = -40.0, high: float = 40.0) -> tuple[float, ...]:
    """The points between `low` and `high` where `slope`, the derivative of a function, jumps.

    Every cell of a fine grid is bisected towards the larger change; where the change does not shrink with the
    cell, it is a jump. Jumps below a millionth of the largest slope are not reported.

    >>> find_kinks(lambda z: np.where(abs(z) < 1, 1.0, 0.0)), find_kinks(np.tanh)
    ((-1.0, 1.0), ())
    """
    # 32 cells a unit: integers and simple fractions, where kinks like to be, are edges
    grid = np.linspace(low, high, round((high - low) * 32) + 1)
    values = slope(grid)
    smallest = 1e-6 * max(float(np.max(np.abs(values))), 1e-300)
    left, right, at_left, at_right = grid[:-1], grid[1:], values[:-1], values[1:]
    for _ in range(80):
        jumping = np.abs(at_right - at_left) > smallest
        left, right, at_left, at_right = (part[jumping] for part in (left, right, at_left, at_right))
        if not left.size or np.all(right - left <= 1e-15 * np.maximum(1.0, np.abs(left))):
            break
        middle = (left + right) / 2
        at_middle = slope(middle)
        keep_left = np.abs(at_middle - at_left) >= np.abs(at_right - at_middle)
        right, at_right = np.where(keep_left, middle, right), np.where(keep_left, at_middle, at_right)
        left, at_left = np.where(keep_left, left, middle), np.where(keep_left, at_left, at_middle)
    # the last digits of a bisected point are not known: 3.0000000000000004 is 3; two cells may share one kink
    return tuple(dict.fromkeys(round(float(point), 14) + 0.0 for point in (left + right) / 2))


@functools.cache
def _rule() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(_NODES)


@functools.lru_cache(maxsize=64)
def _edges(breaks: tuple[float, ...]) -> np.ndarray:
    towards_zero = _RANGE * 2.0 ** -np.arange(14.0)
    fixed = np.concatenate([towards_zero, -towards_zero, [0.0], np.arange(-_RANGE, _RANGE)])
    inside = [point for point in breaks if -_RANGE < point < _RANGE]
    return np.unique(np.concatenate([fixed, inside]))


def _panels(
    function: Function, scale: float, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The integrals of f·density and of |f|·density over each panel."""
    nodes, weights = _rule()
    half = (high - low) / 2
    z = ((low + high) / 2)[:, None] + half[:, None] * nodes
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    terms = function((scale * z).ravel()).reshape(z.shape) * density
    return half * (terms @ weights), half * (np.abs(terms) @ weights)
