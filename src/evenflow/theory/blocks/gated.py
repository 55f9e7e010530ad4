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

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evenflow.theory.blocks.growth import Growth, check_count, check_number, check_variance
from evenflow.theory.blocks.recurrence import Step, log_gradients, through_time

Array = NDArray[np.float64]

LEAST_WIDTH, LARGEST_INPUT, LARGEST_WEIGHT = 32, 1.0, 1.0
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)
_WEIGHTS = _WEIGHTS / np.sum(_WEIGHTS)


@dataclass(frozen=True)
class _Drive:
    """What reaches a pre-activation: variance over units that stays in time, and variance over time."""

    kept: float
    moving: float


@dataclass(frozen=True)
class _Mean:
    """E[u], E[u²] and E[(mean of u over time)²] of one gate or slope."""

    first: float
    second: float
    kept: float


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
        steps: T, over which the gradient goes back from a loss on the last h.
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
    given = checked_step(
        width, steps, weight_variance, input_weight_variance, bias_variance, inputs, input_second
    )
    check_number("the forget bias", forget_bias)
    spread, drive, kept_bias = given
    signal, kept = 0.0, 0.0
    for _ in range(200):
        total = _Drive(kept_bias + spread * kept, drive + spread * (signal - kept))
        gate, candidate = _mean(expit, total), _mean(np.tanh, total)
        forget = _mean(expit, total, forget_bias)
        # c = Σ f…f·i·g: what stays adds up coherently, what moves does not
        stays = gate.kept * candidate.kept / _below_one(1 - forget.first) ** 2
        moves = (gate.second * candidate.second - gate.kept * candidate.kept) / _below_one(1 - forget.second)
        cell = _Drive(stays, moves)
        hidden = _mean(np.tanh, cell)
        before, signal, kept = signal, gate.second * hidden.second, gate.kept * hidden.kept
        if abs(signal - before) <= 1e-12 * signal:
            break
    slope, bend = _mean(_sigmoid_slope, total), _mean(_tanh_slope, total)
    forget_slope, cell_slope = _mean(_sigmoid_slope, total, forget_bias), _mean(_tanh_slope, cell)
    leak, leak_second, share = _kinds(total, forget_bias)
    step = Step(
        leak=leak,
        leak_second=leak_second,
        share=share,
        message=gate.first * cell_slope.first,
        message_second=gate.second * cell_slope.second,
        weights=spread
        * (
            gate.second * bend.second
            + candidate.second * slope.second
            + (cell.kept + cell.moving) * forget_slope.second
        ),
        weights_kept=spread
        * (gate.kept * bend.kept + candidate.kept * slope.kept + cell.kept * forget_slope.kept),
        relay=spread * hidden.second * slope.second,
        relay_kept=spread * hidden.kept * slope.kept,
    )
    what = f"LSTM of width {width} over {steps} steps"
    return through_time(what, log_gradients(step, steps, width), _VALIDITY, _reasons(width, spread, drive))


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
    """The gradient of a GRU's state h through time; arguments and errors as `lstm` has them.

    Args:
        update_bias: added to the bias of the update gate z; above 0 the state is kept for longer.

    >>> round(gru(256, 60).per_block, 2)
    0.63
    """
    given = checked_step(
        width, steps, weight_variance, input_weight_variance, bias_variance, inputs, input_second
    )
    check_number("the update bias", update_bias)
    spread, drive, kept_bias = given
    signal, kept = 0.0, 0.0
    for _ in range(200):
        total = _Drive(kept_bias + spread * kept, drive + spread * (signal - kept))
        reset, update = _mean(expit, total), _mean(expit, total, update_bias)
        open_ = _mean(lambda a: expit(-a), total, update_bias)
        # of the two biases of n, the one beside W is inside the reset gate
        inner = _Drive(
            kept_bias / 2 + reset.kept * (kept_bias / 2 + spread * kept),
            drive
            + reset.second * (kept_bias / 2 + spread * signal)
            - reset.kept * (kept_bias / 2 + spread * kept),
        )
        candidate = _mean(np.tanh, inner)
        before = signal
        kept = open_.kept * candidate.kept / _below_one(1 - update.first) ** 2
        moving = open_.second * candidate.second - open_.kept * candidate.kept
        signal = kept + moving / _below_one(1 - update.second)
        if abs(signal - before) <= 1e-12 * signal:
            break
    slope, bend = _mean(_sigmoid_slope, total), _mean(_tanh_slope, inner)
    update_slope = _mean(_sigmoid_slope, total, update_bias)
    carried = kept_bias / 2 + spread * signal  # of W·h + b', which the reset gate multiplies
    leak, leak_second, share = _kinds(total, update_bias)
    step = Step(
        leak=leak,
        leak_second=leak_second,
        share=share,
        message=1.0,
        message_second=1.0,
        weights=spread
        * (
            open_.second * bend.second * reset.second
            + (signal + candidate.second) * update_slope.second
            + open_.second * bend.second * carried * slope.second
        ),
        weights_kept=spread
        * (
            open_.kept * bend.kept * reset.kept
            + open_.kept * bend.kept * (kept_bias / 2 + spread * kept) * slope.kept
        ),
    )
    what = f"GRU of width {width} over {steps} steps"
    return through_time(what, log_gradients(step, steps, width), _VALIDITY, _reasons(width, spread, drive))


