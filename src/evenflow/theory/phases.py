"""The phase of a random network: does depth make inputs alike (ordered), tear them apart (chaotic), or neither?

Two inputs of one variance have a correlation c that follows a map with a fixed point at 1, whose slope there is
χ₁, the factor on the gradient. Below 1 all inputs become alike and gradients vanish; above 1 they settle at
c* < 1 and gradients explode (Poole et al. 2016, section 3; Schoenholz et al. 2017, section 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evenflow.spec.activation import Activation, activation
from evenflow.theory.correlation import slope_kernel
from evenflow.theory.meanfield import (
    AT_ZERO,
    NEUTRAL,
    chi,
    correlation_map,
    depth_scale,
    largest,
    settled_variance,
    variance_map,
    variance_slope,
)
from evenflow.theory.roots import crossings

SCALES_TRAINABLE = 6  # Schoenholz et al. 2017, section 5: networks of up to about 6 ξ_c layers train


@dataclass(frozen=True)
class Phase:
    """What depth does to signals and gradients at one initialisation of a very wide network.

    Args:
        name: ordered (χ₁ < 1), critical (χ₁ = 1) or chaotic (χ₁ > 1).
        variance: q*, where the variance of pre-activations settles; 0 where it fades, inf where it grows on.
        variance_slope: slope_q of the variance map there.
        chi: χ₁, the factor on the mean squared gradient per layer towards the input.
        correlation: c*, where the correlation of two inputs settles.
        correlation_slope: of the correlation map there.
        variance_scale: ξ_q = -1/ln slope_q, in layers.
        correlation_scale: ξ_c = -1/ln of `correlation_slope`.
        gradient_scale: ξ_∇ = -1/ln χ₁; negative where gradients explode.
        trainable_depth: 6·ξ_c layers, an empirical rule for plain networks (Schoenholz et al. 2017). The rule was
            found where the variance settles; where it fades or grows on, 6·|ξ_∇| stands in for it.
    """

    name: Literal["ordered", "critical", "chaotic"]
    variance: float
    variance_slope: float
    chi: float
    correlation: float
    correlation_slope: float
    variance_scale: float
    correlation_scale: float
    gradient_scale: float
    trainable_depth: float


def phase(
    function: Activation | str, weight_variance: float, bias_variance: float = 0.0, start: float = 1.0
) -> Phase:
    """The phase of a plain network with weights of variance σ_w²/fan_in and biases of variance σ_b².

    Where the variance fades or grows without bound, the numbers are those of the limit (read at 10⁻²⁴ or,
    to 1 %, at `meanfield.largest`);
    softplus with He's weights is ordered at every variance it passes, and χ₁ rises to 1 with the depth.

    Args:
        function: an activation or its name.
        weight_variance: σ_w², above 0. He's is 2, LeCun's 1, PyTorch's default 1/3.
        bias_variance: σ_b².
        start: variance of the first pre-activations; it decides which fixed point is reached, and the variance
            itself where every one is a fixed point.

    Raises:
        SpecError: a variance is out of range, or E[f²] is not finite.

    >>> tanh = phase("tanh", 25 / 9)  # PyTorch's calculate_gain("tanh") is 5/3
    >>> tanh.name, round(tanh.variance, 3), round(tanh.chi, 4)
    ('chaotic', 1.178, 1.2098)
    """
    function = activation(function)
    variance = settled_variance(function, weight_variance, bias_variance, start)
    at = min(max(variance, AT_ZERO), largest(weight_variance, bias_variance))
    chi_1 = float(chi(function, at, weight_variance))
    slope = float(variance_slope(function, at, weight_variance))
    bounded = 0 < variance < math.inf
    # the limit of an infinite variance is only read off at a large one
    near = NEUTRAL if variance < math.inf else 1e-2
    name = _name(chi_1)
    chi_1, slope = (1.0 if abs(one - 1) < near else one for one in (chi_1, slope))
    shrink = 1.0 if bounded else at / float(variance_map(function, at, weight_variance, bias_variance))
    correlation, correlation_slope = 1.0, chi_1 * shrink
    if abs(correlation_slope - 1) < near:
        correlation_slope = 1.0
    if correlation_slope > 1:
        correlation = _correlation(function, at, weight_variance, bias_variance)
        correlation_slope = weight_variance * float(slope_kernel(function, at, at, correlation)) * shrink
    scale = depth_scale(correlation_slope)
    return Phase(
        name=name,
        variance=variance,
        variance_slope=slope,
        chi=chi_1,
        correlation=correlation,
        correlation_slope=correlation_slope,
        variance_scale=depth_scale(slope),
        correlation_scale=scale,
        gradient_scale=depth_scale(chi_1),
        trainable_depth=SCALES_TRAINABLE * abs(scale if bounded else depth_scale(chi_1)),
    )


def _name(chi_1: float) -> Literal["ordered", "critical", "chaotic"]:
    if abs(chi_1 - 1) < NEUTRAL:
        return "critical"
    return "ordered" if chi_1 < 1 else "chaotic"


def _correlation(function: Activation, q: float, weight_variance: float, bias_variance: float) -> float:
    """c* < 1: the map is a power series with no negative coefficient, so on 0 … 1 it crosses c at most once more."""
    if abs(float(correlation_map(function, 0.0, q, weight_variance, bias_variance))) < 1e-14:
        return 0.0
    distance = np.geomspace(1e-12, 1.0, 25)  # 1 - c

    def excess(d: np.ndarray) -> np.ndarray:
        return correlation_map(function, 1 - d, q, weight_variance, bias_variance) - (1 - d)

    found = crossings(excess, distance)
    return 1 - float(found[-1]) if len(found) else 1.0
