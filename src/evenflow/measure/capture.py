"""Keep what goes in and out of chosen modules during one forward and backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Signal:
    """The argument and the value of one activation, both of shape (batch, units).

    After the backward pass `inputs.grad` is ∂L/∂z, the gradient that reaches the pre-activation.
    """

    inputs: Tensor
    outputs: Tensor


@contextmanager
def captured(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Signal]]:
    """A dictionary that the next forward pass fills, by the name of each module. No hook stays behind."""
    signals: dict[str, Signal] = {}

    def keeper(name: str):
        def keep(_module: nn.Module, arguments: tuple[Tensor, ...], outputs: Tensor) -> None:
            (inputs,) = arguments
            if inputs.requires_grad:
                inputs.retain_grad()
            signals[name] = Signal(inputs, outputs)

        return keep

    handles = [module.register_forward_hook(keeper(name)) for name, module in modules.items()]
    try:
        yield signals
    finally:
        for handle in handles:
            handle.remove()
