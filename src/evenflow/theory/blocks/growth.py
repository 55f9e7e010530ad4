"""Growth: what a stack of equal blocks does to its signal and, on the way back, to the gradient.

Every prediction of this sub-package is one `Growth`: the second moment of the stream after each block and the
mean squared gradient at the input of each block, both averaged over weights as He et al. (2015, equations 10
and 14) do. A prediction knows for what it holds; asked for something else it says so, and its numbers are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenflow.errors import SpecError, suggest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """The growth of signal and gradient through L blocks, or through L time steps.

    Args:
        what: the blocks in words.
        forward: second moment of the stream after each block, relative to that of the input; shape (L,).
        backward: mean squared gradient at the input of each block, relative to that at the output of the last;
            shape (L,).
        per_block: factor on the gradient's norm per block towards the input, the geometric mean over the blocks.
        validity: for what the figures hold, one sentence.
        outside: empty, or one sentence why the question is outside the validity; all numbers are NaN then.
    """

    what: str
    forward: Array = field(repr=False)
    backward: Array = field(repr=False)
    per_block: float
    validity: str
    outside: str


def grown(
    what: str, forward: ArrayLike, backward: ArrayLike, validity: str, reasons: Iterable[str] = ()
) -> Growth:
    """A `Growth` from the factor of every block, in the order of the signal.

    The product is taken in logarithms; a factor on the mean square below or beyond what float64 holds comes out
    as 0 or infinity in `forward` and `backward`, but not in `per_block`.

    Args:
        what: the blocks in words.
        forward: factor on the second moment of the stream, shape (L,).
        backward: factor on the mean squared gradient, shape (L,).
        validity: for what the figures hold.
        reasons: why the question is outside; the first one that is not empty counts.

    >>> found = grown("doubling", [2.0, 2.0], [4.0, 4.0], "anything")
    >>> found.forward.round(12).tolist(), found.backward.round(12).tolist(), round(found.per_block, 12)
    ([2.0, 4.0], [16.0, 4.0], 2.0)
    """
    outside = next((reason for reason in reasons if reason), "")
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        ahead = np.cumsum(np.log(np.asarray(forward, dtype=np.float64)))
        back = np.cumsum(np.log(np.asarray(backward, dtype=np.float64))[::-1])[::-1]
        signal, gradient = np.exp(ahead), np.exp(back)
    if outside:
        nothing = np.full(len(back), math.nan)
        return Growth(what, nothing, nothing.copy(), math.nan, validity, outside)
    return Growth(what, signal, gradient, math.exp(float(back[0]) / (2 * len(back))), validity, "")


def check_count(name: str, value: float, least: int = 1, *, endless: bool = False) -> None:
    """Raise SpecError unless `value` is a whole number of `least` or more; `endless` lets infinity pass."""
    whole = math.isfinite(value) and value == int(value)
    if not (whole or (endless and value == math.inf)) or value < least:
        raise SpecError(f"{name} is a whole number of {least} or more, not {value:g}")


def check_variance(name: str, value: float, *, positive: bool = False) -> None:
    """Raise SpecError unless `value` is finite and 0 or more, or above 0 where it must be `positive`."""
    if not (math.isfinite(value) and (value > 0 or (value == 0 and not positive))):
        raise SpecError(f"{name} is {'above 0' if positive else '0 or more'} and finite, not {value:g}")


def check_number(name: str, value: float) -> None:
    """Raise SpecError unless `value` is finite."""
    if not math.isfinite(value):
        raise SpecError(f"{name} is a finite number, not {value:g}")


def check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    """Raise SpecError unless `value` is among the `known` names.

    >>> check_choice("normalisation", "layr", ("none", "layer"))
    Traceback (most recent call last):
        ...
    evenflow.errors.SpecError: normalisation "layr" is not known; did you mean "layer"?
    """
    if value not in known:
        raise SpecError(
            f'{what} "{value}" is not known{suggest(str(value), known) or "; known are " + ", ".join(known)}'
        )
