"""Tensors whose numbers cannot be read: those inside `torch.func`, which stand for others, and nested ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]

_inside: Any = _functorch.peek_interpreter_stack
_stands_for_others: Any = _functorch.is_functorch_wrapped_tensor
_tracing: Any = torch._C._get_tracing_state


def transformed() -> bool:
    """Whether `torch.jit.trace`, `vmap` or another transform of torch.func is under way: nothing is recorded there.

    >>> transformed(), torch.func.vmap(lambda row: row * transformed())(torch.ones(2)).tolist()
    (False, [1.0, 1.0])
    """
    return _inside() is not None or _tracing() is not None


def unreadable(tensor: Tensor) -> bool:
    """Whether a tensor has no numbers of its own, or rows of different lengths: such a one is left out."""
    return tensor.is_nested or _stands_for_others(tensor)


def refuse_unreadable(tensor: Tensor) -> None:
    """Raise a TypeError for a tensor that cannot be read."""
    if unreadable(tensor):
        raise TypeError("the numbers of this tensor cannot be read")


def plainly_readable(tensor: Tensor) -> bool:
    """Whether a tensor holds real numbers in the usual way, so that any operation can be applied to it.

    >>> plainly_readable(torch.zeros(2)), plainly_readable(torch.zeros(2, dtype=torch.complex64))
    (True, False)
    """
    if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.is_nested or tensor.is_meta:
        return False
    return tensor.layout is torch.strided and not tensor.is_complex() and not _stands_for_others(tensor)
