"""The textbooks' chain: one unit a layer, and a gradient that is a product of slope × weight.

For h_l = w_l·f_{l-1}(h_{l-1}) the chain rule gives ``∂h_L/∂h_1 = Π_l w_{l+1}·f_l'(h_l)`` (Bengio, Simard & Frasconi
1994; Nielsen 2015, chapter 5). It is the arithmetic behind "0.25 to the power of 20", and not a wide network:
there every unit sums over fan-in many weights, and `meanfield.chi` takes the place of slope × weight.

A network of L layers has L - 1 such hops between its first and its last layer; that a count of layers is often
used for the count of hops is why numbers in print differ by one factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.spec.properties import properties

Names = Activation | str | Sequence[Activation | str]


@dataclass(frozen=True)
class Chain:
    """A gradient on its way back through a chain of single units.

    Args:
        activations: the name of the activation of each hop, the one nearest the input first.
        slopes: f' at each.
        weights: w of each.
        factors: slope × weight of each.
        gradient: their product; 0 where it underflows.
        log10: log10 of its size, which does not underflow; minus infinity where a factor is 0.
        remaining: what is left of a gradient of 1 after each hop; the first is the hop nearest the output.
    """

    activations: tuple[str, ...]
    slopes: tuple[float, ...]
    weights: tuple[float, ...]
    factors: tuple[float, ...]
    gradient: float
    log10: float
    remaining: tuple[float, ...]


def chain(
    activations: Names,
    weights: float | Sequence[float],
    hops: int | None = None,
    at: float | Sequence[float] | None = None,
) -> Chain:
    """The product of slope × weight over the hops of a chain.

    Args:
        activations: one for all hops, or one for each, the nearest to the input first; a shorter sequence repeats.
        weights: one for all hops, or one for each; a shorter sequence repeats.
        hops: how many; left out, the length of the longest sequence.
        at: the pre-activation of every hop, or of each; left out, each slope is the largest that f has, so that
            the product is an upper bound.

    Raises:
        SpecError: an activation is not known, there is no hop, a sequence is empty or longer than the chain, a
            number is not finite, or a slope is not bounded.

    >>> sigmoid = chain("sigmoid", 0.1, hops=3)
    >>> f"{1 / sigmoid.gradient:.0f} times smaller", round(sigmoid.log10, 3)
    ('64000 times smaller', -4.806)
    >>> chain(["relu", "sigmoid"], 1.0, hops=4).slopes
    (1.0, 0.25, 1.0, 0.25)
    """
    given = [activations] if isinstance(activations, (Activation, str)) else list(activations)
    functions = [activation(one) for one in given]
    numbers = {"weights": _listed(weights), "pre-activations": [] if at is None else _listed(at)}
    longest = max(len(functions), *(len(one) for one in numbers.values()))
    count = longest if hops is None else hops
    if count < 1:
        raise SpecError(f"a chain has 1 hop or more, not {count}; two layers make one hop")
    for what, length in (("activations", len(functions)), ("weights", len(numbers["weights"]))):
        if not length:
            raise SpecError(f"a chain needs {what}; none were given")
    if longest > count:
        raise SpecError(
            f"a chain of {count} hops takes at most {count} of each; a sequence of {longest} was given"
        )
    for what, values in numbers.items():
        for value in values:
            if not math.isfinite(value):
                raise SpecError(f"the {what} of a chain are finite numbers, not {value:g}")
    each = [functions[i % len(functions)] for i in range(count)]
    weight = [numbers["weights"][i % len(numbers["weights"])] for i in range(count)]
    if at is None:
        slopes = [_largest(function) for function in each]
    else:
        points = numbers["pre-activations"]
        slopes = [float(one.derivative(points[i % len(points)])) for i, one in enumerate(each)]
    factors = [slope * w for slope, w in zip(slopes, weight, strict=True)]
    remaining = tuple(accumulate(reversed(factors), mul))
    sizes = [abs(slope) for slope in slopes] + [abs(w) for w in weight]
    log10 = math.fsum(math.log10(size) for size in sizes) if all(sizes) else -math.inf
    return Chain(
        tuple(function.name for function in each),
        tuple(slopes),
        tuple(weight),
        tuple(factors),
        remaining[-1],
        log10,
        remaining,
    )


def _listed(values: float | Sequence[float]) -> list[float]:
    return [float(values)] if isinstance(values, (int, float)) else [float(value) for value in values]


def _largest(function: Activation) -> float:
    slope = properties(function).max_slope
    if not math.isfinite(slope):
        raise SpecError(
            f'activation "{function.name}" has no largest slope; give the pre-activations with at=...'
        )
    return slope
