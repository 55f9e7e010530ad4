"""Norms of the parameters, their gradients and their updates: one call for all of them in each phase.

What lies in main memory as one block is read by the native kernel, which finds the addresses by itself; the rest
(other devices, sparse, complex or strided tensors) by torch, in float64, with one transfer for each device. Of a
sharded parameter only the local part is read: the squares of the parts add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from evenflow.measure.kernels import DTYPES, native
from evenflow.measure.room import Room
from evenflow.measure.team import is_sharded
from evenflow.record.schema import Site

PHASES = ("accumulated", "unscaled", "clipped", "micro")
COLUMNS = ("weight", *PHASES, "nonfinite", "update")
"""Squares of the weights, of the gradient in each phase, its non-finite entries, squares of the update."""

# A record of the native kernel: three numbers, three addresses, the columns, and one figure for the next step.
_COLUMN = {name: place for place, name in enumerate(COLUMNS)}
_FIELDS = 14
_FIGURES = slice(6, 6 + len(COLUMNS))
_WEIGHT, _ACCUMULATED, _NONFINITE, _UPDATE = 0, 1, 5, 6


@dataclass(frozen=True, eq=False)
class Entry:
    """A parameter, its site, and whether the optimiser at hand steps it."""

    site: Site
    parameter: nn.Parameter
    optimised: bool


class Parameters:
    """The parameters that one optimiser steps, or those that none does.

    Args:
        flags: of the recorder; the last is set where a gradient holds something that is not finite.
        updates: whether to keep a copy of the weights through a step, to measure what the optimiser adds.

    What is written to the weights in place between two steps counts their version up, and they are read anew; what
    goes through `.data` does not, and is looked for in samples.

    Attributes:
        figures: one row for each parameter, `COLUMNS` across; NaN where nothing was read.
        has_read: whether the gradients have been read in this step.
    """

    def __init__(self, entries: Sequence[Entry], flags: NDArray[np.int64], *, updates: bool = True) -> None:
        self.entries = list(entries)
        self._updates = updates
        self._every = [entry.parameter for entry in self.entries]
        self.sharded = any(map(is_sharded, self._every))
        self._records: NDArray[np.int64] = np.zeros((len(self.entries), _FIELDS), dtype=np.int64)
        self._at: int = self._records.ctypes.data
        self._bytes = len(self.entries) * len(COLUMNS) * 8
        self.figures: NDArray[np.float64] = self._records.view(np.float64)[:, _FIGURES]
        self._snapshots: list[Tensor | None] = [None] * len(self.entries)
        self._room = Room(sum(one.numel() * one.element_size() for one in self._every) if updates else 0)
        # What the kernel reads, None at the place of what it does not, and the places of these others.
        self._plain: list[nn.Parameter | None] = [None] * len(self.entries)
        self._others: list[int] = list(range(len(self.entries)))
        self._versions: NDArray[np.int64] = np.zeros(len(self.entries), dtype=np.int64)
        self._versions_at: int = self._versions.ctypes.data
        self._sights: NDArray[np.int64] = np.zeros((len(self.entries), 4), dtype=np.int64)
        self._sights_at: int = self._sights.ctypes.data
        self._flags_at: int = flags.ctypes.data
        self._flags = flags
        self._seen: list[tuple[Tensor | None, int]] = []  # gradients of the others, as they were when read
        self.has_read = self._is_current = self._is_before = self._looked = self._rolled = False
        self._turn = 0
        self._brought: dict[int, list[Tensor]] = {}  # squares of the gradient that each backward pass brought
        self.begin()

    def begin(self) -> None:
        """Start a step from nothing."""
        self.has_read = self._is_current = self._is_before = False
        if native is None:
            self.figures.fill(np.nan)
        else:
            native.reset(self._at, len(self.entries))

    def move(self, to: int) -> int:
        """Put the figures at an address and start the next step from nothing; the address behind them."""
        self.has_read = self._is_current = self._is_before = False
        native.move_records(to, self._at, len(self.entries))  # pyright: ignore[reportOptionalMemberAccess]
        return to + self._bytes

    @property
    def is_even(self) -> bool:
        """Whether the step can end by `turn`."""
        return self._is_before and self._updates and not self._others

    def turn(self, to: int, rest: tuple[float, float, float], sums: tuple[int, ...]) -> None:
        """What the optimiser made of the weights; then the sums of a bank and the figures are put at an address."""
        self.has_read = self._is_current = self._is_before = False
        self._rolled = native.turn(self._plain, self._at, self._versions_at, to, *rest, *sums)  # pyright: ignore
        self._turn += 1
        if not self._rolled:
            self._look()

    def take_over(self, others: Sequence[Parameters]) -> None:
        """Go on from what groups that held these parameters before have read in this step."""
        unchanged: set[int] = set()
        found = {}
        brought: dict[int, list[Tensor]] = {}
        for other in others:
            if not other.changed:
                unchanged.update(map(id, other._every))
            found.update(zip(map(id, other._every), other.figures, strict=True))
            brought.update((id(other._every[row]), squares) for row, squares in other._brought.items())
        for row, parameter in enumerate(self._every):
            if id(parameter) in found:
                self.figures[row] = found[id(parameter)]
            if id(parameter) in brought:
                self._brought[row] = brought[id(parameter)]
        self.has_read = not np.isnan(self.figures[:, _ACCUMULATED]).all()
        if unchanged.issuperset(map(id, self._every)):
            self._look()
            self._find(_NO_PHASE)
            self._is_current = True

    @property
    def changed(self) -> bool:
        """Whether any gradient was written to, or replaced, since it was last read; sharded ones may have been."""
        if self.sharded:  # torch._foreach_mul_, which clips, counts no version up on a DTensor
            return True
        if not self._is_current or (
            native is not None and native.touched(self._plain, self._at, self._sights_at)
        ):
            return True
        return any(
            self._every[row].grad is not gradient or _version(gradient) != version
            for row, (gradient, version) in zip(self._others, self._seen, strict=True)
        )

    def read_gradients(self, phase: str) -> None:
        """The norm of every gradient as it is now."""
        if not self._looked:
            self._look()
        column = _COLUMN[phase]
        odd = self._find(column - _ACCUMULATED)
        if odd:
            found = [(row, gradient) for row in odd if (gradient := self._every[row].grad) is not None]
            self._read_plainly(found, (column, _NONFINITE))
            if np.nansum(self.figures[odd, _NONFINITE]) > 0:
                self._flags[-1] = 1
        self.has_read = self._is_current = True

    def hear_micro_batches(self, on: Callable[[], bool]) -> list[RemovableHandle]:
        """Read the gradient that each backward pass brings by itself; the handles take that away again.

        Figures in the phase "micro" are root mean squares over the backward passes of a step.
        """

        def hook(row: int) -> Callable[[Tensor], None]:
            def read(gradient: Tensor) -> None:
                if on():
                    self._brought.setdefault(row, []).append(_square(gradient))

            return read

        return [
            parameter.register_hook(hook(row))
            for row, parameter in enumerate(self._every)
            if parameter.requires_grad
        ]

    def finish(self) -> None:
        """The step is over: work out what was gathered backward pass by backward pass."""
        for row, squares in self._brought.items():
            self.figures[row, _COLUMN["micro"]] = torch.stack(squares).mean().item()
        self._brought.clear()

    def _find(self, phase: int) -> list[int]:
        """See where the gradients are, and let the kernel read them in a phase; what it does not read is returned."""
        if self._others:
            self._seen = [(self._every[row].grad, _version(self._every[row].grad)) for row in self._others]
        if native is None:
            return self._others
        strided = native.gradients(self._plain, self._at, self._sights_at, phase, self._flags_at)
        return [*self._others, *strided] if strided else self._others

    def ready(self) -> bool:
        """The weights as the optimiser finds them, where the gradients are what they were when last read.

        False, and nothing is read, where they are others or where not all is as before.
        """
        if native is None or not self._rolled or not self._is_current or self.sharded or self._others:
            return False
        if not native.ready(self._plain, self._at, self._sights_at, self._versions_at, self._turn):
            return False
        self._is_before, self._rolled = True, False
        return True

    def before(self) -> None:
        """The weights as the optimiser finds them."""
        self._is_before = True
        self._seen = []
        if native is not None:
            turn = self._turn if self._rolled else -1
            if not self._looked or not native.before(self._plain, self._at, self._versions_at, turn):
                self._look()
                native.before(self._plain, self._at, self._versions_at, -1)
            self._rolled = False
        if self._others:
            weights = [(row, _local(self._every[row].detach())) for row in self._others]
            self._read_plainly(weights, (_WEIGHT,))
            for row, weight in weights:
                if self._is_kept(row):
                    self._snapshots[row] = weight.clone()

    def after(self) -> None:
        """What the optimiser made of the weights, where they were read before."""
        if not self._updates or not self._is_before:
            return
        if native is not None:
            # Where an optimiser puts other tensors in, this update is not known.
            self._rolled = native.after(self._plain, self._at, self._versions_at)
            self._turn += 1
            if not self._rolled:
                self._look()
        if not self._others:
            return
        differences = []
        for row in self._others:
            snapshot = self._snapshots[row]
            if snapshot is not None:
                weights = _local(self._every[row].detach())
                differences.append((row, weights.to(_wide(weights)) - snapshot))
        self._read_plainly(differences, (_UPDATE,))

    def _is_kept(self, row: int) -> bool:
        return self._updates and self.entries[row].optimised

    def _look(self) -> None:
        """Find out which parameters the kernel can read, and where they lie."""
        self._looked, self._rolled = True, False
        self._versions.fill(-1)
        self._others = []
        for row, parameter in enumerate(self._every):
            record = self._records[row]
            record[:6] = 0
            if not _is_plain(parameter):
                self._plain[row] = None
                self._others.append(row)
                continue
            self._plain[row] = parameter
            code, snapshot = DTYPES[parameter.dtype], 0
            if self._is_kept(row):
                kept = self._snapshots[row]
                if kept is None or kept.shape != parameter.shape or kept.dtype is not parameter.dtype:
                    kept = self._snapshots[row] = self._room.like(parameter)
                snapshot = kept.data_ptr()
            record[:6] = code, code, parameter.numel(), parameter.data_ptr(), 0, snapshot

    def _read_plainly(self, tensors: Sequence[tuple[int, Tensor]], columns: tuple[int, ...]) -> None:
        """Squares, and with two columns non-finite entries, of tensors that the kernel does not read."""
        apart: dict[torch.device, list[int]] = {}
        numbers: dict[torch.device, list[Tensor]] = {}
        for row, tensor in tensors:
            values = _values(tensor)
            figures = [_square(values), (~values.isfinite()).sum(dtype=torch.float64)][: len(columns)]
            apart.setdefault(values.device, []).append(row)
            numbers.setdefault(values.device, []).append(torch.stack(figures))
        for device, rows in apart.items():
            self.figures[np.ix_(rows, columns)] = torch.stack(numbers[device]).cpu().numpy()


_PLAIN = (Tensor, nn.Parameter)
_NO_PHASE = -1


def clipped(figures: NDArray[np.float64]) -> bool:
    """Whether the gradients that the optimiser used are others than those before.

    >>> figures = np.full((1, len(COLUMNS)), np.nan)
    >>> figures[0, [1, 3]] = 4.0, 4.0
    >>> clipped(figures)
    False
    """
    accumulated, unscaled, used = figures[:, 1], figures[:, 2], figures[:, 3]
    before = np.where(np.isnan(unscaled), accumulated, unscaled)
    return bool((before != used)[~np.isnan(used)].any())


def _version(gradient: Tensor | None) -> int:
    """How often a gradient has been written to."""
    return -1 if gradient is None else _local(gradient)._version


def _is_plain(parameter: Tensor) -> bool:
    """Whether the native kernel can read a parameter and its gradient."""
    return (
        native is not None
        and type(parameter) in _PLAIN
        and parameter.is_cpu
        and parameter.layout is torch.strided
        and parameter.dtype in DTYPES
        and getattr(parameter, "grad_dtype", parameter.dtype) in (None, parameter.dtype)
        and parameter.is_contiguous()
    )


def _local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that is here."""
    return tensor if type(tensor) in _PLAIN else getattr(tensor, "_local_tensor", tensor)


def _values(tensor: Tensor) -> Tensor:
    """The numbers of a tensor that are here."""
    part = _local(tensor.detach())
    return part.coalesce().values() if part.is_sparse else part


def _square(tensor: Tensor) -> Tensor:
    """Σ|v|² of what is here, in float64."""
    values = _values(tensor)
    return torch.linalg.vector_norm(values, dtype=_wide(values)).square()


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.complex128 if tensor.is_complex() else torch.float64
