"""What a network is: plain data, equal for a theory that predicts it and an engine that trains it."""

from __future__ import annotations

from typing import Literal

import msgspec

from evenflow.spec.layered import Layered
from evenflow.spec.network_checks import check_common, check_equal_widths, layer_widths, listed

FAMILY = "dense"


class Network(Layered, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag=FAMILY):
    """A fully connected network: `depth` hidden layers and a linear output layer.

    A hidden layer is *linear map, [normalisation], activation, [dropout]*. Layers are numbered from 1, the
    output layer is `depth + 1`.

    Args:
        depth: number of hidden layers, at least 1. When it is left out: the number of entries of `width`
            where that is a list, else 20.
        width: units of every hidden layer, or a list with one number a layer.
        activation: a name from `evenflow activations`, or a list that alternates, such as
            `["relu", "sigmoid"]` (layers 1, 3, 5 … and 2, 4, 6 …).
        initialisation: `torch`, `xavier`, `he`, `lecun`, `orthogonal[:G]`, `gain`, `normal:STD`, `constant:C`.
        bias_initialisation: `auto` (torch's with `torch`, else zero), `torch`, `zero`, `normal:STD`,
            `constant:C`.
        normalisation: `none`, `batch` (Ioffe & Szegedy 2015), `layer` (Ba et al. 2016) or `rms`
            (Zhang & Sennrich 2019).
        normalisation_position: `before` or `after` the activation.
        residual: `none`; `pre`, the pre-activation block x + s·W f(N(x)) whose skip stays untouched (He et al.
            2016b); or `post`, the original block f(N(x + s·W x)) (He et al. 2016a). N is the normalisation,
            s is `residual_scale`. All hidden layers then have the same width.
        residual_scale: the factor s on the branch.
        dropout: share of activations set to 0 while training, 0 ≤ dropout < 1.
        clip: `none`, `norm:MAX` (of the whole gradient) or `value:MAX` (of every entry).

    Raises:
        SpecError: a field is out of its range, a name is not known, or two fields do not fit.

    >>> Network(depth=3, width=16, activation="tanh").widths
    (16, 16, 16)
    """

    depth: int | None = None
    width: int | tuple[int, ...] = 128
    activation: str | tuple[str, ...] = "relu"
    initialisation: str = "torch"
    bias_initialisation: str = "auto"
    normalisation: Literal["none", "batch", "layer", "rms"] = "none"
    normalisation_position: Literal["before", "after"] = "before"
    residual: Literal["none", "pre", "post"] = "none"
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
        check_equal_widths(self.residual, self.widths, "hidden layers")

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every hidden layer, of length `depth`."""
        return layer_widths(self.depth, self.width, 20, "a hidden layer")

    @property
    def plain(self) -> dict[str, object]:
        """Every field as plain data, with the depth settled.

        Without the family, as before there were others, so that what stores hold of these networks stays the same.
        """
        fields: dict[str, object] = msgspec.to_builtins(self) | {"depth": self.layers}
        return {name: value for name, value in fields.items() if name != "family"}
