"""Mean field: how the variance of signals and of gradients moves from layer to layer of a very wide network.

Layer l computes h_l = W_l·f(h_{l-1}) + b_l with weights of variance σ_w²/fan_in and biases of variance σ_b².
As the width grows every pre-activation becomes Gaussian, and its variance q follows a map of one number
(Poole et al. 2016, equation 3; for ReLU that of He et al. 2015)::

    q ↦ σ_w²·V(q) + σ_b²    V(q) = E[f(√q·z)²]

while the mean squared gradient is multiplied, layer by layer towards the input, by
χ₁(q) = σ_w²·D(q) with D(q) = E[f'(√q·z)²] (Schoenholz et al. 2017, equation 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.theory.correlation import value_kernel
from evenflow.theory.gaussian import checked_variance, moments
from evenflow.theory.roots import crossings

Array = NDArray[np.float64]

LEAST, LARGEST = (
    1e-8,
    1e4,
)  # the variances among which fixed points are searched, before `largest` stretches them
AT_ZERO = 1e-24  # stands for the limit q → 0, where ratios of two vanishing moments are wanted
NEUTRAL = 1e-9  # how near 1 a slope counts as 1


@dataclass(frozen=True)
class FixedPoint:
    """A variance that the map leaves as it is.

    Args:
        variance: q*.
        slope: of the variance map there, slope_q; below 1 a deviation shrinks from layer to layer.
        stable: whether it does.
    """

    variance: float
    slope: float
    stable: bool


def variance_map(
    function: Activation | str, variance: ArrayLike, weight_variance: float, bias_variance: float = 0.0
) -> Array:
    """σ_w²·E[f(√q·z)²] + σ_b², the variance of the next layer's pre-activations.

    Raises:
        SpecError: a variance is negative or not finite, or E[f²] is not finite.
    """
    check_draw(weight_variance, bias_variance)
    return weight_variance * moments(function, variance).second + bias_variance


def variance_slope(function: Activation | str, variance: ArrayLike, weight_variance: float) -> Array:
    """The slope of the variance map, σ_w²·E[f·f'·z]/√q: Stein's lemma, so that f'' is not needed."""
    q = np.maximum(checked_variance(activation(function), variance), AT_ZERO)
    return weight_variance * moments(function, q).radial / np.sqrt(q)


def chi(function: Activation | str, variance: ArrayLike, weight_variance: float) -> Array:
    """χ₁ = σ_w²·E[f'(√q·z)²], the factor on the mean squared gradient per layer towards the input."""
    q = np.maximum(checked_variance(activation(function), variance), AT_ZERO)
    return weight_variance * moments(function, q).slope_second


def correlation_map(
    function: Activation | str,
    correlation: ArrayLike,
    variance: float,
    weight_variance: float,
    bias_variance: float = 0.0,
) -> Array:
    """The correlation of two inputs one layer on, both having variance q: (σ_w²·E[f(u)f(v)] + σ_b²)/q'.

    Poole et al. 2016, equation 5. Its slope at c = 1, for q a fixed point, is χ₁.
    """
    check_draw(weight_variance, bias_variance)
    value = value_kernel(function, variance, variance, correlation)
    after = variance_map(function, variance, weight_variance, bias_variance)
    return np.clip((weight_variance * value + bias_variance) / after, -1.0, 1.0)


def fixed_points(
    function: Activation | str, weight_variance: float, bias_variance: float = 0.0
) -> tuple[FixedPoint, ...]:
    """The fixed points of the variance map from 0 to `largest`, in rising order.

    Every one is found that a scan of eight steps a decade, with the turning points of q' - q added, brackets.
    Where every variance is a fixed point (ReLU at σ_w² = 2), none is isolated and the result is empty.

    >>> [(round(one.variance, 3), one.stable) for one in fixed_points("tanh", 25 / 9)]
    [(0.0, False), (1.178, True)]
    """
    function = activation(function)
    check_draw(weight_variance, bias_variance)
    if bias_variance == 0 and is_scale_invariant(function):
        factor = float(weight_variance * moments(function, 1.0).second)
        return () if abs(factor - 1) < NEUTRAL else (_point(function, 0.0, weight_variance),)

    def growth(q: Array) -> Array:
        return variance_map(function, q, weight_variance, bias_variance) / q - 1

    def turning(q: Array) -> Array:
        return variance_slope(function, q, weight_variance) - 1

    end = largest(weight_variance, bias_variance)
    grid = np.geomspace(LEAST, end, 1 + math.ceil(8 * math.log10(end / LEAST)))
    grid = np.unique(np.concatenate([grid, crossings(turning, grid)]))
    found = [float(q) for q in crossings(growth, grid)]
    if bias_variance == 0 and function(0.0) == 0:
        found.insert(0, 0.0)
    return tuple(_point(function, q, weight_variance) for q in found)


def settled_variance(
    function: Activation | str, weight_variance: float, bias_variance: float = 0.0, start: float = 1.0
) -> float:
    """Where the variance goes from `start` as depth grows: a fixed point, 0, or infinity.

    The layers are computed one by one until they settle; what is then still moving goes on in its direction to
    the next fixed point, for the map rises.
    """
    function = activation(function)
    check_draw(weight_variance, bias_variance)
    checked_variance(function, start)
    q, end = float(start), max(float(start), largest(weight_variance, bias_variance))
    for _ in range(100):
        after = float(variance_map(function, q, weight_variance, bias_variance))
        if abs(after - q) <= 1e-12 * after or after > end:
            q = after
            break
        q = after
    points = [one.variance for one in fixed_points(function, weight_variance, bias_variance)]
    growth = float(variance_map(function, q, weight_variance, bias_variance)) - q
    near = [point for point in points if abs(point - q) <= 1e-6 * max(point, q)]
    if near:
        return near[0]
    if abs(growth) <= 1e-9 * q:
        return q
    if growth > 0:
        return min((point for point in points if point > q), default=math.inf)
    return max((point for point in points if point < q), default=0.0)


def gain(function: Activation | str, variance: float = 1.0, *, centred: bool = False) -> float:
    """The standard deviation σ_w that keeps pre-activations at variance q without a bias: √(q/E[f²]).

    Args:
        function: an activation or its name.
        variance: q, above 0.
        centred: divide by the variance of f instead of its second moment, for layers that remove the mean of f,
            as scaled weight standardisation does (Brock, De & Smith 2021, section 3).

    >>> round(gain("tanh"), 6), round(gain("relu", centred=True), 6)
    (1.592537, 1.712859)
    """
    at = moments(function, variance)
    power = float(at.second - (at.mean**2 if centred else 0.0))
    if power <= 0 or variance <= 0:
        name = activation(function).name
        raise SpecError(
            f'activation "{name}" has no gain at variance {variance:g}: what it puts out does not vary'
        )
    return math.sqrt(variance / power)


def depth_scale(factor: float) -> float:
    """ξ = -1/ln(factor), the number of layers in which a deviation falls to 1/e (Schoenholz et al. 2017, section 4).

    Infinite at factor 1; negative where the deviation grows, for it then grows e-fold in |ξ| layers.

    >>> depth_scale(1.0), round(depth_scale(0.9), 3), round(depth_scale(1.1), 3)
    (inf, 9.491, -10.492)
    """
    if factor <= 0:
        return 0.0
    # the logarithm of a factor that is 1 to the last digits is noise
    return math.inf if abs(factor - 1) < NEUTRAL else -1 / math.log(factor)


def largest(weight_variance: float, bias_variance: float) -> float:
    """The variance from which growth counts as unbounded: 10⁴, or 10⁴ times σ_w² or σ_b² where one exceeds 1."""
    return LARGEST * max(1.0, weight_variance, bias_variance)


def is_scale_invariant(function: Activation | str) -> bool:
    """Whether f(s·z) = s·f(z) for every s > 0, as for ReLU and Leaky ReLU: no variance is special then."""
    function = activation(function)
    z = np.array([-31.7, -3.1, -0.37, 0.0, 0.53, 2.9, 41.3])
    return bool(
        all(np.allclose(function(s * z), s * function(z), rtol=1e-12, atol=0) for s in (0.01, 3.0, 100.0))
    )


def check_draw(weight_variance: float, bias_variance: float) -> None:
    """Raise SpecError unless σ_w² > 0 and σ_b² ≥ 0, both finite."""
    if not (math.isfinite(weight_variance) and weight_variance > 0):
        raise SpecError(f"the weight variance σ_w² is above 0 and finite, not {weight_variance:g}")
    if not (math.isfinite(bias_variance) and bias_variance >= 0):
        raise SpecError(f"the bias variance σ_b² is 0 or more and finite, not {bias_variance:g}")


def _point(function: Activation, q: float, weight_variance: float) -> FixedPoint:
    slope = float(variance_slope(function, q, weight_variance))
    return FixedPoint(q, slope, abs(slope) < 1 - NEUTRAL)
