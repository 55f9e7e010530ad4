"""The vanilla RNN through time: h_t = f(W·h_{t-1} + U·x_t + b).

Its pre-activations have the variance q that ``q = σ_w²·E[f(√q·z)²] + input + biases`` keeps, and the mean squared
gradient changes per step by χ = σ_w²·E[f'(√q·z)²]. Nothing but W links two steps, so with tied weights the mean
square is at first that of weights drawn anew (Chen, Pennington & Schoenholz 2018, equation 8); after √width
steps or so the largest eigenvalues of W show, and the gradient falls more slowly (`recurrence.power_growth`), the
less the more the input moves the slopes f' about.
"""

from __future__ import annotations

import math

import numpy as np

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.gates import checked_step, reasons, validity
from evenflow.theory.blocks.growth import Growth
from evenflow.theory.blocks.recurrence import power_growth, through_time
from evenflow.theory.correlation import slope_kernel, value_kernel
from evenflow.theory.gaussian import moments

LARGEST_INPUT = 4.0  # the variance that the input gives a pre-activation; measured 1 % off there


def rnn(
    function: Activation | str,
    width: int,
    steps: int,
    *,
    weight_variance: float | None = None,
    input_weight_variance: float | None = None,
    bias_variance: float | None = None,
    inputs: int = 1,
    input_second: float = 0.0,
) -> Growth:
    """The gradient of a vanilla RNN's state through time; `nn.RNN` for "tanh" and "relu".

    Args:
        function: an activation or its name.
        width: h, the size of the hidden state.
        steps: T, over which the gradient goes back from the last h.
        weight_variance: of one entry of `weight_hh`; left out 1/(3h), PyTorch's U(±1/√h). A uniform ±a has a²/3.
        input_weight_variance: of one entry of `weight_ih`; left out 1/(3h) too.
        bias_variance: of one entry of `bias_ih` and of `bias_hh`; left out 1/(3h) too.
        inputs: the number of input features.
        input_second: their mean square; they have mean 0 and are independent from step to step.

    Raises:
        SpecError: a count is below 1, a variance negative or not finite, or the state grows without bound.

    >>> round(rnn("tanh", 256, 60).per_block, 2)
    0.58
    """
    function = activation(function)
    spread, drive, kept = checked_step(
        width, steps, weight_variance, input_weight_variance, bias_variance, inputs, input_second
    )
    # the variance map with the input in the place of the bias
    variance = _settled(function, spread, drive + kept)
    chi = spread * float(moments(function, variance).slope_second)
    if chi == 0:
        raise SpecError(
            f'activation "{function.name}" is flat where this RNN works, so no gradient goes back at all; '
            "give it an input or biases"
        )
    coherence = _coherence(function, variance, spread, kept)
    back = np.arange(1, steps + 1)
    logs = back * math.log(chi) + power_growth(back.astype(np.float64), width, coherence)
    what = f"{function.name} RNN of width {width} over {steps} steps"
    outside = reasons(width, spread, drive, largest_input=LARGEST_INPUT)
    return through_time(what, logs[::-1], validity(LARGEST_INPUT), outside)


def _settled(function: Activation, spread: float, drive: float) -> float:
    variance = drive
    for _ in range(500):
        before = variance
        variance = spread * float(moments(function, variance).second) + drive
        if abs(variance - before) <= 1e-9 * variance:
            return variance
        if variance > 1e6:
            raise SpecError(
                f'the state of a "{function.name}" RNN with σ_w² = h·Var w = {spread:g} grows without bound; '
                "choose a smaller weight_variance"
            )
    return variance


def _coherence(function: Activation, variance: float, spread: float, kept: float) -> float:
    """E[f'_t·f'_s]/E[f'_t²] at two times far apart, whose pre-activations share what the biases give."""
    shared = 0.0
    for _ in range(50):
        before, shared = shared, float(value_kernel(function, variance, variance, shared)) * spread + kept
        shared = min(shared / variance, 1.0) if variance else 1.0
        if abs(shared - before) <= 1e-9:
            break
    at = moments(function, variance).slope_second
    return min(float(slope_kernel(function, variance, variance, shared) / at), 1.0)
