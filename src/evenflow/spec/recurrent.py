"""What a recurrent network is: plain data, as `network.Network` is of a fully connected one."""

from __future__ import annotations

import math
from typing import Literal

from evenflow.errors import SpecError
from evenflow.spec.content import content_hash
from evenflow.spec.initialisation import weight_draw
from evenflow.spec.layered import Layered
from evenflow.spec.network_checks import check_common, check_equal_widths, layer_widths
from evenflow.spec.sequence import Reading, sequence

FAMILY = "recurrent"
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
"""How many blocks of weights, one of `width` rows each, the layers of a cell have."""
KEEPS = {"lstm": 1, "gru": 1}
"""Which block is of the gate that keeps the state: the forget gate of i, f, g, o; the update gate of r, z, n."""


class RecurrentNetwork(
    Layered, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag=FAMILY
):
    """Recurrent layers that read a sample step by step, and a linear output layer behind the last state.

    A layer is *cell, [normalisation], [dropout]*, each at every time step. The cells are `torch.nn.RNN`, `LSTM` and
    `GRU`; the state begins at 0.

    Args:
        cell: `rnn` (Elman 1990), `lstm` (Hochreiter & Schmidhuber 1997) or `gru` (Cho et al. 2014).
        depth: number of layers, at least 1. When it is left out: the entries of `width` where that is a list, else 1.
        width: units of the state of every layer, or a list with one number a layer.
        read: what of a sample is one time step: `rows`, one row of an image, or `pixels`, one pixel.
        activation: of `rnn`, `tanh` or `relu`. An `lstm` or `gru` has tanh, and sigmoid for its gates.
        initialisation: of the matrices from the input, each gate by itself: as of `Network`, but `gain`. `torch` is
            uniform on ±1/√width, as all of a cell in PyTorch.
        recurrent_initialisation: of the matrices from one step to the next: `auto` (torch's with `torch`, else
            orthogonal; Saxe et al. 2014), or as `initialisation`, with `width` inputs.
        bias_initialisation: as of `Network`; the second bias of a cell is 0 but with `torch`.
        forget_bias: added to the bias of the gate that keeps the state, the forget gate of `lstm` (Jozefowicz et al.
            2015 take 1) and the update gate of `gru`; 0 for `rnn`.
        normalisation: `none`, `layer` or `rms`, of the states of a layer at every step.
        residual: `none`; `pre`, x + s·R(N(x)) around every layer R but the first; or `post`, N(x + s·R(x)). All layers
            then have the same width.
        residual_scale: the factor s on the branch.
        dropout: share of what a layer hands up that is set to 0 while training.
        clip: `none`, `norm:MAX` or `value:MAX`.

    Raises:
        SpecError: a field is out of its range, a name is not known, or two fields do not fit.

    >>> RecurrentNetwork(cell="gru", width=32).sample((28, 28))
    (28, 28)
    """

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    depth: int | None = None
    width: int | tuple[int, ...] = 64
    read: Reading = "rows"
    activation: str = "tanh"
    initialisation: str = "torch"
    recurrent_initialisation: str = "auto"
    bias_initialisation: str = "auto"
    forget_bias: float = 0.0
    normalisation: Literal["none", "batch", "layer", "rms"] = "none"
    residual: Literal["none", "pre", "post"] = "none"
    residual_scale: float = 1.0
    dropout: float = 0.0
    clip: str = "none"

    def __post_init__(self) -> None:
        check_common(
            widths=self.widths,
            activations=(self.activation,),
            initialisation=self.initialisation,
            bias_initialisation=self.bias_initialisation,
            residual_scale=self.residual_scale,
            dropout=self.dropout,
            clip=self.clip,
        )
        check_equal_widths(self.residual, self.widths, "layers")
        if self.cell == "rnn" and self.activation not in ("tanh", "relu"):
            raise SpecError(
                f'activation = "{self.activation}": the cell rnn has tanh or relu, as torch.nn.RNN has'
            )
        if self.cell != "rnn" and self.activation != "tanh":
            raise SpecError(
                f'activation = "{self.activation}": the cell {self.cell} has tanh, and sigmoid for its gates; '
                'leave activation out, or take cell = "rnn"'
            )
        for field in ("initialisation", "recurrent_initialisation"):
            if getattr(self, field) == "gain":
                raise SpecError(
                    f'{field} = "gain": it is made for one activation in front of the weights, and a cell adds '
                    "two signals; take he, xavier, lecun or orthogonal"
                )
        if self.recurrent_initialisation != "auto":
            try:
                weight_draw(self.recurrent_initialisation, 1, 1, "identity")
            except SpecError as error:
                raise SpecError(f"recurrent_{error}; or auto") from None
        if not math.isfinite(self.forget_bias):
            raise SpecError(f"forget_bias = {self.forget_bias:g}: it is a finite number")
        if self.forget_bias and self.cell not in KEEPS:
            raise SpecError(
                f"forget_bias = {self.forget_bias:g}: the cell {self.cell} has no gate that keeps its state; take "
                'cell = "lstm" or "gru", or leave forget_bias out'
            )
        if self.normalisation == "batch":
            raise SpecError(
                'normalisation = "batch": the statistics of a batch differ from time step to time step; '
                "take layer or rms"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of the state of every layer."""
        return layer_widths(self.depth, self.width, 1, "a recurrent layer")

    @property
    def recurrent(self) -> str:
        """The initialisation of the matrices from one step to the next, settled."""
        if self.recurrent_initialisation != "auto":
            return self.recurrent_initialisation
        return "torch" if self.initialisation == "torch" else "orthogonal"

    def sample(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Time steps, and features of each, of a sample of this shape."""
        return sequence(shape, self.read)

    @property
    def hash(self) -> str:
        """Twelve hex digits of the content."""
        return content_hash([self.plain])
