"""Where a function of a positive variable crosses 0: by bracketing and bisection, which cannot run away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_HALVINGS = 200


def crossings(function: Callable[[Array], Array], grid: Array) -> Array:
    """The points where `function` changes sign between neighbours on a rising grid of positive numbers.

    A point of the grid where it is exactly 0 counts when its neighbours have opposite signs. Bisection with
    regula falsi (Illinois: Dowell & Jarratt 1971), to the last digits.

    >>> crossings(lambda x: x**2 - 2, np.array([0.5, 1.0, 3.0])).round(12).tolist()
    [1.414213562373]
    """
    values = function(grid)
    kept = values != 0
    grid, values = grid[kept], values[kept]
    change = np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1]))
    return np.array([_root(function, grid[i], grid[i + 1], values[i], values[i + 1]) for i in change])


def _root(
    function: Callable[[Array], Array], low: float, high: float, at_low: float, at_high: float
) -> float:
    side = 0
    for turn in range(_HALVINGS):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        if turn % 4 == 3 or not low < middle < high:
            middle = (low + high) / 2
        if high - low <= 4e-16 * high or not low < middle < high:
            break
        value = float(function(np.array([middle]))[0])
        if value == 0:
            return middle
        if (value > 0) == (at_high > 0):
            high, at_high = middle, value
            at_low *= 0.5 if side == 1 else 1.0
            side = 1
        else:
            low, at_low = middle, value
            at_high *= 0.5 if side == -1 else 1.0
            side = -1
    return (low + high) / 2
