"""Residual blocks: the stream adds up, and a gradient takes the skip and the branch.

Per block x ↦ x + s·W·f(N(x)) the branch adds s²·σ_w²·E[f²] to the second moment of the stream, and the gradient's
mean square is multiplied by 1 + s²·σ_w²·E[f'²]/(what N divided by). Branch and skip do not correlate, for the
branch's weights have mean 0. The mean of 1/‖x‖² over n Gaussians makes what a norm before the branch divides by
smaller, by 2/n: 4 % of the whole growth at L = 128 and n = 256.

The known laws follow (Yang & Schoenholz 2017; Zhang, Dauphin & Ma 2019; De & Smith 2020), for a branch that keeps
the second moment:

- no norm: 2^L, and e for s = 1/√L;
- LayerNorm or RMSNorm before the branch: Π(1 + 1/(1 + l)) = L + 1;
- BatchNorm before it: only Var f adds to the variance over the batch, Π(1 + 1/(1 + (1 - 1/π)·l)) ~ L^{π/(π-1)} for
  ReLU;
- a norm after the sum: (1 + s²·σ_w²·E[f'²])/(1 + s²·σ_w²·E[f²]), 1 for ReLU;
- s = 0 (SkipInit, ReZero, Fixup's last layer): exactly 1.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.growth import (
    Growth,
    check_choice,
    check_count,
    check_number,
    check_variance,
    grown,
)
from evenflow.theory.gaussian import Moments, moments
from evenflow.theory.meanfield import check_draw, is_scale_invariant

Normalisation = Literal["none", "layer", "rms", "batch"]
Position = Literal["pre", "post"]

NORMALISATIONS = ("none", "layer", "rms", "batch")
POSITIONS = ("pre", "post")
LEAST_WIDTH, LEAST_BATCH = 32, 32
_LARGEST_VARIANCE = 1e150


def residual_stack(
    function: Activation | str,
    depth: int,
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    normalisation: Normalisation = "none",
    position: Position = "pre",
    scale: float = 1.0,
    input_variance: float = 1.0,
    width: float = math.inf,
    batch: float = math.inf,
) -> Growth:
    """L blocks x ↦ x + s·(W·f(N(x)) + b), or x ↦ N(x + s·(W·f(x) + b)) with the norm in position "post".

    Args:
        function: an activation or its name.
        depth: L.
        weight_variance: σ_w², weights having variance σ_w²/fan_in; 2 keeps the second moment of ReLU.
        bias_variance: σ_b².
        normalisation: N: "none", "layer", "rms" or "batch".
        position: of the norm, "pre" or "post".
        scale: s; 1/√L for a growth of e however deep.
        input_variance: second moment of the stream before the first block; over the batch, for BatchNorm.
        width: n.
        batch: B, the samples that BatchNorm takes together.

    Raises:
        SpecError: a count, a variance or the scale is out of range, or a name is not known.

    >>> [round(float(residual_stack("relu", depth, normalisation="layer").backward[0]), 6) for depth in (8, 32, 128)]
    [9.0, 33.0, 129.0]
    >>> [round(residual_stack("relu", depth, normalisation="layer", width=256).backward[0]) for depth in (8, 32, 128)]
    [9, 34, 134]
    >>> round(float(residual_stack("relu", 128, scale=128**-0.5).backward[0]), 2)  # e
    2.71
    """
    function = activation(function)
    check_count("the depth", depth)
    check_count("the width", width, endless=True)
    check_count("a batch", batch, endless=True)
    check_choice("normalisation", normalisation, NORMALISATIONS)
    check_choice("position", position, POSITIONS)
    check_draw(weight_variance, bias_variance)
    check_variance("the input variance", input_variance, positive=True)
    check_number("the scale of the branch", scale)

    invariant = is_scale_invariant(function)
    inverse = 1 / (1 - 2 / max(width, LEAST_WIDTH))  # E[1/χ²_n] is 1/(n - 2)
    second = spread = input_variance  # mean square of the stream; what of it the norm divides by
    forward, backward, too_large = np.ones(depth), np.ones(depth), ""
    for block in range(depth):
        if second > _LARGEST_VARIANCE and not invariant:
            too_large = f"the stream's second moment passes 1e150 at block {block}; scale the branch down"
            break
        pre = position == "pre" and normalisation != "none"
        at, unit = _at(function, 1.0 if pre else second, invariant=invariant)
        value, slope = float(at.second) * unit, float(at.slope_second)
        varies = value - float(at.mean) ** 2 * unit if normalisation == "batch" else value
        bias = 0.0 if normalisation == "batch" else bias_variance
        added = scale**2 * (weight_variance * value + bias_variance)
        added_spread = scale**2 * (weight_variance * varies + bias)
        branch = scale**2 * weight_variance * slope
        forward[block] = 1 + added / second
        backward[block] = 1 + branch * (inverse / spread if pre else 1.0)
        second, spread = second + added, spread + added_spread
        if position == "post" and normalisation != "none":
            forward[block] /= second
            backward[block] /= spread
            second = spread = 1.0
    reasons = [
        too_large,
        f"the width {width:g} is below {LEAST_WIDTH}, where one draw differs too much from the mean"
        if width < LEAST_WIDTH
        else "",
        f"a batch of {batch:g} is below {LEAST_BATCH}, where BatchNorm's own noise counts"
        if normalisation == "batch" and batch < LEAST_BATCH
        else "",
    ]
    validity = f"n >= {LEAST_WIDTH}" + (f" and B >= {LEAST_BATCH}" if normalisation == "batch" else "")
    validity += "; weights drawn independently; the gradient independent of them"
    norm = {"none": "no norm", "layer": "LayerNorm", "rms": "RMSNorm", "batch": "BatchNorm"}[normalisation]
    what = f"{depth} residual {function.name} blocks, {norm}"
    return grown(
        what + ("" if normalisation == "none" else f" {position}"), forward, backward, validity, reasons
    )


def _at(function: Activation, variance: float, *, invariant: bool) -> tuple[Moments, float]:
    """Moments, and the factor on E[f²] and (E f)²: those of a scale-invariant f are taken at 1, however large."""
    return (moments(function, 1.0), variance) if invariant else (moments(function, variance), 1.0)
