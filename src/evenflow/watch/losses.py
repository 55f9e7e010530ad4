"""The loss of a script that says nothing about it: the scalar that a backward pass begins at.

Every way to begin one goes through `torch.autograd.backward`. The gradient that an optimiser then finds is that of the
sum of these scalars, over the micro-batches of an accumulation too, so the sum is the loss of the step. What a
GradScaler has multiplied is counted as it was before.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

_plain_backward = torch.autograd.backward
_plain_scale = GradScaler.scale
_listeners: list[Losses] = []


@wraps(_plain_backward)
def _backward(tensors: Any, grad_tensors: Any = None, *arguments: Any, **options: Any) -> None:
    if grad_tensors is None:
        for listener in tuple(_listeners):
            listener.begun(tensors)
    _plain_backward(tensors, grad_tensors, *arguments, **options)


@wraps(_plain_scale)
def _scale(scaler: GradScaler, outputs: Any) -> Any:
    scaled = _plain_scale(scaler, outputs)
    if isinstance(outputs, Tensor):
        for listener in _listeners:
            listener.scaled(scaled, outputs)
    return scaled


class Losses:
    """Listens to backward passes, and hands each optimiser the loss of its step. No device is waited for.

    Args:
        heard: told of every loss before the gradient goes back from it, while its graph is there.
    """

    def __init__(self, heard: Callable[[Tensor], None] = lambda _: None) -> None:
        self._heard = heard
        self._total: Tensor | None = None
        self._taken: set[int] = set()
        self._scaled: tuple[weakref.ref[Tensor], Tensor] | None = None
        self.closure = False
        """Whether an optimiser evaluates the loss by itself, several times a step; the first is then the step's."""

    def attach(self) -> None:
        """Begin to listen."""
        if not _listeners:
            torch.autograd.backward = _backward
            GradScaler.scale = _scale  # pyright: ignore[reportAttributeAccessIssue]
        _listeners.append(self)

    def detach(self) -> None:
        """Listen no more; the last one leaves torch as it was."""
        if self in _listeners:
            _listeners.remove(self)
            if not _listeners:
                torch.autograd.backward = _plain_backward
                GradScaler.scale = _plain_scale
        self._scaled = self._total = None

    def taken(self, optimiser: object) -> Tensor | None:
        """The loss of the step that an optimiser has just made; None if no backward pass came before it."""
        self._scaled = None
        if id(optimiser) in self._taken:
            return None
        self._taken.add(id(optimiser))
        return self._total

    def scaled(self, scaled: Tensor, loss: Tensor) -> None:
        """A loss scale was multiplied in."""
        self._scaled = weakref.ref(scaled), loss.detach()  # its graph is not ours to keep

    def begun(self, tensors: Tensor | Sequence[Tensor]) -> None:
        """A backward pass begins at these tensors."""
        for tensor in (tensors,) if isinstance(tensors, Tensor) else tensors:
            if not isinstance(tensor, Tensor) or tensor.numel() != 1 or tensor.is_complex():
                continue
            if self._taken:  # somebody has stepped since: this is another step
                self._total = None
                self._taken.clear()
            self._heard(tensor)
            value = tensor.detach()
            if self._scaled is not None and self._scaled[0]() is tensor:
                value = self._scaled[1]
            if self._total is None:
                self._total = value
            elif not self.closure:
                self._total = self._total + value
