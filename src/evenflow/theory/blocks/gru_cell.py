"""The GRU through time: h_t = z·h_{t-1} + (1 - z)·n, n = tanh(U·x + b + r·(W·h_{t-1} + b')), r and z sigmoid gates.

At small signals the Jacobian is near z·I + (1 - z)·r·W, with the edge z + (1 - z)·r·σ_w: 0.644 by PyTorch's
default, that of an LSTM; the rest is as for an LSTM (`lstm_cell`). (Cho et al. 2014, with PyTorch's conventions.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evenflow.theory.blocks.gates import (
    Drive,
    Mean,
    above_zero,
    checked_step,
    kinds,
    mean,
    reasons,
    settled,
    sigmoid_slope,
    tanh_slope,
    validity,
)
from evenflow.theory.blocks.growth import Growth, check_number
from evenflow.theory.blocks.recurrence import Step, log_gradients, through_time

Array = NDArray[np.float64]


def gru(
    width: int,
    steps: int,
    *,
    update_bias: float = 0.0,
    weight_variance: float | None = None,
    input_weight_variance: float | None = None,
    bias_variance: float | None = None,
    inputs: int = 1,
    input_second: float = 0.0,
) -> Growth:
    """The gradient of a GRU's state h through time, as `lstm` has it.

    Args:
        width: h, the size of the hidden state.
        steps: T, over which the gradient goes back from the last h.
        update_bias: added to the bias of the update gate z; above 0 the state is kept for longer.
        weight_variance: of one entry of `weight_hh`; left out 1/(3h), PyTorch's U(±1/√h). A uniform ±a has a²/3.
        input_weight_variance: of one entry of `weight_ih`; left out 1/(3h) too.
        bias_variance: of one entry of `bias_ih` and of `bias_hh`; left out 1/(3h) too.
        inputs: the number of input features.
        input_second: their mean square; they have mean 0 and are independent from step to step.

    Raises:
        SpecError: a count is below 1, or a variance negative or not finite.

    >>> round(gru(256, 60).per_block, 2)
    0.63
    """
    spread, drive, kept_bias = checked_step(
        width, steps, weight_variance, input_weight_variance, bias_variance, inputs, input_second
    )
    check_number("the update bias", update_bias)
    bias = kept_bias / 2  # of the two biases of n, the one beside W is inside the reset gate

    def onward(at: _Signals) -> _Signals:
        carried = Drive(bias + spread * at.state.kept, spread * at.state.moving)
        return _onward(carried, Drive(bias, drive), update_bias)

    nothing = _onward(Drive(bias, 0.0), Drive(bias, drive), update_bias)
    step = _step(settled(onward, nothing, lambda at: at.state.kept + at.state.moving), spread, update_bias)
    return through_time(
        f"GRU of width {width} over {steps} steps",
        log_gradients(step, steps, width),
        validity(),
        reasons(width, spread, drive, update_bias),
    )


@dataclass(frozen=True)
class _Signals:
    """W·h + b', what the gates see, what n is the tanh of, and what comes of it: r, 1 - z, n, state h."""

    carried: Drive
    seen: Drive
    inner: Drive
    reset: Mean
    fresh: Mean
    candidate: Mean
    state: Drive


def _onward(carried: Drive, outer: Drive, update_bias: float) -> _Signals:
    seen = Drive(carried.kept + outer.kept, carried.moving + outer.moving)
    reset, update = mean(expit, seen), mean(expit, seen, update_bias)
    fresh = mean(_complement, seen, update_bias)
    through = reset.second * (carried.kept + carried.moving)
    kept_through = reset.kept * carried.kept
    inner = Drive(outer.kept + kept_through, outer.moving + through - kept_through)
    candidate = mean(np.tanh, inner)
    stays = fresh.kept * candidate.kept / above_zero(1 - update.first) ** 2
    moves = (fresh.second * candidate.second - fresh.kept * candidate.kept) / above_zero(1 - update.second)
    return _Signals(carried, seen, inner, reset, fresh, candidate, Drive(stays, moves))


def _step(at: _Signals, spread: float, update_bias: float) -> Step:
    """One step back: h by z and, through W, by n, z and r."""
    slope, bend = mean(sigmoid_slope, at.seen), mean(tanh_slope, at.inner)
    update_slope = mean(sigmoid_slope, at.seen, update_bias)
    leak, leak_second, share = kinds(at.seen, update_bias)
    carried, state = at.carried.kept + at.carried.moving, at.state.kept + at.state.moving
    weights = (
        at.fresh.second * bend.second * (at.reset.second + carried * slope.second)
        + (state + at.candidate.second) * update_slope.second
    )
    weights_kept = at.fresh.kept * bend.kept * (at.reset.kept + at.carried.kept * slope.kept)
    return Step(
        leak=leak,
        leak_second=leak_second,
        share=share,
        message=1.0,
        message_second=1.0,
        weights=spread * weights,
        weights_kept=spread * weights_kept,
    )


def _complement(x: Array) -> Array:
    return expit(-x)
