"""LSTM and GRU through time: what a default initialisation keeps of a gradient.

A gated step carries its state over, multiplied by a gate f, and adds what the recurrent weights make of it::

    LSTM  c_t = f·c_{t-1} + i·g      h_t = o·tanh(c_t)      i, f, o = σ(W·h + U·x + b),  g = tanh(…)
    GRU   h_t = z·h_{t-1} + (1 - z)·n                       r, z = σ(…),  n = tanh(U·x + b + r·(W·h + b'))

At small signals every gate is near its value at the bias and the Jacobian near f·I + i·o·W_g, so the gradient's
norm changes per step by the edge of its spectrum, f + i·o·σ_w: 1/2 + 1/(4·√3) = 0.644 with PyTorch's default.
`recurrence` adds what that leaves out: the slow approach to that rate, gates that differ between units (biases),
gates that move with the input, the derivatives of the gates, and a finite width.
(LSTM: Hochreiter & Schmidhuber 1997; GRU: Cho et al. 2014; with PyTorch's conventions. Gilboa et al. 2019 and
Chen, Pennington & Schoenholz 2018 treat gates with weights drawn anew at every step.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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


def lstm(
    width: int,
    steps: int,
    *,
    forget_bias: float = 0.0,
    weight_variance: float | None = None,
    input_weight_variance: float | None = None,
    bias_variance: float | None = None,
    inputs: int = 1,
    input_second: float = 0.0,
) -> Growth:
    """The gradient of an LSTM's cell state c through time.

    Args:
        width: h, the size of the hidden state.
        steps: T, over which the gradient goes back from the last c.
        forget_bias: added to the bias of the forget gate.
        weight_variance: of one entry of `weight_hh`; left out 1/(3h), PyTorch's U(±1/√h). A uniform ±a has a²/3.
        input_weight_variance: of one entry of `weight_ih`; left out 1/(3h) too.
        bias_variance: of one entry of `bias_ih` and of `bias_hh`; left out 1/(3h) too.
        inputs: the number of input features.
        input_second: their mean square; they have mean 0 and are independent from step to step.

    Raises:
        SpecError: a count is below 1, or a variance negative or not finite.

    >>> found = lstm(256, 60)
    >>> round(found.per_block, 2), round(lstm(256, 60, forget_bias=1.0).per_block, 2)
    (0.63, 0.86)
    """
    spread, drive, kept_bias = checked_step(
        width, steps, weight_variance, input_weight_variance, bias_variance, inputs, input_second
    )
    check_number("the forget bias", forget_bias)

    def onward(at: _Signals) -> _Signals:
        return _onward(
            Drive(kept_bias + spread * at.state.kept, drive + spread * at.state.moving), forget_bias
        )

    nothing = _onward(Drive(kept_bias, drive), forget_bias)
    step = _step(settled(onward, nothing, lambda at: at.state.kept + at.state.moving), spread, forget_bias)
    return through_time(
        f"LSTM of width {width} over {steps} steps",
        log_gradients(step, steps, width),
        validity(),
        reasons(width, spread, drive, forget_bias),
    )


@dataclass(frozen=True)
class _Signals:
    """What the gates see, and what they make of it: gate, candidate g, cell c, tanh(c), state h."""

    seen: Drive
    gate: Mean
    candidate: Mean
    cell: Drive
    hidden: Mean
    state: Drive


def _onward(seen: Drive, forget_bias: float) -> _Signals:
    gate, candidate = mean(expit, seen), mean(np.tanh, seen)
    forget = mean(expit, seen, forget_bias)
    # c = Σ f…f·i·g: what stays adds up coherently, what moves does not
    stays = gate.kept * candidate.kept / above_zero(1 - forget.first) ** 2
    moves = (gate.second * candidate.second - gate.kept * candidate.kept) / above_zero(1 - forget.second)
    cell = Drive(stays, moves)
    hidden = mean(np.tanh, cell)
    kept = gate.kept * hidden.kept
    return _Signals(seen, gate, candidate, cell, hidden, Drive(kept, gate.second * hidden.second - kept))


def _step(at: _Signals, spread: float, forget_bias: float) -> Step:
    """One step back: c by f and by h = o·tanh(c), h by i, f, g and o."""
    slope, bend = mean(sigmoid_slope, at.seen), mean(tanh_slope, at.seen)
    forget_slope, cell_slope = mean(sigmoid_slope, at.seen, forget_bias), mean(tanh_slope, at.cell)
    leak, leak_second, share = kinds(at.seen, forget_bias)
    weights = (
        at.gate.second * bend.second
        + at.candidate.second * slope.second
        + (at.cell.kept + at.cell.moving) * forget_slope.second
    )
    weights_kept = (
        at.gate.kept * bend.kept + at.candidate.kept * slope.kept + at.cell.kept * forget_slope.kept
    )
    return Step(
        leak=leak,
        leak_second=leak_second,
        share=share,
        message=at.gate.first * cell_slope.first,
        message_second=at.gate.second * cell_slope.second,
        weights=spread * weights,
        weights_kept=spread * weights_kept,
        relay=spread * at.hidden.second * slope.second,
        relay_kept=spread * at.hidden.kept * slope.kept,
    )
