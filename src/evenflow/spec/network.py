"""What a network is: plain data, equal for a theory that predicts it and an engine that trains it."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.spec.content import content_hash
from evenflow.spec.initialisation import check_terms
from evenflow.spec.terms import split_term

_CLIPS: dict[str, bool | None] = {"none": False, "norm": True, "value": True}


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
        self._check_shape()
        for width in self.widths:
            if width < 1:
                raise SpecError(f"width = {width}: a layer has at least 1 unit")
        if not self.activation:
            raise SpecError("activation = []: the list is empty; name at least one activation")
        for name in dict.fromkeys(self.activation_names):
            activation(name)
        check_terms(self.initialisation, self.bias_initialisation)
        self._check_clip()
        if not 0 <= self.dropout < 1:
            raise SpecError(f"dropout = {self.dropout:g}: it is a share, at least 0 and below 1")
        if not math.isfinite(self.residual_scale):
            raise SpecError(f"residual_scale = {self.residual_scale:g}: it is a finite number")
        if self.residual != "none" and len(set(self.widths)) > 1:
            raise SpecError(
                f'residual = "{self.residual}" needs hidden layers of equal width, but width = '
                f'{list(self.widths)}; give one number, or residual = "none"'
            )

    def _check_shape(self) -> None:
        if not isinstance(self.width, int) and not self.width:
            raise SpecError("width = []: the list is empty; give one number a hidden layer")
        if self.depth is not None and self.depth < 1:
            raise SpecError(f"depth = {self.depth}: a network has at least 1 hidden layer")
        if not isinstance(self.width, int) and len(self.width) != self.layers:
            raise SpecError(
                f"width lists {len(self.width)} layers but depth = {self.depth}; "
                "leave depth out, or give one number for width"
            )

    def _check_clip(self) -> None:
        kind, value = split_term(self.clip, _CLIPS, "clip")
        if kind != "none" and (value is None or value <= 0):
            raise SpecError(f'clip "{self.clip}": the bound is above 0')

    @property
    def layers(self) -> int:
        """The number of hidden layers, which is `depth` or follows from `width` where depth was left out."""
        if self.depth is not None:
            return self.depth
        return 20 if isinstance(self.width, int) else len(self.width)

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every hidden layer, of length `depth`."""
        return (self.width,) * self.layers if isinstance(self.width, int) else self.width

    @property
    def activation_names(self) -> tuple[str, ...]:
        """Name of the activation of every hidden layer, of length `depth`."""
        names = (self.activation,) if isinstance(self.activation, str) else self.activation
        return tuple(names[layer % len(names)] for layer in range(self.layers))

    @property
    def activations(self) -> tuple[Activation, ...]:
        """Activation of every hidden layer, of length `depth`."""
        return tuple(activation(name) for name in self.activation_names)

    @property
    def clipping(self) -> tuple[str, float | None]:
        """Kind (`none`, `norm`, `value`) and bound of gradient clipping."""
        return split_term(self.clip, _CLIPS, "clip")

    @property
    def plain(self) -> dict[str, object]:
        """Every field as plain data, with the depth settled."""
        return msgspec.to_builtins(self) | {"depth": self.layers}

    @property
    def hash(self) -> str:
        """Twelve hex digits of the content; a custom activation counts with its values, not its name only."""
        custom = [item.fingerprint for item in dict.fromkeys(self.activations) if item.custom]
        return content_hash([self.plain, custom])
