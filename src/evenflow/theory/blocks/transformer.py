"""Transformer encoders at initialisation: pre-LN, post-LN and DeepNorm.

Each block is attention and a feed-forward net, two residual branches with a LayerNorm each::

    pre-LN    x ↦ x + MHA(LN(x)),  x ↦ x + FFN(LN(x))
    post-LN   x ↦ LN(x + MHA(x)),  x ↦ LN(x + FFN(x))
    DeepNorm  x ↦ LN(α·x + MHA(x)),  x ↦ LN(α·x + FFN(x)),  and β scales the weights of values, output and FFN

The stream's mean square and the correlation of its tokens, which averaging attention pulls together, and the same
two numbers of the gradient, follow a closed recursion (`attention`). With pre-LN the stream grows linearly and the
gradient towards the input by about a power of the depth; with post-LN each norm divides by what the branch added
and neither grows much. (Vaswani et al. 2017; Xiong et al. 2020; DeepNorm: Wang et al. 2022, table 2.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.attention import Maps, Pair, attend, attend_back, feed, feed_back
from evenflow.theory.blocks.growth import Growth, check_choice, check_count, check_number, grown

Position = Literal["pre", "post"]
Start = Literal["torch", "xavier"]

POSITIONS, STARTS = ("pre", "post"), ("torch", "xavier")
LEAST_TOKENS, LEAST_WIDTH = 8, 64


@dataclass(frozen=True)
class DeepNorm:
    """The constants of DeepNorm: α on the skip and β on the weights, of the encoder and of the decoder.

    Where there is no such part, both are 1.
    """

    encoder_alpha: float
    encoder_beta: float
    decoder_alpha: float
    decoder_beta: float


def deep_norm_constants(encoder: int = 0, decoder: int = 0) -> DeepNorm:
    """α and β for N encoder and M decoder blocks (Wang et al. 2022, table 2).

    Raises:
        SpecError: a count is below 0, or both are 0.

    >>> found = deep_norm_constants(encoder=18)
    >>> round(found.encoder_alpha, 3), round(found.encoder_beta, 3)
    (2.449, 0.289)
    """
    check_count("the number of encoder blocks", encoder, 0)
    check_count("the number of decoder blocks", decoder, 0)
    if not encoder and not decoder:
        raise SpecError("DeepNorm needs encoder or decoder blocks; both counts are 0")
    if not decoder:
        return DeepNorm((2 * encoder) ** 0.25, (8 * encoder) ** -0.25, 1.0, 1.0)
    if not encoder:
        return DeepNorm(1.0, 1.0, (2 * decoder) ** 0.25, (8 * decoder) ** -0.25)
    both = (encoder**4 * decoder) ** (1 / 16)
    return DeepNorm(0.81 * both, 0.87 / both, (3 * decoder) ** 0.25, (12 * decoder) ** -0.25)


def transformer(
    depth: int,
    width: int,
    tokens: int,
    function: Activation | str = "relu",
    *,
    feedforward: int | None = None,
    position: Position = "pre",
    start: Start = "torch",
    skip: float = 1.0,
    branch: float = 1.0,
    input_variance: float = 1.0,
    input_correlation: float = 0.0,
) -> Growth:
    """L encoder blocks of self-attention over T tokens and a feed-forward net, without dropout or mask.

    The gradient at the last output is taken as independent from token to token.

    Args:
        depth: L.
        width: d, the size of the model; the number of heads does not matter.
        tokens: T.
        function: activation of the feed-forward net, or its name.
        feedforward: its hidden size; left out 4·d.
        position: of the LayerNorm, "pre" or "post".
        start: "torch", as `nn.TransformerEncoderLayer` draws itself, or "xavier", where every matrix of it is
            drawn anew by `xavier_uniform_`; both draw queries, keys and values as one (3d, d) matrix.
        skip: α, a factor on the skip; with `position` "post" only.
        branch: β, a factor on the weights of values, output and feed-forward net.
        input_variance: mean square of the embedded tokens.
        input_correlation: of two tokens, 0 to 1.

    Raises:
        SpecError: a count, a factor or the correlation is out of range, or a name is not known.

    >>> round(transformer(12, 512, 64).forward[-1], 1), round(transformer(12, 512, 64).per_block, 3)
    (1.9, 1.025)
    """
    check_choice("initialisation", start, STARTS)
    for name, value in (("width", width), ("feed-forward size", 1 if feedforward is None else feedforward)):
        check_count(f"the {name}", value)
    hidden = 4 * width if feedforward is None else feedforward
    check_number("the factor β on the weights", branch)
    square = branch**2
    xavier = start == "xavier"
    maps = Maps(
        query=0.5,
        key=0.5,
        value=0.5 * square,
        out=(1.0 if xavier else 1 / 3) * square,
        first=(2 * width / (width + hidden) if xavier else 1 / 3) * square,
        second=(2 * hidden / (width + hidden) if xavier else 1 / 3) * square,
        first_bias=1 / (3 * width),
        second_bias=1 / (3 * hidden),
    )
    what = f"{depth} {position}-LN Transformer blocks"
    return _stack(
        what,
        maps,
        activation(function),
        depth,
        width,
        tokens,
        position,
        skip,
        input_variance,
        input_correlation,
    )


def deep_norm(
    depth: int,
    width: int,
    tokens: int,
    function: Activation | str = "relu",
    *,
    feedforward: int | None = None,
    skip: float | None = None,
    branch: float | None = None,
    input_variance: float = 1.0,
    input_correlation: float = 0.0,
) -> Growth:
    """L post-LN encoder blocks with DeepNorm: skip α·x, every matrix Xavier with gain β but 1 for queries and keys.

    Queries, keys and values are drawn as three (d, d) matrices and biases are 0, as in Wang et al. (2022), figure 2.
    Arguments and errors as `transformer` has them; α and β left out are those of `deep_norm_constants`.

    >>> round(deep_norm(24, 512, 64).per_block, 3)
    1.0
    """
    check_count("the depth", depth)
    check_count("the width", width)
    hidden = 4 * width if feedforward is None else feedforward
    check_count("the feed-forward size", hidden)
    constants = deep_norm_constants(encoder=depth)
    alpha = constants.encoder_alpha if skip is None else skip
    beta = constants.encoder_beta if branch is None else branch
    check_number("the factor β on the weights", beta)
    maps = Maps(
        query=1.0,
        key=1.0,
        value=beta**2,
        out=beta**2,
        first=2 * width / (width + hidden) * beta**2,
        second=2 * hidden / (width + hidden) * beta**2,
    )
    what = f"{depth} DeepNorm Transformer blocks"
    return _stack(
        what,
        maps,
        activation(function),
        depth,
        width,
        tokens,
        "post",
        alpha,
        input_variance,
        input_correlation,
    )


def _stack(
    what: str,
    maps: Maps,
    function: Activation,
    depth: int,
    width: int,
    tokens: int,
    position: Position,
    skip: float,
    input_variance: float,
    input_correlation: float,
) -> Growth:
    check_count("the depth", depth)
    check_count("the number of tokens", tokens)
    check_choice("position", position, POSITIONS)
    check_number("the factor α on the skip", skip)
    if not (math.isfinite(input_variance) and input_variance > 0):
        raise SpecError(f"the input variance is above 0 and finite, not {input_variance:g}")
    if not 0 <= input_correlation <= 1:
        raise SpecError(f"the correlation of two tokens lies from 0 to 1, not at {input_correlation:g}")
    if position == "pre" and skip != 1:
        raise SpecError('a factor on the skip needs position="post"; pre-LN has none')
    stream = Pair(input_variance, input_variance * input_correlation)
    # per branch: its maps on tokens of mean square 1, what the norm divides by, what the branch's input was
    # divided by, and the correlation of the tokens
    branches: list[tuple[Maps, float, float, float]] = []
    levels = [stream.second]
    for _ in range(depth):
        for attention in (True, False):
            q, c = stream.second, stream.correlation
            # with post-LN nothing has normalised the embedding
            own = maps if position == "pre" else maps.scaled(q)
            added = attend(own, tokens, c) if attention else feed(own, function, c)
            after = stream.times(skip**2) + added
            norm = 1.0 if position == "pre" else after.second
            branches.append((own, norm, q, c))
            stream = after.times(1 / norm)
        levels.append(stream.second)

    gradient, sizes = Pair(1.0, 0.0), [1.0]
    for place in reversed(range(2 * depth)):
        own, norm, q, c = branches[place]
        at = gradient.times(1 / norm)
        back = attend_back(own, tokens, c, at) if place % 2 == 0 else feed_back(own, function, c, at)
        gradient = at.times(skip**2) + back.times(1 / q)
        if place % 2 == 0:
            sizes.append(gradient.second)
    sizes.reverse()
    reasons = [
        f"{tokens} tokens are below {LEAST_TOKENS}, where attention is not near-uniform averaging"
        if tokens < LEAST_TOKENS
        else "",
        f"the width {width} is below {LEAST_WIDTH}, where one draw differs too much from the mean"
        if width < LEAST_WIDTH
        else "",
    ]
    validity = (
        f"d >= {LEAST_WIDTH}, T >= {LEAST_TOKENS}; no dropout, no mask; at initialisation; scores of order 1, "
        "so that attention averages nearly uniformly"
    )
    forward, backward = np.array(levels), np.array(sizes)
    return grown(what, forward[1:] / forward[:-1], backward[:-1] / backward[1:], validity, reasons)
