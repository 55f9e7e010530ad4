"""DeepNorm: post-LN whose skip weighs more and whose branches weigh less the deeper the stack is.

    x ↦ LN(α·x + MHA(x)),  x ↦ LN(α·x + FFN(x)),  β scales the weights of values, output and feed-forward net

so that one block changes little, in both passes (Wang et al. 2022, table 2 and figure 2).
"""

from __future__ import annotations

from dataclasses import dataclass

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.attention import Maps
from evenflow.theory.blocks.encoder import encoder
from evenflow.theory.blocks.growth import Growth, check_count, check_variance


@dataclass(frozen=True)
class DeepNorm:
    """The constants of DeepNorm: α on the skip and β on the weights, of the encoder and of the decoder.

    Where there is no such part, both are 1.
    """

    encoder_alpha: float
    encoder_beta: float
    decoder_alpha: float
    decoder_beta: float


def deep_norm_constants(encoders: int = 0, decoders: int = 0) -> DeepNorm:
    """α and β for N encoder and M decoder blocks (Wang et al. 2022, table 2).

    Raises:
        SpecError: a count is below 0, or both are 0.

    >>> found = deep_norm_constants(encoders=18)
    >>> round(found.encoder_alpha, 3), round(found.encoder_beta, 3)
    (2.449, 0.289)
    """
    check_count("the number of encoder blocks", encoders, 0)
    check_count("the number of decoder blocks", decoders, 0)
    if not encoders and not decoders:
        raise SpecError("DeepNorm needs encoder or decoder blocks; both counts are 0")
    if not decoders:
        return DeepNorm((2 * encoders) ** 0.25, (8 * encoders) ** -0.25, 1.0, 1.0)
    if not encoders:
        return DeepNorm(1.0, 1.0, (2 * decoders) ** 0.25, (8 * decoders) ** -0.25)
    both = (encoders**4 * decoders) ** (1 / 16)
    return DeepNorm(0.81 * both, 0.87 / both, (3 * decoders) ** 0.25, (12 * decoders) ** -0.25)


def deep_norm_stack(
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
    Arguments and errors as `transformer_stack` has them; α and β left out are those of `deep_norm_constants`.

    >>> round(deep_norm_stack(24, 512, 64).per_block, 3)
    1.0
    """
    check_count("the depth", depth)
    check_count("the width", width)
    hidden = 4 * width if feedforward is None else feedforward
    check_count("the feed-forward size", hidden)
    constants = deep_norm_constants(encoders=depth)
    alpha = constants.encoder_alpha if skip is None else skip
    beta = constants.encoder_beta if branch is None else branch
    check_variance("the factor β on the weights", beta, positive=True)
    maps = Maps(
        query=1.0,
        key=1.0,
        value=beta**2,
        out=beta**2,
        first=2 * width / (width + hidden) * beta**2,
        second=2 * hidden / (width + hidden) * beta**2,
    )
    what = f"{depth} DeepNorm Transformer blocks"
    return encoder(
        what,
        maps,
        activation(function),
        depth,
        width,
        tokens,
        position="post",
        skip=alpha,
        input_variance=input_variance,
        input_correlation=input_correlation,
    )