_VALIDITY = (
    f"h >= {LEAST_WIDTH}, σ_w² <= {LARGEST_WEIGHT:g}, variance of the input's part of a gate <= "
    f"{LARGEST_INPUT:g}; state settled; inputs of mean 0, independent in time; loss on the last state"
)


def _reasons(width: int, spread: float, drive: float) -> list[str]:
    return [
        f"the hidden size {width} is below {LEAST_WIDTH}, where one draw differs too much from the mean"
        if width < LEAST_WIDTH
        else "",
        f"the recurrent weights have σ_w² = h·Var w = {spread:g}, above {LARGEST_WEIGHT:g}, where the state "
        "moves by itself and the gates are no longer near their mean"
        if spread > LARGEST_WEIGHT
        else "",
        f"the input's part of a gate has variance {drive:g}, above {LARGEST_INPUT:g}, where the gates saturate"
        if drive > LARGEST_INPUT
        else "",
    ]


def checked_step(
    width: int,
    steps: int,
    weight: float | None,
    input_weight: float | None,
    bias: float | None,
    inputs: int,
    input_second: float,
) -> tuple[float, float, float]:
    """σ_w², the variance that the input gives a gate, and that of its two biases together."""
    check_count("the hidden size", width)
    check_count("the number of steps", steps)
    check_count("the number of inputs", inputs)
    default = 1 / (3 * width)
    weight, input_weight, bias = (default if one is None else one for one in (weight, input_weight, bias))
    check_variance("the variance of a recurrent weight", weight, positive=True)
    check_variance("the variance of an input weight", input_weight)
    check_variance("the variance of a bias", bias)
    check_variance("the mean square of an input", input_second)
    return width * weight, inputs * input_second * input_weight, 2 * bias


def _mean(function: Callable[[Array], Array], drive: _Drive, shift: float = 0.0) -> _Mean:
    """Over units (what stays) and over time (what moves), both Gaussian."""
    values = function(
        shift + math.sqrt(drive.kept) * _NODES[:, None] + math.sqrt(max(drive.moving, 0.0)) * _NODES
    )
    over_time = values @ _WEIGHTS
    return _Mean(
        float(_WEIGHTS @ over_time), float(_WEIGHTS @ values**2 @ _WEIGHTS), float(_WEIGHTS @ over_time**2)
    )


def _kinds(drive: _Drive, shift: float) -> tuple[Array, Array, Array]:
    """The leak of units that differ by their bias: its mean and mean square over time, and their share."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    at = shift + math.sqrt(drive.kept) * nodes[:, None] + math.sqrt(max(drive.moving, 0.0)) * _NODES
    return expit(at) @ _WEIGHTS, expit(at) ** 2 @ _WEIGHTS, weights / np.sum(weights)


def _below_one(rest: float) -> float:
    return max(rest, 1e-6)


def _sigmoid_slope(x: Array) -> Array:
    return expit(x) * expit(-x)


def _tanh_slope(x: Array) -> Array:
    return 1 - np.tanh(x) ** 2
