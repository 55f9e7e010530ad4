"""Tied weights: how a gradient goes back through time when every step multiplies by the same matrices.

One step back is ``δ_t = f·δ_{t+1} + κ·m_t`` for the state, with the message that the recurrent matrices carry,
``m_t = Σ_k W_kᵀ·(a_k·δ_{t+1}) + W_oᵀ·(ε·m_{t+1})``. With weights drawn anew at every step only the equal-time
E[δ_t²] would matter. With tied weights W_kᵀ·u_t and W_kᵀ·u_s are Gaussian with covariance σ_w²·E[u_t·u_s], so a
leak f, which makes δ_t and δ_s alike, feeds back: the covariances between *all* pairs of times form one closed
recursion, exact as the width grows (dynamical mean field; Sompolinsky, Crisanti & Zippelius 1988 for the forward
pass). For constant f and a its rate is the edge of the spectrum of f·I + a·W, that is f + a·σ_w, which it nears
from below by a power of the number of steps; 60 steps are not yet many.

At finite width a power of one random matrix grows faster, by a universal function of (factors of W)²/width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.theory.blocks.growth import Growth, grown

Array = NDArray[np.float64]

# E log(‖Wᵏv‖²/‖v‖²) of Gaussian matrices with entries of variance 1/n as a function of k²/n: the mean of 150
# draws at n = 128 and 60 at n = 256, which differ by 0.1 at 16 and by 0.4 at 64. The mean of the square itself would be
# sinh(x)/x, x = k²/2n, which rare matrices of large spectral radius dominate.
_POWER = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_GROWTH = (0.0, 0.0, 0.08, 0.34, 0.94, 2.0, 3.7, 6.2)


@dataclass(frozen=True)
class Step:
    """The coefficients of one step back, as moments over units and time.

    A coefficient of a unit is the sum of a part that stays, its mean over time, and one that changes.

    Args:
        leak: f, mean over time, for each kind of unit; shape (K,).
        leak_second: E[f²] over time for each kind of unit; shape (K,).
        share: how frequent each kind is; shape (K,), sum 1.
        message: E[κ], mean over units and time.
        message_second: E[κ²].
        weights: σ_w²·Σ_k E[a_k²].
        weights_kept: σ_w²·Σ_k E[(mean of a_k over time)²].
        relay: σ_w²·E[ε²].
        relay_kept: σ_w²·E[(mean of ε over time)²].
    """

    leak: Array
    leak_second: Array
    share: Array
    message: float
    message_second: float
    weights: float
    weights_kept: float
    relay: float = 0.0
    relay_kept: float = 0.0


def log_gradients(step: Step, steps: int, width: float) -> Array:
    """log of the mean squared gradient of the state, `steps` … 1 steps before the last, relative to the last.

    Shape (steps,), the earliest time first. The gradient at the last time is independent of the weights.

    >>> plain = Step(np.zeros(1), np.zeros(1), np.ones(1), 1.0, 1.0, weights=0.25, weights_kept=0.25)
    >>> log_gradients(plain, 2, math.inf).round(6).tolist() == np.log([1 / 16, 1 / 4]).round(6).tolist()
    True
    """
    # all figures carry rate^-2 per step, which keeps them within a power of the number of steps
    spoke = math.sqrt(step.weights) * step.message + math.sqrt(step.relay)
    rate = float(step.share @ step.leak) + spoke
    leak, leak_second = step.leak / rate, step.leak_second / rate**2
    same, kept = step.weights / rate**2, step.weights_kept / rate**2
    relay, relay_kept = step.relay / rate**2, step.relay_kept / rate**2
    kappa, count = step.message, steps + 1
    distance = np.arange(count)[:, None] - np.arange(count)
    powers = np.where(distance >= 0, leak[:, None, None] ** np.maximum(distance, 0), 0.0)  # (K, l, j)

    # k and l count steps from the end: E[δ_k·δ_l] for each kind, E[m_k·m_l]; the row and column of k at a time
    state = np.zeros((len(leak), count, count))
    message = np.zeros((count, count))
    state[:, 0, 0] = 1.0
    for k in range(1, count):
        before = step.share @ state[:, k - 1, :k].reshape(len(leak), k)
        row = kept * before + relay_kept * message[k - 1, :k]
        row[-1] = same * before[-1] + relay * message[k - 1, k - 1]
        message[k, 1 : k + 1] = message[1 : k + 1, k] = row
        crossed = kappa * powers[:, : k + 1, : k + 1] @ message[k, : k + 1]  # E[m_k·δ_l], shape (K, l)
        state[:, k, :k] = leak[:, None] * state[:, k - 1, :k] + kappa * crossed[:, :k]
        state[:, :k, k] = state[:, k, :k]
        state[:, k, k] = (
            leak_second * state[:, k - 1, k - 1]
            + 2 * leak * kappa * crossed[:, k - 1]
            + step.message_second * message[k, k]
        )
    each = step.share @ np.diagonal(state, axis1=1, axis2=2)
    back = np.arange(1, count)
    logs = np.log(each[1:] / each[0]) + 2 * back * math.log(rate)
    factors = np.asarray(back * (spoke / rate), dtype=np.float64)  # of W; the others are leaks
    return (logs + power_growth(factors, width, step.weights_kept / step.weights))[::-1]


def power_growth(factors: Array, width: float, coherence: float) -> Array:
    """What a finite width adds to the log of the mean square after k factors of one matrix W.

    Measured up to k²/n = 64; from there on the largest eigenvalue alone decides, and the logarithm grows with k.
    Where the coefficients between the factors change from step to step, with E[a_t·a_s] = ρ·E[a_t²], a pairing of
    j steps with j others is worth ρ^j, so that k·(1 + ρ + … + ρ^(k-1)) takes the place of k².

    Args:
        factors: k, of any shape.
        width: n.
        coherence: ρ, from 0 to 1.
    """
    together = factors if coherence > 1 - 1e-9 else (1 - coherence**factors) / (1 - coherence)
    ratio = factors * together / width
    beyond = np.sqrt(np.maximum(ratio / _POWER[-1], 1.0))
    return np.asarray(np.interp(ratio, _POWER, _GROWTH) * beyond, dtype=np.float64)


def through_time(what: str, logs: Array, validity: str, reasons: Iterable[str]) -> Growth:
    """A `Growth` from the logarithms of the mean squared gradient; the settled state has the same size throughout."""
    factors = np.exp(logs - np.append(logs[1:], 0.0))
    return grown(what, np.ones(len(logs)), factors, validity, reasons)
