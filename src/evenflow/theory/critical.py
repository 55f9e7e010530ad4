"""The critical line: every (σ_w², σ_b²) at which gradients neither vanish nor explode.

A variance q stays as it is while χ₁ = 1 exactly when σ_w² = 1/D(q) and σ_b² = q - V(q)/D(q), V = E[f²] and
D = E[f'²]. One line gives the whole curve; where σ_b² comes out negative, no initialisation with independent
weights is critical at that q (Roberts, Yaida & Hanin 2022, section 5.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.theory.gaussian import moments
from evenflow.theory.meanfield import is_scale_invariant
from evenflow.theory.roots import crossings

Array = NDArray[np.float64]
Kind = Literal["scale-invariant", "stable", "half-stable", "none"]

LEAST, LARGEST = 1e-6, 1e4  # the variances looked at
_UNSTABLE = 1e6
_ROUNDING = 1e-12  # of q, below which σ_b² is 0


@dataclass(frozen=True)
class CriticalPoint:
    """A critical initialisation.

    Args:
        variance: q*, the variance of every pre-activation.
        weight_variance, bias_variance: σ_w² and σ_b².
        variance_slope: slope_q; above 1 the variance drifts away from q*, if slowly.
        stable: whether it does not. At a slope of exactly 1, where no variance is special, it does not.
    """

    variance: float
    weight_variance: float
    bias_variance: float
    variance_slope: float
    stable: bool


@dataclass(frozen=True)
class CriticalLine:
    """The critical initialisations of an activation, for q* from 10⁻⁶ to 10⁴.

    Args:
        kind: *scale-invariant* (ReLU: one σ_w², any q*), *stable* (tanh, ELU, SELU: q* attracts wherever the
            line exists), *half-stable* (GELU, SiLU, Mish, Hardswish: only above `stable_from`) or *none*.
        starts: the q* from which the line exists; 0 if from the smallest, inf if nowhere.
        stable_from: the q* from which it is stable, inf if nowhere.
        verdict: one sentence for people.
    """

    activation: str
    kind: Kind
    starts: float
    stable_from: float
    verdict: str


def critical_values(function: Activation | str, variance: ArrayLike) -> tuple[Array, Array]:
    """σ_w² and σ_b² of the critical line at q*; a negative σ_b² says that there is no critical point."""
    at = moments(function, variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = 1 / at.slope_second
        bias = at.variance - at.second * weight
    return weight, np.where(np.abs(bias) <= _ROUNDING * at.variance, 0.0, bias)


def critical_point(function: Activation | str, variance: float = 1.0) -> CriticalPoint:
    """The critical initialisation that keeps pre-activations at variance q*.

    Raises:
        SpecError: there is none at this variance, or the variance is not above 0.

    >>> tanh = critical_point("tanh")
    >>> round(tanh.weight_variance, 6), round(tanh.bias_variance, 6), tanh.stable
    (2.153303, 0.150965, True)
    """
    function = activation(function)
    if not variance > 0:
        raise SpecError(f"a critical initialisation keeps a variance above 0, not {variance:g}")
    weight, bias = (float(one) for one in critical_values(function, variance))
    if not bias >= 0 or not np.isfinite(weight):
        line = critical_line(function)
        where = (
            "and at no other from 1e-06 to 10000"
            if line.kind == "none"
            else f"only from variance {line.starts:.4g} on"
        )
        raise SpecError(
            f'activation "{function.name}": no critical initialisation exists at variance {variance:g} '
            f"(the bias variance would be {bias:.4g}), {where}"
        )
    slope = float(_slope(function, np.array([variance]))[0])
    return CriticalPoint(variance, weight, bias, slope, slope < 1 + 1e-9)


def critical_line(function: Activation | str) -> CriticalLine:
    """Where the critical line exists, and where it is stable.

    >>> critical_line("softplus").verdict
    'no critical initialisation exists for softplus: it would need a negative bias variance at every variance'
    """
    function = activation(function)
    name = function.name
    if is_scale_invariant(function):
        weight = float(critical_values(function, 1.0)[0])
        return CriticalLine(
            name,
            "scale-invariant",
            0.0,
            0.0,
            f"{name} is critical at σ_w² = {weight:.6g}, σ_b² = 0, at any variance",
        )
    grid = np.geomspace(LEAST, LARGEST, 81)
    bias = critical_values(function, grid)[1]
    if not np.any(bias >= 0):
        why = "it would need a negative bias variance at every variance"
        return CriticalLine(
            name, "none", np.inf, np.inf, f"no critical initialisation exists for {name}: {why}"
        )
    starts = 0.0
    if bias[0] < 0:
        starts = float(crossings(lambda q: critical_values(function, q)[1], grid)[0])
        grid = np.concatenate([[starts], grid[grid > starts]])
    excess = _slope(function, grid) - 1
    unstable = np.flatnonzero(excess > 1e-9)
    if not len(unstable):
        since = "" if starts == 0 else f" from variance {starts:.4g} on"
        return CriticalLine(
            name, "stable", starts, starts, f"{name} has a stable critical initialisation{since}"
        )
    last = int(unstable[-1])
    if last == len(grid) - 1:
        verdict = f"{name} has critical initialisations, but at none of them is the variance stable"
        return CriticalLine(name, "half-stable", starts, np.inf, verdict)
    threshold = float(crossings(lambda q: _slope(function, q) - 1, grid[last : last + 2])[0])
    verdict = (
        f"{name} is critical at every variance{f' from {starts:.4g} on' if starts else ''}, with a bias; "
        f"the variance is stable only above {threshold:.4g}"
    )
    return CriticalLine(name, "half-stable", starts, threshold, verdict)


def _slope(function: Activation, q: Array) -> Array:
    """slope_q on the critical line: V'(q)/D(q)."""
    at = moments(function, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = at.radial / np.sqrt(q) / at.slope_second
    # where no gradient passes any more, nothing is stable
    return np.minimum(np.where(np.isnan(slope), _UNSTABLE, slope), _UNSTABLE)
