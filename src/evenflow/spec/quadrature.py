"""Expectations of a function of a Gaussian variable, for kinked and stepped functions too.

Composite Gauss-Legendre: the line is cut into panels that shrink geometrically towards 0 (a function of √v·z
has features of width 1/√v there) and that break at kinks; a panel whose two halves disagree with it is halved
until they agree. Gauss-Hermite, the usual choice, errs by about 1/n for a kinked function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_NODES = 20  # of one panel
_RANGE = 12.0  # beyond 12 standard deviations lies a share of 4e-33
_HALVINGS = 60  # a step anywhere is met to the last digit
_TINY, _MANY, _ROUGH = 1e-6, 64, 1e-3
_TOLERANCE = 1e-15  # of a panel, relative to E|f|

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class GaussianRule:
    """Nodes z and weights with Σ weights · g(z) = E[g(z)], z ~ N(0, 1), fine enough for given functions.

    Args:
        nodes: z, shape (n,).
        weights: shape (n,); the density is inside.
        values: the functions at √variance · nodes, shape (m, n).
        settled: shape (n,); false in panels whose halves still disagreed at the last halving, as around a pole.
    """

    nodes: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    settled: np.ndarray


@np.errstate(invalid="ignore", over="ignore")  # the mean of an infinite function is not an accident
def gaussian_rule(function: Function, variance: float = 1.0, kinks: Sequence[float] = ()) -> GaussianRule:
    """A quadrature rule on which the mean of each of several functions of √variance · z has settled.

    Args:
        function: takes a vector of n numbers, returns the m functions there, shape (m, n).
        variance: of the argument, 0 or more.
        kinks: arguments of `function` where it or its slope jumps. Those left out are met by halving, which
            takes more evaluations.

    >>> rule = gaussian_rule(lambda x: np.stack([x, x**2]), 4.0)
    >>> [round(float(mean), 12) + 0.0 for mean in rule.values @ rule.weights]
    [0.0, 4.0]
    """
    scale = math.sqrt(variance)
    if scale == 0:
        one = np.ones(1)
        return GaussianRule(0 * one, one, function(0 * one), one > 0)
    edges = _edges(tuple(kink / scale for kink in kinks))
    low, high = edges[:-1], edges[1:]
    whole = _panels(function, scale, low, high)
    sizes = np.sum(np.abs(whole.terms), axis=(1, 2))
    bound = _TOLERANCE * np.maximum(sizes, 1e-300)[:, None]
    before, done = whole.sums, []
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        left, right = _panels(function, scale, low, middle), _panels(function, scale, middle, high)
        # "not greater" rather than "less", so that an infinite or undefined panel is not halved for ever
        settled = ~np.any(np.abs(left.sums + right.sums - before) > bound, axis=0)
        # a step leaves one tiny panel unsettled, a pole disagrees by much; many that disagree by little are the
        # rounding errors of a difference, and stay
        tiny = ~settled & (high - low < _TINY)
        if np.sum(tiny) > _MANY:
            sizes = np.sum(np.abs(left.terms), axis=2) + np.sum(np.abs(right.terms), axis=2)
            settled |= tiny & np.all(np.abs(left.sums + right.sums - before) <= _ROUGH * sizes, axis=0)
        done += [left.where(settled), right.where(settled)]
        if settled.all():
            return _collected(done, 0)
        low, middle, high = low[~settled], middle[~settled], high[~settled]
        before = np.concatenate([left.sums[:, ~settled], right.sums[:, ~settled]], axis=1)
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    last = _panels(function, scale, low, high)
    return _collected([*done, last], last.nodes.size)


def gaussian_mean(function: Function, variance: float = 1.0, kinks: Sequence[float] = ()) -> float:
    """E[function(√variance · z)] for z ~ N(0, 1).

    Args:
        function: takes and returns a vector of float64.
        variance: of the argument, 0 or more.
        kinks: as `gaussian_rule` takes them.

    >>> round(gaussian_mean(lambda z: z**2), 12), round(gaussian_mean(lambda z: abs(z), 4.0), 12)
    (1.0, 1.595769121606)
    """
    rule = gaussian_rule(lambda z: function(z)[None], variance, kinks)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.sum(rule.values[0] * rule.weights))


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


@dataclass(frozen=True)
class _Panels:
    nodes: np.ndarray  # (panels, nodes)
    weights: np.ndarray  # (panels, nodes)
    values: np.ndarray  # (m, panels, nodes)

    @property
    def terms(self) -> np.ndarray:
        return self.values * self.weights

    @functools.cached_property
    def sums(self) -> np.ndarray:
        """The integral of each function over each panel, (m, panels)."""
        return np.sum(self.terms, axis=2)

    def where(self, kept: np.ndarray) -> _Panels:
        return _Panels(self.nodes[kept], self.weights[kept], self.values[:, kept])


def _panels(function: Function, scale: float, low: np.ndarray, high: np.ndarray) -> _Panels:
    nodes, weights = _rule()
    half = (high - low) / 2
    z = ((low + high) / 2)[:, None] + half[:, None] * nodes
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    values = function((scale * z).ravel())
    return _Panels(z, half[:, None] * weights * density, values.reshape(-1, *z.shape))


def _collected(parts: Sequence[_Panels], unsettled: int) -> GaussianRule:
    nodes = np.concatenate([part.nodes.ravel() for part in parts])
    weights = np.concatenate([part.weights.ravel() for part in parts])
    values = np.concatenate([part.values.reshape(len(part.values), -1) for part in parts], axis=1)
    return GaussianRule(nodes, weights, values, np.arange(nodes.size) < nodes.size - unsettled)
