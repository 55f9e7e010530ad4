"""Gaussian expectations of an activation f and its slope f': what every prediction is made of.

A pre-activation of a wide network at initialisation is Gaussian with some variance q, so a layer acts on signals
and gradients through the expectations of f(√q·z) and f'(√q·z), z ~ N(0, 1), and through nothing else. They are
integrals over panels that break at the kinks and are halved until they settle (`spec.quadrature`), so one way
serves every activation, the user's own included.

>>> relu = moments("relu", 2.0)
>>> round(float(relu.second), 12), round(float(relu.slope_second), 12)
(1.0, 0.5)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.spec.quadrature import GaussianRule, find_kinks, gaussian_rule

Array = NDArray[np.float64]

_EDGE = 11.5  # an integral with a share out here is not one the nodes up to 12 can know
_LOST = 1e-9  # the share from which it counts as infinite
_NEAR = 10.0  # arguments among which the largest value is looked for
_NOTHING = 1e-26  # of that value: the density of a Gaussian beyond the edge is 10⁻²⁹


@dataclass(frozen=True)
class Moments:
    """Expectations at variance q; x = √q·z with z ~ N(0, 1). Every field has the shape of `variance`.

    By Stein's lemma E[z·f] = √q·E[f'] needs no field of its own, and the slopes of the two maps in q are
    ``q·V' = √q·E[f·f'·z]`` for V = E[f²] and ``q·D' = (E[z²·f'²] - E[f'²])/2`` for D = E[f'²], without f''.

    Args:
        variance: q.
        mean: E[f(x)].
        second: E[f(x)²].
        fourth: E[f(x)⁴]; inf where it does not exist.
        slope_mean: E[f'(x)].
        slope_second: E[f'(x)²].
        slope_fourth: E[f'(x)⁴]; inf where it does not exist.
        joint: E[f(x)²·f'(x)²]; inf where it does not exist.
        radial: E[f(x)·f'(x)·z].
        slope_radial: E[z²·f'(x)²].
        mirrored: E[f(x)·f(-x)], the two inputs being opposite.
        slope_mirrored: E[f'(x)·f'(-x)].
    """

    variance: Array
    mean: Array
    second: Array
    fourth: Array
    slope_mean: Array
    slope_second: Array
    slope_fourth: Array
    joint: Array
    radial: Array
    slope_radial: Array
    mirrored: Array
    slope_mirrored: Array


def moments(function: Activation | str, variance: ArrayLike) -> Moments:
    """The expectations of an activation at one variance or many; each is computed once and kept.

    Args:
        function: an activation or its name.
        variance: q, a number or an array of them, 0 or more.

    Raises:
        SpecError: the name is not known, q is negative or not finite, or E[f²] or E[f'²] is not finite.
    """
    function = activation(function)
    q = checked_variance(function, variance)
    distinct, place = np.unique(q, return_inverse=True)
    table = np.array([_moments(function, float(one)) for one in distinct]).reshape(len(distinct), -1)
    return Moments(q, *(column[place].reshape(q.shape) for column in table.T))


def checked_variance(function: Activation, variance: ArrayLike) -> Array:
    """The variances as an array of float64.

    Raises:
        SpecError: one is negative, infinite or NaN.
    """
    q = np.asarray(variance, dtype=np.float64)
    wrong = ~(np.isfinite(q) & (q >= 0))
    if wrong.any():
        raise SpecError(
            f'activation "{function.name}": the variance of a pre-activation is 0 or more and finite, '
            f"not {float(q[wrong].flat[0]):g}"
        )
    return q


@functools.lru_cache(maxsize=1024)
def kinks_of(function: Activation) -> tuple[float, ...]:
    """Where the slope of the activation jumps."""
    return find_kinks(function.derivative)


def value_and_slope(function: Activation) -> Callable[[Array], tuple[Array, Array]]:
    """f and f' together, at a vector.

    A slope that automatic differentiation leaves undefined where f itself is finite (∞/∞ in exp, far out) is
    taken from f by a central difference.
    """

    def both(x: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            value, slope = function(x), function.derivative(x)
            unknown = ~np.isfinite(slope) & np.isfinite(value)
            if unknown.any():
                at = x[unknown]
                step = 1e-5 * np.maximum(1.0, np.sqrt(np.abs(at)))
                slope = slope.copy()
                slope[unknown] = (function(at + step) - function(at - step)) / (2 * step)
        return value, slope

    return both


@functools.lru_cache(maxsize=16384)
def _moments(function: Activation, variance: float) -> tuple[float, ...]:
    rule = settled_rule(function, variance)
    with np.errstate(invalid="ignore", over="ignore"):
        means = np.sum(rule.values * rule.weights, axis=1)
        sizes = np.abs(rule.values) * rule.weights
        total = np.sum(sizes, axis=1)
        far = np.sum(sizes[:, np.abs(rule.nodes) > _EDGE], axis=1)
        near = np.abs(rule.nodes) * math.sqrt(variance) <= _NEAR
        largest = np.max(np.abs(rule.values[:, near]), axis=1, initial=0.0)
        # an activation that is 0 but far out has all of a mean there, and almost none of it
        lost = (far > _LOST * total) & ~(far <= _NOTHING * largest)
        lost |= np.sum(sizes[:, ~rule.settled], axis=1) > _LOST * total
    if variance > 0:
        means[lost] = math.inf
    named = dict(zip([one.name for one in fields(Moments)][1:], means, strict=True))
    for name, formula in (("second", "E[f(x)²]"), ("slope_second", "E[f'(x)²]")):
        if not math.isfinite(named[name]):
            what = "infinite" if math.isinf(named[name]) else "not a number"
            raise SpecError(
                f'activation "{function.name}": {formula} is {what} for x of variance {variance:g}, so nothing '
                "can be predicted; choose a smaller variance or an activation that grows more slowly"
            )
    return tuple(float(mean) for mean in means)


def settled_rule(function: Activation, variance: float) -> GaussianRule:
    """Nodes on which every field of `Moments` has settled; `values` holds them in the order of the fields.

    The panels break at the mirror images of the kinks too, for f(x)·f(-x).
    """
    both, kinks = value_and_slope(function), kinks_of(function)
    scale = math.sqrt(variance)

    def rows(x: Array) -> Array:
        (f, s), (f_mirrored, s_mirrored) = both(x), both(-x)
        z = x / scale if scale else x
        f2, s2 = f * f, s * s
        return np.stack(
            [f, f2, f2 * f2, s, s2, s2 * s2, f2 * s2, f * s * z, s2 * z * z, f * f_mirrored, s * s_mirrored]
        )

    return gaussian_rule(rows, variance, (*kinks, *(-kink for kink in kinks)))
