"""The vanilla RNN through time: h_t = f(W·h_{t-1} + U·x_t + b).

Its pre-activations have the variance q that ``q = σ_w²·E[f(√q·z)²] + input + biases`` keeps, and the mean squared
gradient changes per step by χ = σ_w²·E[f'(√q·z)²]. Nothing but W links two steps, so with tied weights the mean
square is at first that of weights drawn anew (Chen, Pennington & Schoenholz 2018, equation 8); after √width
steps or so the largest eigenvalues of W show, and the gradient falls more slowly (`recurrence.power_growth`).
"""

from __future__ import annotations

import math

import numpy as np

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.growth import Growth
from evenflow.theory.blocks.gated import LARGEST_INPUT, LEAST_WIDTH, checked_step
from evenflow.theory.blocks.recurrence import power_growth, through_time
from evenflow.theory.gaussian import moments

LARGEST_WEIGHT = 1.0  # beyond, tanh networks are chaotic and W alone no longer decides


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
        steps: T, over which the gradient goes back from a loss on the last h.
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
    back = np.arange(1, steps + 1)
    logs = back * math.log(chi) + power_growth(back**2 / width)
    reasons = [
        f"the hidden size {width} is below {LEAST_WIDTH}, where one draw differs too much from the mean"
        if width < LEAST_WIDTH
        else "",
        f"the recurrent weights have σ_w² = h·Var w = {spread:g}, above {LARGEST_WEIGHT:g}, where the state moves "
        "by itself"
        if spread > LARGEST_WEIGHT
        else "",
        f"the input's part of a pre-activation has variance {drive:g}, above {LARGEST_INPUT:g}"
        if drive > LARGEST_INPUT
        else "",
    ]
    validity = (
        f"h >= {LEAST_WIDTH}, σ_w² <= {LARGEST_WEIGHT:g}, variance of the input's part <= {LARGEST_INPUT:g}; "
        "state settled; inputs of mean 0, independent in time; loss on the last state"
    )
    return through_time(
        f"{function.name} RNN of width {width} over {steps} steps", logs[::-1], validity, reasons
    )


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
