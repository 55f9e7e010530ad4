"""Stacks of normalisation, activation and linear map, without skips.

LayerNorm and RMSNorm bring every sample to mean square 1, so the activation works at variance 1 and the backward
pass divides by what the forward pass divided by: the mean squared gradient changes per layer by E[f'²]/E[f²] at
variance 1, whatever the scale of the weights. For ReLU that is 1; for sigmoid it is 0.15: these norms do not stop
sigmoid networks from vanishing. (LayerNorm: Ba, Kiros & Hinton 2016; RMSNorm: Zhang & Sennrich 2019.)

BatchNorm takes away each unit's mean over the batch as well, so E[f²] becomes Var f and the gradient always
grows (`batch_norm`; Yang et al. 2019).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.batch_norm import LEAST_BATCH, batch_norm_factor, rank_is_lost
from evenflow.theory.blocks.growth import Growth, check_choice, check_count, check_variance, grown
from evenflow.theory.gaussian import moments
from evenflow.theory.meanfield import check_draw

Normalisation = Literal["layer", "rms", "batch"]

NORMALISATIONS = ("layer", "rms", "batch")
LEAST_WIDTH = 32


def normalised_stack(
    function: Activation | str,
    depth: int,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    *,
    normalisation: Normalisation = "layer",
    batch: float = math.inf,
    width: float = math.inf,
    input_variance: float | None = None,
) -> Growth:
    """L blocks h ↦ W·f(N(h)) + b: the norm stands before the activation.

    Args:
        function: an activation or its name.
        depth: L.
        weight_variance: σ_w², weights having variance σ_w²/fan_in.
        bias_variance: σ_b².
        normalisation: "layer", "rms" or "batch".
        batch: B, the samples that BatchNorm takes together.
        width: n.
        input_variance: of h before the first block, over the batch for BatchNorm; left out, that which the blocks
            themselves hand on, so that all blocks are alike.

    Raises:
        SpecError: a count or a variance is out of range, the normalisation is not known, or B is below 2.

    >>> relu, sigmoid = normalised_stack("relu", 20), normalised_stack("sigmoid", 20)
    >>> round(relu.per_block, 12), round(sigmoid.per_block, 3)
    (1.0, 0.391)
    >>> round(normalised_stack("relu", 20, normalisation="batch").per_block, 3)
    1.211
    """
    function = activation(function)
    check_count("the depth", depth)
    check_count("the width", width, endless=True)
    check_choice("normalisation", normalisation, NORMALISATIONS)
    check_draw(weight_variance, bias_variance)
    if input_variance is not None:
        check_variance("the input variance", input_variance, positive=True)
    at = moments(function, 1.0)
    second = weight_variance * float(at.second) + bias_variance
    spread = second
    reasons = [
        f"the width {width:g} is below {LEAST_WIDTH}, where one draw differs too much from the mean"
        if width < LEAST_WIDTH
        else ""
    ]
    validity = f"n >= {LEAST_WIDTH}; weights drawn independently; the gradient independent of them"
    if normalisation == "batch":
        check_count("a batch", batch, 2, endless=True)
        factor = batch_norm_factor(function, max(batch, LEAST_BATCH))
        # what varies over the batch: neither the mean of f nor the bias
        spread = weight_variance * float(at.slope_second) / factor
        if batch < LEAST_BATCH:
            reasons.append(
                f"a batch of {batch} is below {LEAST_BATCH}, where the mean square of the gradient is infinite"
            )
        reasons.append(rank_is_lost(function, depth, width, batch))
        validity += (
            "; every unit's variance over the batch near the mean: depth below the limit that `outside` names"
        )
    backward = np.full(depth, weight_variance * float(at.slope_second) / spread)
    forward = np.ones(depth)
    if input_variance is not None:
        forward[0] = second / input_variance
        backward[0] *= spread / input_variance
    named = {"layer": "LayerNorm", "rms": "RMSNorm", "batch": "BatchNorm"}[normalisation]
    return grown(f"{depth} x ({named}, {function.name}, linear)", forward, backward, validity, reasons)
