"""Convolutions: a dense layer of fan-in k·k·C/groups inside, and less at borders that are padded with zeros.

With circular padding the mean field is that of a dense layer (Xiao et al. 2018, section 2). With zeros an output
at the border sums fewer taps. The second moment then has a profile q(p) over positions p::

    q'(p) = Var w · (C/groups) · Σ_{p' under the kernel} E[f(√q(p')·z)²]
    g(p') = Var w · (C'/groups) · E[f'(√q(p')·z)²] · Σ_{p that see p'} g'(p)

which both passes follow exactly; the sums are products with the 0/1 matrices of which output sees which input,
one for the rows and one for the columns. For ReLU and 3 x 3 the profile tends to a cosine and the factor per layer
to ((1 + 2·cos(π/(H + 1)))/3)². Deeper down, the weight gradient needs correlations between positions; not here.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.growth import Growth, check_choice, check_count, check_variance, grown
from evenflow.theory.gaussian import moments
from evenflow.theory.meanfield import is_scale_invariant

Array = NDArray[np.float64]
Padding = Literal["zeros", "circular"]

PADDINGS = ("zeros", "circular")
LEAST_CHANNELS = 16  # of a group


def convolution_stack(
    function: Activation | str,
    depth: int,
    channels: int,
    size: int | tuple[int, int],
    weight_variance: float | None = None,
    bias_variance: float = 0.0,
    *,
    kernel: int = 3,
    padding: int | None = None,
    padding_mode: Padding = "zeros",
    groups: int = 1,
    input_variance: float = 1.0,
) -> Growth:
    """L blocks h ↦ conv(f(h)) of stride 1 that keep the number of channels.

    Second moments and gradients are means over all positions and channels; h is the same everywhere at first, and
    the gradient at the last output too.

    Args:
        function: an activation or its name.
        depth: L.
        channels: C, of input and output.
        size: height and width of the image, or one number for both.
        weight_variance: Var w of one weight; left out He's 2/(k·k·C/groups). PyTorch's default is
            1/(3·k·k·C/groups).
        bias_variance: Var b of one bias.
        kernel: k, odd.
        padding: on each side; left out (k - 1)/2, which keeps the size.
        padding_mode: "zeros" or "circular".
        groups: of channels that are convolved apart.
        input_variance: second moment of h before the first block.

    Raises:
        SpecError: a count or a variance is out of range, the groups do not divide the channels, the kernel is
            even, or nothing is left of the image.

    >>> round(convolution_stack("relu", 20, 64, 16, padding_mode="circular").per_block, 12)
    1.0
    >>> padded = convolution_stack("relu", 20, 64, 16)
    >>> round(float(padded.backward[-1]), 3)  # (46/48)²: a border pixel is seen by 2 of 3 rows
    0.918
    """
    function = activation(function)
    height, width = (size, size) if isinstance(size, int) else size
    counts = {
        "depth": depth,
        "number of channels": channels,
        "height": height,
        "width": width,
        "kernel": kernel,
    }
    for name, value in {**counts, "number of groups": groups}.items():
        check_count(f"the {name}", value)
    if kernel % 2 == 0:
        raise SpecError(f"the kernel is odd, not {kernel}; an even one has no middle")
    if channels % groups:
        raise SpecError(f"{channels} channels cannot be split into {groups} groups; choose a divisor")
    around = (kernel - 1) // 2 if padding is None else padding
    check_count("the padding", around, 0)
    check_choice("padding mode", padding_mode, PADDINGS)
    fan_in = kernel * kernel * channels // groups
    weight = 2 / fan_in if weight_variance is None else weight_variance
    check_variance("the variance of a weight", weight, positive=True)
    check_variance("the variance of a bias", bias_variance)
    check_variance("the input variance", input_variance, positive=True)

    invariant = is_scale_invariant(function)
    gain = weight * channels / groups
    profile, levels, slopes, sights = np.full((height, width), float(input_variance)), [], [], []
    levels.append(float(np.mean(profile)))
    for _ in range(depth):
        rows, columns = (_sees(side, kernel, around, padding_mode) for side in profile.shape)
        value, slope = _at(function, profile, invariant=invariant)
        profile = gain * rows @ value @ columns.T + bias_variance
        slopes.append(slope)
        sights.append((rows, columns))
        levels.append(float(np.mean(profile)))
    gradient, backward = np.ones(profile.shape), []
    for slope, (rows, columns) in zip(reversed(slopes), reversed(sights), strict=True):
        before = gain * slope * (rows.T @ gradient @ columns)
        ratio = float(np.mean(before) / np.mean(gradient))
        backward.append(ratio)
        gradient = before / float(np.mean(before))
    reasons = [
        f"a group has {channels // groups} channels, below {LEAST_CHANNELS}, where one draw differs too much from "
        "the mean; use fewer groups or more channels"
        if channels // groups < LEAST_CHANNELS
        else ""
    ]
    validity = (
        f"C/groups >= {LEAST_CHANNELS}; independent weights; input and output gradient alike at all positions"
    )
    what = f"{depth} x ({function.name}, {kernel} x {kernel} convolution, padding {padding_mode})"
    forward = np.array(levels[1:]) / np.array(levels[:-1])
    return grown(what, forward, backward[::-1], validity, reasons)


def _sees(side: int, kernel: int, around: int, mode: str) -> Array:
    """Which of the inputs (columns) each output (rows) of one axis sums over; counts, for circular padding."""
    out = side + 2 * around - kernel + 1
    if out < 1:
        raise SpecError(
            f"a kernel of {kernel} with padding {around} leaves nothing of {side} pixels; pad more or go less deep"
        )
    seen = np.zeros((out, side))
    for tap in range(kernel):
        at = np.arange(out) - around + tap
        inside = np.full(out, True) if mode == "circular" else (at >= 0) & (at < side)
        np.add.at(seen, (np.arange(out)[inside], at[inside] % side), 1.0)
    return seen


def _at(function: Activation, profile: Array, *, invariant: bool) -> tuple[Array, Array]:
    """E[f²] and E[f'²] at every position."""
    if invariant:
        one = moments(function, 1.0)
        return profile * float(one.second), np.full(profile.shape, float(one.slope_second))
    # positions that differ by rounding only share one integral
    digits = 12 - math.ceil(math.log10(float(np.max(profile))))
    distinct, place = np.unique(np.round(profile, digits), return_inverse=True)
    at = moments(function, distinct)
    return at.second[place].reshape(profile.shape), at.slope_second[place].reshape(profile.shape)
