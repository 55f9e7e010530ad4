"""What the sites of signals have seen since the step began: sums that merge over calls and micro-batches.

Every slot has a row of twelve figures in one array, so that a step begins with one fill and ends with one copy. The
native kernel writes there directly; what it cannot read (another device, a strided tensor, a complex one) goes through
plain torch operations into a tensor of the first ten beside it, and one transfer for each device brings those over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenflow.measure.kernels import DTYPES, native, reference
from evenflow.measure.sample import Sample
from evenflow.measure.slopes import Slopes
from evenflow.measure.transforms import refuse_unreadable

SUMS = 12
"""Forward: count, Σv, Σv², max |v|, zeros, non-finite, flat; backward: count, Σg², non-finite; silent units: the
shares that are dead and flat over the window."""
_FORWARD, SILENT = 7, 10
_LARGEST = 3  # the one of the sums that merges by the larger
# A window of marks as the native kernel has it: addresses of the sums and of both parts, units, whether it has ever
# been full, entries of one sample, samples seen.
_WINDOW, _FULL, _ENTRIES, _SEEN = 7, 4, 5, 6
_LIVE, _STEEP = 1, 2  # the bits of a unit's mark


@dataclass(eq=False, slots=True)
class Slot:
    """One site of a signal.

    Args:
        name: dotted path of the module; the function behind a colon where it is no module.
        kind: "activation", "output" or "attention".
        depth: order of execution.
        slopes: of an activation whose flat and dead entries are counted.
        channels_first: whether the units are the second dimension, as behind a convolution, and not the last.
    """

    name: str
    kind: str
    depth: int
    slopes: Slopes | None = None
    channels_first: bool = False
    units: int = 0
    row: int = -1
    tensor: Tensor | None = None
    """The ten sums on another device, or of tensors that the native kernel does not read."""
    marks: Tensor | None = None
    hook: Callable[[Tensor], None] | None = None
    """Reads the gradient that reaches the site."""
    merged_into: Slot | None = None
    """Another slot, of which this one is a part only: a module called so often that its calls are one site."""
    ear: Any = None
    """The native kernel's side of the slot."""
    shape: torch.Size | None = None
    dtype: torch.dtype | None = None
    layout: tuple[int, int, int] = (1, 1, 1)


