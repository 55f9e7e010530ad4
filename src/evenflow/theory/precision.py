"""At what depth a vanishing gradient is lost in float32.

float32 holds numbers down to 2⁻¹⁴⁹ and rounds what is below half of that to 0. A norm is lost long before: it squares
its entries first, so that `Tensor.norm()` and its relatives read 0 once the largest entry is below 2⁻⁷⁵. The entries
of ∂L/∂W are products of a unit's gradient and a unit's signal, each about Gaussian, so that the largest of n × m of
them is about √(2·ln n)·√(2·ln m) root mean squares.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

_SQUARED_ZERO = -75 * math.log10(2)  # log10 of the largest number whose square float32 rounds to 0
_ZERO = -150 * math.log10(2)
_LEVEL = 0.01  # decades a layer below which a gradient does not vanish


def float32_depths(norms: ArrayLike, fan_in: int, fan_out: int) -> tuple[float, float]:
    """The depths at which the first layer's gradient is lost in float32, inf where it does not vanish.

    The level of the first layer is carried on from the network's own depth with the median change a layer over the
    middle half of its layers. Within 10 % of the depths measured for sigmoid, tanh, ReLU and GELU with PyTorch's
    default and sigmoid with Xavier's initialisation, at width 64.

    Args:
        norms: log10 of the norm of every layer's weight gradient, shape (layers,), the first layer's first.
        fan_in, fan_out: of the first layer.

    Returns:
        The number of hidden layers from which `.norm()` reads 0, and from which every entry is 0.

    >>> [round(depth) for depth in float32_depths([-8.0, -7.0, -6.0, -5.0, -4.0], 64, 128)]
    [18, 40]
    """
    levels = np.asarray(norms, dtype=np.float64)
    quarter = len(levels) // 4
    changes = np.diff(levels)[quarter : len(levels) - 1 - quarter]
    rate = float(np.median(changes)) if len(changes) else 0.0
    if not rate > _LEVEL:
        return math.inf, math.inf
    tail = math.log10(2) + 0.5 * (
        math.log10(math.log(max(fan_in, 2))) + math.log10(math.log(max(fan_out, 2)))
    )
    largest = float(levels[0]) - 0.5 * math.log10(fan_in * fan_out) + tail
    hidden = len(levels) - 1
    found = [hidden + (largest - end) / rate for end in (_SQUARED_ZERO, _ZERO)]
    return max(1.0, found[0]), max(1.0, found[1])
