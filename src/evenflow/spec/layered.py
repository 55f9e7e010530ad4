"""What follows from the fields that every family of networks has."""

from __future__ import annotations

from typing import Protocol

import msgspec

from evenflow.spec.activation import Activation, activation
from evenflow.spec.content import content_hash
from evenflow.spec.network_checks import clip_term, listed


class _Fields(Protocol):
    @property
    def activation(self) -> str | tuple[str, ...]: ...
    @property
    def clip(self) -> str: ...
    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def layers(self) -> int: ...
    @property
    def activation_names(self) -> tuple[str, ...]: ...
    @property
    def activations(self) -> tuple[Activation, ...]: ...
    @property
    def plain(self) -> dict[str, object]: ...


class Layered(msgspec.Struct, frozen=True):
    """The base of the families; it has no field of its own."""

    @property
    def layers(self: _Fields) -> int:
        """The number of layers, which is `depth` or follows from `width` where depth was left out."""
        return len(self.widths)

    @property
    def activation_names(self: _Fields) -> tuple[str, ...]:
        """Name of the activation of every layer, of length `layers`."""
        names = listed(self.activation)
        return tuple(names[layer % len(names)] for layer in range(self.layers))

    @property
    def activations(self: _Fields) -> tuple[Activation, ...]:
        """Activation of every layer, of length `layers`."""
        return tuple(activation(name) for name in self.activation_names)

    @property
    def clipping(self: _Fields) -> tuple[str, float | None]:
        """Kind (`none`, `norm`, `value`) and bound of gradient clipping."""
        return clip_term(self.clip)

    @property
    def plain(self: _Fields) -> dict[str, object]:
        """Every field as plain data, with the depth settled."""
        return msgspec.to_builtins(self) | {"depth": self.layers}

    @property
    def hash(self: _Fields) -> str:
        """Twelve hex digits of the content; a custom activation counts with its values, not its name only."""
        custom = [item.fingerprint for item in dict.fromkeys(self.activations) if item.custom]
        return content_hash([self.plain, custom])
