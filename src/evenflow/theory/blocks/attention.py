"""The two branches of a Transformer block on two numbers: a token's mean square, and what two tokens share.

A signal over T tokens is described by its second moment per entry, E[x_i²], and by E[x_i·x_j] of two tokens, and so
is a gradient. Attention is near-uniform averaging: scores have variance v = σ_q²·σ_k²·(1 - c) over the tokens that
are compared, c the tokens' correlation (what the keys share cancels in the softmax), so with log-normal weights ::

    Σ_j p_ij² ≈ e^v/(T + e^v - 1)         Σ_j p_ij·p_i'j ≈ e^(v·c)/(T + e^v - 1)

Backwards the values carry most; the softmax itself carries (q and k paths) as much as σ_q²·σ_k²·(1 - c) of what of
the value path falls with 1/T. The feed-forward branch is two dense layers and their correlation kernels.
(For the averaging at initialisation: Xiong et al. 2020, lemma 2, which takes scores as 0; Noci et al. 2022.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from evenflow.spec.activation import Activation
from evenflow.theory.correlation import slope_kernel, value_kernel
from evenflow.theory.gaussian import moments


@dataclass(frozen=True)
class Pair:
    """A signal, or a gradient, over tokens.

    Args:
        second: mean square of an entry.
        shared: mean product of the same entry of two different tokens.
    """

    second: float
    shared: float

    def __add__(self, other: Pair) -> Pair:
        return Pair(self.second + other.second, self.shared + other.shared)

    def times(self, factor: float) -> Pair:
        """Both numbers times one factor."""
        return Pair(self.second * factor, self.shared * factor)

    @property
    def correlation(self) -> float:
        """Of two tokens; at least 0, where rounding or few tokens say otherwise."""
        return min(max(self.shared / self.second, 0.0), 1.0)


@dataclass(frozen=True)
class Maps:
    """fan_in·Var w of every linear map of a block, and the variance of the biases of the feed-forward ones."""

    query: float
    key: float
    value: float
    out: float
    first: float
    second: float
    first_bias: float = 0.0
    second_bias: float = 0.0

    def scaled(self, variance: float) -> Maps:
        """The maps that do to tokens of mean square 1 what these do to tokens of mean square `variance`."""
        first = {name: getattr(self, name) * variance for name in ("query", "key", "value", "first")}
        return replace(self, **first)


def attend(maps: Maps, tokens: int, correlation: float) -> Pair:
    """What attention puts out for tokens of mean square 1."""
    c = correlation
    same, other = _overlaps(maps, tokens, c)
    return Pair(c + (1 - c) * same, c + (1 - c) * other).times(maps.value * maps.out)


def attend_back(maps: Maps, tokens: int, correlation: float, gradient: Pair) -> Pair:
    """The gradient at the input of attention, for tokens of mean square 1, from that at its output."""
    c, rest = correlation, 1 - 1 / tokens
    same, other = _overlaps(maps, tokens, c)
    value = Pair(
        same * gradient.second + rest * tokens * other * gradient.shared,
        gradient.second / tokens + rest * gradient.shared,
    )
    scores = maps.query * maps.key * (1 - c)
    through_query = scores * (1 - c) * same * gradient.second
    through_key = scores * (same * gradient.second + rest * c * gradient.shared)
    return (value + Pair(through_query + through_key, 0.0)).times(maps.value * maps.out)


def feed(maps: Maps, function: Activation, correlation: float) -> Pair:
    """What the feed-forward branch puts out for tokens of mean square 1."""
    q, c = _hidden(maps, correlation)
    found = Pair(float(moments(function, q).second), float(value_kernel(function, q, q, c))).times(
        maps.second
    )
    return found + Pair(maps.second_bias, maps.second_bias)


def feed_back(maps: Maps, function: Activation, correlation: float, gradient: Pair) -> Pair:
    """The gradient at the input of the feed-forward branch from that at its output."""
    q, c = _hidden(maps, correlation)
    return Pair(
        float(moments(function, q).slope_second) * gradient.second,
        float(slope_kernel(function, q, q, c)) * gradient.shared,
    ).times(maps.first * maps.second)


def _hidden(maps: Maps, correlation: float) -> tuple[float, float]:
    q = maps.first + maps.first_bias
    return q, (maps.first * correlation + maps.first_bias) / q


def _overlaps(maps: Maps, tokens: int, correlation: float) -> tuple[float, float]:
    """Σ_j p_ij² and Σ_j p_ij·p_i'j."""
    scores = maps.query * maps.key * (1 - correlation)
    total = tokens + math.expm1(scores)
    return math.exp(scores) / total, math.exp(scores * correlation) / total
