"""Transformer encoders at initialisation: pre-LN and post-LN.

Each block is attention and a feed-forward net, two residual branches with a LayerNorm each::

    pre-LN    x ↦ x + MHA(LN(x)),  x ↦ x + FFN(LN(x))
    post-LN   x ↦ LN(x + MHA(x)),  x ↦ LN(x + FFN(x))

The stream's mean square and the correlation of its tokens, which averaging attention pulls together, and the same
two numbers of the gradient, follow a closed recursion (`attention`). With pre-LN the stream grows linearly and the
gradient towards the input by about a power of the depth; with post-LN each norm divides by what the branch added
and neither grows much. (Vaswani et al. 2017; Xiong et al. 2020.)
"""

from __future__ import annotations

from typing import Literal

from evenflow.spec.activation import Activation, activation
from evenflow.theory.blocks.attention import Maps
from evenflow.theory.blocks.encoder import Position, encoder
from evenflow.theory.blocks.growth import Growth, check_choice, check_count, check_variance

Start = Literal["torch", "xavier"]

STARTS = ("torch", "xavier")


def transformer_stack(
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

    >>> round(float(transformer_stack(12, 512, 64).forward[-1]), 1), round(transformer_stack(12, 512, 64).per_block, 3)
    (1.9, 1.023)
    """
    check_choice("initialisation", start, STARTS)
    for name, value in (("width", width), ("feed-forward size", 1 if feedforward is None else feedforward)):
        check_count(f"the {name}", value)
    hidden = 4 * width if feedforward is None else feedforward
    check_variance("the factor β on the weights", branch, positive=True)
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
    return encoder(
        what,
        maps,
        activation(function),
        depth,
        width,
        tokens,
        position=position,
        skip=skip,
        input_variance=input_variance,
        input_correlation=input_correlation,
    )
