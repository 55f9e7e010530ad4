"""Where non-finite values come from: a ledger of sources that travel with the memory of the tensors.

A *source* is an argument or buffer that held something non-finite before the pass, or the first operation that
made it from finite operands. NaN and infinities are kept apart, because the -inf of a mask that softmax takes
away must not answer for a NaN beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from evenflow.measure.nonfinite_operations import Reading, changes_signs, is_infinite_fill, takes_masks
from evenflow.measure.nonfinite_origin import Kinds, Operand, kinds, operand
from evenflow.measure.nonfinite_state import storage_key

Sources = frozenset[int]
_NONE: Sources = frozenset()


@dataclass(frozen=True)
class Source:
    """Something that non-finite values come from.

    `stack` holds the modules that were running, from the model down. `masks`: infinities that look meant, as in
    an attention mask, so that they are to blame only if nothing else is: an argument or buffer with -inf and
    nothing worse, or a constant that was written.
    """

    direction: str
    operation: str
    stack: tuple[str, ...]
    line: str
    operands: tuple[Operand, ...]
    produced: Operand
    nan: bool
    masks: bool = False
    note: str = ""

    @property
    def constant(self) -> bool:
        """Whether the model itself wrote an infinity on purpose."""
        return self.masks and self.direction == "forward"


class Held(NamedTuple):
    """The sources of what a tensor or the result of a module holds."""

    nan: Sources
    infinite: Sources
    positive: bool  # +inf is among the infinities

    @property
    def every(self) -> Sources:
        return self.nan | self.infinite


class Call(NamedTuple):
    """One operation that gave something non-finite."""

    operation: Any
    args: tuple
    kwargs: Any
    line: str
    read: list[Reading]
    before: list[Kinds]
    described: tuple[Operand, ...] | None  # before it ran, if it wrote over something
    made: list[Tensor]
    after: list[Kinds]

    def source(self, stack: tuple[str, ...], *, made_outside: bool, masks: bool) -> Source:
        worst = max(range(len(self.made)), key=lambda i: (self.after[i].nan, self.after[i].infinite))
        return Source(
            "forward",
            self.operation._schema.name,
            stack,
            self.line,
            self.described or described(self.read),
            operand("result", self.made[worst]),
            nan=any(found.nan for found in self.after),
            masks=masks,
            note="its operand was made outside of the model's operations" if made_outside else "",
        )


class Ledger:
    """Every source so far, in order, and which memory holds values of which source."""

    def __init__(self) -> None:
        self.known: list[Source] = []
        self._taint: dict[int, tuple[Sources, Sources, Any]] = {}

    def seed(self, direction: str, name: str, tensor: Tensor, module: str = "") -> None:
        """Say that a tensor is not finite before anything has run."""
        found, described = kinds(tensor), operand(name, tensor)
        only_masks = not (found.nan or found.positive)
        source = Source(
            direction, "", (module,), "", (described,), described, nan=found.nan, masks=only_masks
        )
        number = self._add(source)
        self._mark(tensor, found, number, number)

    def held(self, tensors: Iterable[Tensor]) -> Held:
        """The sources of the non-finite values in some tensors."""
        nan, infinite, positive = _NONE, _NONE, False
        for tensor in tensors:
            found = kinds(tensor)
            of_nan, of_infinite = self._sources(tensor) if found.nan or found.infinite else (_NONE, _NONE)
            nan |= of_nan if found.nan else _NONE
            infinite |= of_infinite if found.infinite else _NONE
            positive |= found.positive
        return Held(nan, infinite, positive)

    def judge(self, call: Call, stack: tuple[str, ...]) -> None:
        """Give what an operation made to the sources of what it took, or to the operation itself."""
        had = Kinds(*(any(found[i] for found in call.before) for i in range(3)))
        nan_from, infinite_from = _NONE, _NONE
        for reading, found in zip(call.read, call.before, strict=True):
            of_nan, of_infinite = self._sources(reading.tensor) if any(found) else (_NONE, _NONE)
            nan_from |= of_nan if found.nan else _NONE
            infinite_from |= of_infinite if found.infinite else _NONE
        infinite_from = self.without_masks(infinite_from)
        only_masks = all(self.known[number].masks for number in infinite_from)
        only_constants = all(self.known[number].constant for number in infinite_from)
        expected = takes_masks(call.operation) and only_masks and not had.positive
        itself: dict[bool, Sources] = {}

        def own(*, masks: bool = False) -> Sources:
            if masks not in itself:
                outside = had.nan or (masks and had.infinite)
                itself[masks] = self._add(call.source(stack, made_outside=outside, masks=masks))
            return itself[masks]

        for tensor, found in zip(call.made, call.after, strict=True):
            nan, infinite = _NONE, _NONE
            if found.nan:
                elsewhere = nan_from if had.nan else _NONE if only_constants or expected else infinite_from
                nan = elsewhere or own()
            if found.infinite:
                new_sign = (found.positive and not had.positive) or (found.negative and not had.negative)
                if had.infinite:
                    itself_made = new_sign and only_masks and not changes_signs(call.operation)
                    infinite = own() if itself_made else infinite_from or own(masks=True)
                elif had.nan:
                    infinite = nan_from
                else:
                    infinite = own(masks=is_infinite_fill(call.operation, call.args, call.kwargs))
            self._mark(tensor, found, nan, infinite)

    def without_masks(self, sources: Sources) -> Sources:
        """Only those that are to blame, if there are such."""
        return frozenset(number for number in sources if not self.known[number].masks) or sources

    def _mark(self, tensor: Tensor, found: Kinds, nan: Sources, infinite: Sources) -> None:
        key, storage, whole = _memory(tensor)
        nan, infinite = nan if found.nan else _NONE, infinite if found.infinite else _NONE
        if not whole:  # beside this view there may be other values
            old_nan, old_infinite, _ = self._taint.get(key, (_NONE, _NONE, None))
            nan, infinite = nan | old_nan, infinite | old_infinite
        # The storage is kept, so that its address is not given to another tensor.
        self._taint[key] = (nan, infinite, storage)

    def _sources(self, tensor: Tensor) -> tuple[Sources, Sources]:
        nan, infinite, _ = self._taint.get(_memory(tensor)[0], (_NONE, _NONE, None))
        return nan, infinite

    def _add(self, source: Source) -> Sources:
        self.known.append(source)
        return frozenset({len(self.known) - 1})


def described(read: list[Reading]) -> tuple[Operand, ...]:
    """The numbers of what an operation is about to read."""
    return tuple(operand(reading.name, reading.tensor) for reading in read)


def _memory(tensor: Tensor) -> tuple[int, Any, bool]:
    """Name and keeper of the memory behind a tensor, and whether the tensor is all of it."""
    if tensor.layout == torch.sparse_coo:
        tensor = tensor._values()
    if tensor.layout != torch.strided:
        return id(tensor), tensor, True
    storage = tensor.untyped_storage()
    return storage_key(tensor), storage, tensor.numel() * tensor.element_size() == storage.nbytes()
