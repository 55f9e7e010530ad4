"""Operations of torch by which a compiled graph lets the bank hear: the native kernel reads what the graph computed.

To a compiler they are closed boxes that write to a tensor of one number, of which it therefore leaves out none. A call
costs some microseconds; the sums written out as operations of torch cost ten times as much where the kernel reads
main memory (see `traced_sums`, which serves everything else).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.fx.node import has_side_effect

from evenflow.measure.bank import Slot
from evenflow.measure.kernels import DTYPES, native


class _Listener(Protocol):
    def forward(self, slot: Slot, values: Tensor, inputs: Tensor | None) -> None: ...
    def backward_arrived(self, slot: Slot, gradient: Tensor) -> None: ...


@dataclass(frozen=True, eq=False)
class Hearing:
    """Who hears what reaches a site of a compiled graph."""

    listener: _Listener
    slot: Slot


_hearings: dict[int, Hearing] = {}
_numbers = count()


def begin(hearing: Hearing) -> int:
    """A number for the operations of this site."""
    number = next(_numbers)
    _hearings[number] = hearing
    return number


def end(number: int) -> None:
    """What the operations of this number are given is heard no more."""
    _hearings.pop(number, None)


def readable(value: Tensor) -> bool:
    """Whether the native kernel can read such tensors, as far as their device and dtype tell."""
    return native is not None and value.device.type == "cpu" and value.dtype in DTYPES


def _hear(_token: Tensor, values: Tensor, tested: Tensor | None, number: int) -> None:
    found = _hearings.get(number)
    if found is not None:
        found.listener.forward(found.slot, values, tested)


def _hear_gradient(_token: Tensor, gradient: Tensor, number: int) -> None:
    found = _hearings.get(number)
    if found is not None:
        found.listener.backward_arrived(found.slot, gradient)


_library = torch.library.Library("evenflow", "DEF")
_library.define("hear(Tensor(a!) token, Tensor values, Tensor? tested, int number) -> ()")
_library.define("hear_gradient(Tensor(a!) token, Tensor gradient, int number) -> ()")
for _name, _function in (("hear", _hear), ("hear_gradient", _hear_gradient)):
    _library.impl(_name, _function, "CPU")
    torch.library.register_fake(f"evenflow::{_name}", lambda *_arguments: None, lib=_library)


@has_side_effect
def hear(token: Tensor, values: Tensor, tested: Tensor | None, number: int) -> None:
    """Hear what a site has put out."""
    with torch.no_grad():
        _operations().hear(token, values.detach(), None if tested is None else tested.detach(), number)


@has_side_effect
def listen(tensor: Tensor, token: Tensor, number: int) -> None:
    """Hear the gradient of a tensor when it comes."""
    if not tensor.requires_grad:
        return

    def hook(gradient: Tensor) -> None:
        with torch.no_grad():
            _operations().hear_gradient(token, gradient, number)

    tensor.register_hook(hook)


def _operations() -> Any:
    return torch.ops.evenflow
