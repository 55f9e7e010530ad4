"""Where a NaN or an infinity came from, as data and as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import torch
from torch import Tensor

_BY_OPERATION = ("forward", "backward")  # directions in which an operation is to blame

_TOLD = 3  # operands that the sentence describes


class Kinds(NamedTuple):
    """Which non-finite values a tensor holds."""

    nan: bool = False
    positive: bool = False
    negative: bool = False

    @property
    def infinite(self) -> bool:
        return self.positive or self.negative


_FINITE = Kinds()


@dataclass(frozen=True)
class Operand:
    """What an operation took, or made, in numbers.

    Args:
        name: as the operation calls it, "self" or "weight"; of an argument or a parameter its path.
        shape, dtype: of the tensor; dtype without the leading "torch.".
        minimum, maximum: over the finite entries; None if there are none.
        nonfinite: how many entries are NaN or infinite.
        zeros: how many entries are exactly 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    minimum: float | None
    maximum: float | None
    nonfinite: int
    zeros: int

    @property
    def count(self) -> int:
        """Number of entries."""
        return int(torch.Size(self.shape).numel())

    def __str__(self) -> str:
        remarks = [f"{self.zeros} {'zero' if self.zeros == 1 else 'zeros'}"] if self.zeros else []
        remarks += [f"{self.nonfinite} non-finite"] if self.nonfinite else []
        span = (
            "without finite values"
            if self.minimum is None
            else f"in [{self.minimum:.4g}, {self.maximum:.4g}]"
        )
        tail = f" ({', '.join(remarks)})" if remarks else ""
        return f"{self.name} of shape {self.shape} {self.dtype} {span}{tail}"


@dataclass(frozen=True)
class Origin:
    """The operation that produced the first non-finite value of a training step.

    Args:
        direction: "forward" or "backward": an operation made it from finite operands; "input", "parameter": it
            was there before; "loss": the gradient that arrived at the output held it; "unknown": see `note`.
        module: dotted path of the innermost module whose forward pass ran the operation; "" is the model.
        operation: "aten::log", or for the backward pass the name of the node, "SqrtBackward0".
        operands: what the operation took; for the backward pass the gradient, then what the forward pass saved.
            Of an input or a parameter: every one that is not finite.
        path: modules from the model down to `module`, then the user's source line where it is known.
        passed_on: the first few modules that only passed it on, in order.
        produced: what came out.
        note: what else is to be said; for "unknown" the reason.
        outputs: for "loss", what the model had put out, of which the loss made it.
    """

    direction: str
    module: str
    operation: str
    operands: tuple[Operand, ...] = ()
    path: tuple[str, ...] = ()
    passed_on: tuple[str, ...] = ()
    produced: Operand | None = None
    note: str = ""
    outputs: tuple[Operand, ...] = ()

    @property
    def span(self) -> tuple[float, float]:
        """The least and the largest finite value of what it was made from; NaN where there is none.

        >>> Origin("forward", "", "aten::log", (operand("self", torch.tensor([0.0, 2.0])),)).span
        (0.0, 2.0)
        """
        known = self.outputs if self.direction == "loss" else self.operands
        lows = [one.minimum for one in known if one.minimum is not None]
        highs = [one.maximum for one in known if one.maximum is not None]
        return (min(lows), max(highs)) if lows and highs else (nan, nan)

    def __str__(self) -> str:
        parts = [self._sentence()]
        line = next((entry for entry in self.path if " in " in entry), "")
        parts += [f"at {line}"] if line else []
        parts += (
            ["passed on by " + ", ".join(f'"{name}"' for name in self.passed_on)] if self.passed_on else []
        )
        if self.outputs:
            parts += [f"made from {self.outputs[0]}"]
        parts += [self.note] if self.note and self.direction != "unknown" else []
        return f"{self.direction}: " + "; ".join(parts)

    def _sentence(self) -> str:
        if self.direction == "unknown":
            return self.note
        if self.direction not in _BY_OPERATION:
            what = {"input": "argument", "parameter": "parameter or buffer", "loss": "gradient"}[
                self.direction
            ]
            when = (
                "arrived non-finite from the loss" if self.direction == "loss" else "was already non-finite"
            )
            more = len(self.operands) - 1
            others = f" ({more} more likewise)" if more > 0 else ""
            return f"{what} {self.operands[0]} {when}{others}"
        where = f'in "{self.module}"' if self.module else "in the model's own forward"
        made = (
            f"{self.produced.nonfinite} of {self.produced.count} non-finite values"
            if self.produced
            else "non-finite values"
        )
        source = " and ".join(str(operand) for operand in self.operands[:_TOLD])
        more = len(self.operands) - _TOLD
        source += f" and {more} more" if more > 0 else ""
        return f"{self.operation} {where} produced {made}" + (f" from {source}" if source else "")


def kinds(tensor: Tensor) -> Kinds:
    """Which non-finite values there are; a tensor without values, or of whole numbers, is finite."""
    values = _values(tensor)
    if values is None or bool(torch.isfinite(values).all()):
        return _FINITE
    return Kinds(
        bool(torch.isnan(values).any()),
        bool((values == torch.inf).any()),
        bool((values == -torch.inf).any()),
    )


def operand(name: str, tensor: Tensor) -> Operand:
    """The numbers of one tensor.

    >>> print(operand("self", torch.tensor([0.0, 2.0, torch.nan])))
    self of shape (3,) float32 in [0, 2] (1 zero, 1 non-finite)
    """
    shape = () if tensor.is_nested else tuple(tensor.shape)
    dtype = str(tensor.dtype).removeprefix("torch.")
    values = _values(tensor)
    if values is None and tensor.layout == torch.strided and not tensor.is_meta and tensor.numel():
        values = tensor.detach().double()  # whole numbers and truth values
    if values is None:
        return Operand(name, shape, dtype, None, None, 0, 0)
    finite = values[torch.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (None, None)
    return Operand(name, shape, dtype, low, high, values.numel() - finite.numel(), int((values == 0).sum()))


def levels(module: str) -> tuple[str, ...]:
    """The modules from the model down to one of them.

    >>> levels("head.norm")
    ('', 'head', 'head.norm')
    """
    parts = module.split(".") if module else []
    return ("", *(".".join(parts[: count + 1]) for count in range(len(parts))))


def _values(tensor: Tensor) -> Tensor | None:
    """The floating values of a tensor as a plain real one, if it has any."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.is_meta:
        return None
    values = tensor.detach()
    if values.layout == torch.sparse_coo:
        values = values._values()
    elif values.is_nested:
        values = (
            values.values()
            if values.layout == torch.jagged
            else torch.cat([part.reshape(-1) for part in values.unbind()])
        )
    if values.layout != torch.strided or values.is_quantized:
        return None
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    if values.dtype.itemsize == 1:
        values = values.float()  # eight-bit floats compare with nothing
    return values if values.numel() else None
