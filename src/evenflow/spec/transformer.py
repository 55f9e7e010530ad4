"""What a Transformer encoder is: plain data, as `network.Network` is of a fully connected one."""

from __future__ import annotations

from typing import Literal

from evenflow.errors import SpecError
from evenflow.spec.layered import Layered
from evenflow.spec.network_checks import check_common, layer_widths, listed
from evenflow.spec.sequence import Reading, sequence

FAMILY = "transformer"


class TransformerNetwork(
    Layered, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag=FAMILY
):
    """A Transformer encoder (Vaswani et al. 2017): tokens, blocks, the mean over the tokens, a linear output layer.

    A token is a linear map of one step of the sample, plus sines and cosines of its place. A block is two branches F:
    self-attention, and *linear map, activation, linear map*.

    Args:
        depth: number of blocks, at least 1; 2 when it is left out.
        width: units of a token, a multiple of `heads`.
        heads: of the attention.
        expansion: units inside the second branch over `width`.
        read: what of a sample is one token: `rows`, one row of an image, or `pixels`, one pixel.
        activation: of every block, a name from `evenflow activations`, or a list that alternates.
        initialisation: as of `Network`, queries, keys and values each by themselves.
        bias_initialisation: as of `Network`.
        normalisation: `none`, `layer` or `rms`, of every token.
        residual: `pre`, x + s·F(N(x)), with one more N behind the last block (Xiong et al. 2020: pre-norm); `post`,
            N(x + s·F(x)), the original form (post-norm); or `none`, F(N(x)), where attention alone lets all tokens
            become alike (Dong et al. 2021).
        residual_scale: the factor s on the branch.
        dropout: share of what a branch gives that is set to 0 while training.
        clip: `none`, `norm:MAX` or `value:MAX`.

    Raises:
        SpecError: a field is out of its range, a name is not known, or two fields do not fit.

    >>> TransformerNetwork(depth=3, width=32).activation_names
    ('gelu', 'gelu', 'gelu')
    """

    depth: int | None = None
    width: int = 64
    heads: int = 4
    expansion: int = 2
    read: Reading = "rows"
    activation: str | tuple[str, ...] = "gelu"
    initialisation: str = "torch"
    bias_initialisation: str = "auto"
    normalisation: Literal["none", "batch", "layer", "rms"] = "layer"
    residual: Literal["none", "pre", "post"] = "pre"
    residual_scale: float = 1.0
    dropout: float = 0.0
    clip: str = "none"

    def __post_init__(self) -> None:
        check_common(
            widths=self.widths,
            activations=listed(self.activation),
            initialisation=self.initialisation,
            bias_initialisation=self.bias_initialisation,
            residual_scale=self.residual_scale,
            dropout=self.dropout,
            clip=self.clip,
        )
        if self.heads < 1 or self.width % self.heads:
            raise SpecError(
                f"heads = {self.heads}: the width, {self.width}, is divided among them, so that it has to be a "
                "multiple of their number"
            )
        if self.expansion < 1:
            raise SpecError(f"expansion = {self.expansion}: it is a whole number, at least 1")
        if self.normalisation == "batch":
            raise SpecError('normalisation = "batch": a Transformer normalises each token; take layer or rms')

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of a token in every block."""
        return layer_widths(self.depth, self.width, 2, "a block")

    def sample(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Tokens, and features of each, of a sample of this shape."""
        return sequence(shape, self.read)