class Bank:
    """The slots of a model and their sums.

    Args:
        window: samples that a unit has to be silent, or flat, for before it is called so.
        sample: chooses rows of each batch, where not all are read.
        flags: of the recorder; the last is set where something is not finite, as far as main memory shows.
    """

    def __init__(self, window: int, flags: NDArray[np.int64], sample: Sample | None = None) -> None:
        self.sample = sample
        self._flags = flags
        self.slots: list[Slot] = []
        self.window = window
        self.sums: NDArray[np.float64] = np.zeros((64, SUMS))
        # Marks of the window that fills and of the one before, all slots behind one another.
        self._current: NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
        self._previous: NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
        self._marked: list[Slot] = []
        self._starts: list[int] = []
        self._windows: NDArray[np.int64] = np.zeros((0, _WINDOW), dtype=np.int64)
        self._windows_at: int = self._windows.ctypes.data
        self._sums_at: int = self.sums.ctypes.data
        self._apart: list[Slot] = []  # those with a tensor of their own
        self.direct = native is not None and sample is None
        """Whether all of the step's sums stand in the one array, as the native kernel has left them."""

    def add(self, slot: Slot) -> Slot:
        """Give a slot its row."""
        if len(self.slots) == len(self.sums):
            self.sums = np.concatenate([self.sums, np.zeros_like(self.sums)])
            self._sums_at = self.sums.ctypes.data
        slot.row = len(self.slots)
        slot.ear = None if native is None else native.ear(self._flags.ctypes.data)
        self.sums[slot.row, SILENT:] = np.nan
        self.slots.append(slot)
        self._address()
        return slot

    def begin(self) -> None:
        """Start a step from nothing."""
        self.sums[:, :SILENT] = 0.0
        if self.sample is not None:
            self.sample.begin()
        for slot in self._apart:
            if slot.tensor is not None:
                slot.tensor.zero_()

    def forward(self, slot: Slot, values: Tensor, inputs: Tensor | None) -> None:
        """Take in what a site put out; `inputs` are its pre-activations where they still exist."""
        if self.sample is not None:
            values, inputs = self.sample.forward(slot, values, inputs)
        if values.shape != slot.shape or values.dtype is not slot.dtype:
            self._prepare(slot, values)
        if slot.slopes is not None and not slot.slopes.of_outputs and _are_gone(inputs, values):
            self._forget(slot)
        if native is None or not native.hear(slot.ear, inputs, values):
            self._plainly(slot, values, inputs)

    def backward(self, slot: Slot, gradient: Tensor) -> None:
        """Take in the gradient that reached a site."""
        if self.sample is not None:
            gradient = self.sample.backward(slot, gradient)
        if native is None or not native.hear_gradient(slot.ear, gradient):
            with torch.no_grad():
                reference.backward(gradient, self._tensor(slot, gradient)[_FORWARD:SILENT])

    def attend(self, slot: Slot, weights: Tensor, logits: Tensor | None) -> None:
        """Take in attention weights, whose last dimension are the keys, and the logits where they are known."""
        with torch.no_grad():
            out = self._tensor(slot, weights)
            entropy = torch.special.entr(weights.detach().to(torch.float64)).sum(-1)
            out[0] += entropy.numel()
            out[1] += entropy.sum()
            if logits is not None:
                torch.maximum(out[_LARGEST], logits.detach().max().to(torch.float64), out=out[_LARGEST])
                out[5] += 1

    def move(self, to: int, loss: float, given: float, scale: float) -> int:
        """Count the silent units, put what a step begins with and the sums at an address; the next starts from nothing.

        Only if `direct`; the address behind them is returned.
        """
        native.move_sums(to, loss, given, scale, *self.place)  # pyright: ignore[reportOptionalMemberAccess]
        return to + (3 + len(self.slots) * SUMS) * 8

    @property
    def place(self) -> tuple[int, int, int, int, int, int, int]:
        """Where the sums are and what is to be worked out of them, as the native kernel asks for it."""
        marked = len(self._marked)
        return self._sums_at, len(self.slots), SUMS, self._windows_at, marked, self.window, SILENT

    def gather(self) -> NDArray[np.float64]:
        """The sums of the step, of shape (slots, 12); one transfer for each device that is not this one."""
        sums = self.sums[: len(self.slots)]
        apart: dict[torch.device, list[Slot]] = {}
        for slot in self._apart:
            assert slot.tensor is not None
            apart.setdefault(slot.tensor.device, []).append(slot)
            if slot.marks is not None and slot in self._marked:
                start = self._starts[self._marked.index(slot)]
                self._current[start : start + slot.units] |= slot.marks.cpu().numpy()
                slot.marks.zero_()
        for slots in apart.values():
            found = torch.stack([slot.tensor for slot in slots if slot.tensor is not None]).cpu().numpy()
            rows = [slot.row for slot in slots]
            largest = np.maximum(sums[rows, _LARGEST], found[:, _LARGEST])
            sums[rows, :SILENT] += found
            sums[rows, _LARGEST] = largest
        for slot in self.slots:
            if slot.merged_into is not None and sums[slot.row, 0]:
                part, whole = sums[slot.row, :SILENT], sums[slot.merged_into.row, :SILENT]
                largest = np.maximum(whole[_LARGEST], part[_LARGEST])
                whole += part
                whole[_LARGEST], part[:] = largest, 0.0
        return sums

    @property
    def marks(self) -> NDArray[np.uint8]:
        """The marks of the windows that fill, of all units; after `gather`, before `silence`."""
        return self._current

    def places(self, slots: Sequence[Slot]) -> NDArray[np.intp]:
        """Where the marks of these slots' units lie, one slot behind the other."""
        starts = [self._starts[self._marked.index(slot)] for slot in slots]
        return np.concatenate(
            [np.arange(at, at + slot.units) for at, slot in zip(starts, slots, strict=True)]
        )

    def silence(self) -> None:
        """Count the units that are silent, over the window that has ended last and the one that fills."""
        if native is not None:
            native.silent(self._windows_at, len(self._marked), self.window, SILENT)
            return
        for window, start, slot in zip(self._windows, self._starts, self._marked, strict=True):
            part = slice(start, start + slot.units)
            numbers = window.view(np.float64)
            numbers[_SEEN] += self.sums[slot.row, 0] / numbers[_ENTRIES]
            if numbers[_SEEN] >= self.window:
                self._previous[part], self._current[part] = self._current[part], 0
                numbers[_SEEN], window[_FULL] = 0.0, 1
            both = self._previous[part] | self._current[part]
            shares = [1 - np.count_nonzero(both & bit) / slot.units for bit in (_LIVE, _STEEP)]
            self.sums[slot.row, SILENT:] = shares if window[_FULL] else np.nan

    def _prepare(self, slot: Slot, values: Tensor) -> None:
        """Get ready for tensors of another shape or dtype than the last."""
        refuse_unreadable(values)
        shape = values.shape
        slot.shape, slot.dtype = shape, values.dtype
        total = values.numel()
        if len(shape) < 2:
            slot.layout = (total, 1, 1)
        elif slot.channels_first and len(shape) > 2:
            slot.layout = (shape[0], shape[1], total // max(shape[0] * shape[1], 1))
        else:
            slot.layout = (total // max(shape[-1], 1), shape[-1], 1)
        _, units, inner = slot.layout
        if not slot.units:
            slot.units = units
            if slot.slopes is not None:
                self._mark(slot)
        elif units != slot.units and slot.slopes is not None:
            self._forget(slot)  # units that change from call to call have no window
        if slot.slopes is not None:
            self._windows.view(np.float64)[self._marked.index(slot), _ENTRIES] = max(units * inner, 1)
        self._tune(slot)

    def _tune(self, slot: Slot) -> None:
        """Tell the native kernel where the numbers of a slot lie."""
        if native is None or slot.dtype is None or slot.shape is None:
            return
        slopes = slot.slopes
        edges = _NOTHING
        marks = 0
        if slopes is not None:
            edges = np.array(
                [number for part in (slopes.flat, slopes.dead) for number in (len(part), *sum(part, ()))]
            )
            marks = self._current.ctypes.data + self._starts[self._marked.index(slot)]
        native.tune(
            slot.ear,
            slot.shape,
            *slot.layout,
            DTYPES.get(slot.dtype, -1),
            slopes is not None and not slopes.of_outputs,
            edges.ctypes.data,
            self.sums.ctypes.data + slot.row * SUMS * 8,
            marks,
        )

    def change(self, slot: Slot, slopes: Slopes) -> None:
        """Count by other intervals from now on, as those of an activation that learns its slopes."""
        if slot.slopes is not None:
            slot.slopes = slopes
            self._tune(slot)

    def _forget(self, slot: Slot) -> None:
        """Measure flat and dead entries of this site no more: they cannot be known."""
        slot.slopes = None
        if slot in self._marked:
            place = self._marked.index(slot)
            del self._marked[place], self._starts[place]
            self._windows = np.delete(self._windows, place, axis=0)
            self._windows_at = self._windows.ctypes.data
        self.sums[slot.row, SILENT:] = np.nan
        self._tune(slot)

    def _mark(self, slot: Slot) -> None:
        self._marked.append(slot)
        self._starts.append(len(self._current))
        more = np.zeros(slot.units, dtype=np.uint8)
        self._current = np.concatenate([self._current, more])
        self._previous = np.concatenate([self._previous, more])
        self._windows = np.append(self._windows, np.zeros((1, _WINDOW), dtype=np.int64), axis=0)
        self._address()

    def _address(self) -> None:
        """Where each slot's numbers lie; new whenever an array has grown."""
        for window, start, slot in zip(self._windows, self._starts, self._marked, strict=True):
            window[:4] = (
                self.sums.ctypes.data + slot.row * SUMS * 8,
                self._current.ctypes.data + start,
                self._previous.ctypes.data + start,
                slot.units,
            )
        self._windows_at = self._windows.ctypes.data
        for slot in self.slots:
            self._tune(slot)

    def _tensor(self, slot: Slot, like: Tensor) -> Tensor:
        if slot.tensor is None or slot.tensor.device != like.device:
            if slot not in self._apart:
                self._apart.append(slot)
                self.direct = False
            slot.tensor = torch.zeros(SILENT, dtype=torch.float64, device=like.device)
        return slot.tensor

    def _plainly(self, slot: Slot, values: Tensor, inputs: Tensor | None) -> None:
        slopes = slot.slopes
        with torch.no_grad():
            out = self._tensor(slot, values)[:_FORWARD]
            marks = tested = None
            if slopes is not None:
                if slot.marks is None or slot.marks.device != values.device:
                    slot.marks = torch.zeros(slot.units, dtype=torch.uint8, device=values.device)
                marks = slot.marks
                tested = None if slopes.of_outputs else inputs
            if values.ndim < 2:  # one unit
                values, tested = values.reshape(-1, 1), None if tested is None else tested.reshape(-1, 1)
            dimension = 1 if slot.channels_first and values.ndim > 2 else -1
            edges = ((), ()) if slopes is None else (slopes.flat, slopes.dead)
            reference.forward(values.detach(), tested, dimension, edges, out, marks)


def _are_gone(inputs: Tensor | None, outputs: Tensor) -> bool:
    """Whether the pre-activations are gone: the activation works in place, or they have another shape."""
    return inputs is None or inputs.shape != outputs.shape or inputs.data_ptr() == outputs.data_ptr()


_NOTHING = np.zeros(2)  # no flat and no dead intervals
