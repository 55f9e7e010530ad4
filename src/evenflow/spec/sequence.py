"""How a sample becomes a sequence, for networks that read one step after another."""

from __future__ import annotations

import math
from typing import Literal

Reading = Literal["rows", "pixels"]


def sequence(shape: tuple[int, ...], read: Reading) -> tuple[int, int]:
    """Steps, and features of each, of a sample of a shape.

    Args:
        shape: (length,) of a signal, which is one number a step; (steps, features) of a sequence; (height, width) of
            an image, or (height, width, channels).
        read: `rows`: the first axis is time. `pixels`: every number is a step, but an image's channels stay together.

    >>> sequence((8, 8), "rows"), sequence((8, 8), "pixels"), sequence((40,), "rows"), sequence((32, 32, 3), "pixels")
    ((8, 8), (64, 1), (40, 1), (1024, 3))
    """
    if len(shape) == 1:
        return shape[0], 1
    if read == "rows":
        return shape[0], math.prod(shape[1:])
    channels = math.prod(shape[2:])
    return math.prod(shape) // channels, channels
