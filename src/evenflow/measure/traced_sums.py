"""The sums of the sites in one compiled graph, and the plain torch operations that a graph adds to them.

A compiler turns these operations into a pass or two over the values that it has at hand anyway. Sums are float64, as
everywhere: the square of a float32 1e-23 is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx.node import has_side_effect

from evenflow.measure.bank import SILENT, Bank, Slot
from evenflow.measure.kernels.reference import LIVE, OPEN, Intervals

_LARGEST = 3  # the one of the sums that merges by the larger
_FORWARD = 8  # the seven of the bank, and samples
Found = tuple[Tensor, Tensor | None]


@dataclass(eq=False)
class Ledger:
    """What one compiled graph has seen on one device since the step began.

    Args:
        slots: one for each row; no slot twice.
        device: where the graph computes.
        marked: units whose marks are kept, by row; 0 where none are.
    """

    slots: Sequence[Slot]
    device: torch.device
    marked: Sequence[int]

    def __post_init__(self) -> None:
        rows = len(self.slots)
        self.forward = torch.zeros(rows, _FORWARD, dtype=torch.float64, device=self.device)
        # A tensor for each row: a compiler writes all of one anew for each row of it that changes.
        self.backward = [
            torch.zeros(SILENT - 7, dtype=torch.float64, device=self.device) for _ in range(rows)
        ]
        self._places: NDArray[np.intp] | None = None
        self.marks = torch.zeros(sum(self.marked), dtype=torch.uint8, device=self.device)

    def begin(self) -> None:
        """Start a step from nothing; marks are of a window, and go when they are merged."""
        self.forward.zero_()
        torch._foreach_zero_(self.backward)  # pyright: ignore[reportPrivateImportUsage]

    def merge(self, bank: Bank) -> None:
        """Add to the bank's sums what this graph has seen."""
        forward, backward = self.forward.cpu().numpy(), torch.stack(self.backward).cpu().numpy()
        rows = [slot.row for slot in self.slots]
        largest = np.maximum(bank.sums[rows, _LARGEST], forward[:, _LARGEST])
        bank.sums[rows, :SILENT] += np.concatenate([forward[:, :7], backward], axis=1)
        bank.sums[rows, _LARGEST] = largest
        if len(self.marks):
            counted = [slot for slot, units in zip(self.slots, self.marked, strict=True) if units]
            if self._places is None:
                self._places = bank.places(counted)
            bank.marks[self._places] |= self.marks.cpu().numpy()
            self.marks.zero_()


def figures(
    values: Tensor,
    tested: Tensor | None,
    edges: tuple[Intervals, Intervals] | None,
    units_dim: int,
    marked: bool,
) -> Found:
    """n, Σv, Σv², max |v|, zeros, non-finite, flat and samples of one call, and what its units do.

    Args:
        values: what the site put out.
        tested: the argument of the activation where its intervals are of that; None tests the values.
        edges: the flat and the dead intervals; None where they are not known.
        units_dim: dimension of the units.
        marked: whether the units' marks are wanted.
    """
    with torch.no_grad():
        values = values.detach()
        real = _comparable(values)
        wide = real.to(torch.float64)
        squares = (wide * wide).sum()
        if values.is_complex():
            imaginary = values.imag.to(torch.float64)
            squares = squares + (imaginary * imaginary).sum()
        entries = real if tested is None else _comparable(tested.detach())
        nothing = torch.zeros((), dtype=torch.float64, device=values.device)
        if units_dim == 1 and values.ndim > 2:
            samples = values.shape[0]
        else:
            samples = values.numel() // values.shape[units_dim] if values.ndim > 1 else values.numel()
        found = torch.stack(
            [
                torch.full_like(nothing, values.numel()),
                wide.sum(),
                squares,
                values.abs().amax().to(torch.float64),
                _count(values == 0),
                _count(~values.isfinite()),
                nothing if edges is None else _count(_inside(entries, edges[0])),
                torch.full_like(nothing, samples),
            ]
        )
        if not marked or edges is None:
            return found, None
        steep = _any_outside(entries, edges[0], units_dim)
        live = steep if edges[1] == edges[0] else _any_outside(entries, edges[1], units_dim)
        return found, live * LIVE | steep * OPEN


def attention(weights: Tensor, logits: Tensor | None) -> Found:
    """Rows, Σ entropy and the largest logit of attention weights, in the places where a bank keeps them."""
    with torch.no_grad():
        entropy = torch.special.entr(weights.detach().to(torch.float64)).sum(-1)
        nothing = torch.zeros((), dtype=torch.float64, device=weights.device)
        known = logits is not None
        largest = logits.detach().max().to(torch.float64) if logits is not None else nothing
        count = torch.full_like(nothing, entropy.numel())
        told = torch.full_like(nothing, float(known))
        return torch.stack([count, entropy.sum(), nothing, largest, nothing, told, nothing, nothing]), None


@has_side_effect
def keep(forward: Tensor, marks: Tensor, found: Sequence[Sequence[Found]]) -> None:
    """Add the findings of every call, row by row, to the sums of the step."""
    with torch.no_grad():
        new = torch.stack([_together([figure for figure, _ in calls]) for calls in found])
        larger = torch.arange(_FORWARD, device=forward.device) == _LARGEST
        forward.copy_(torch.where(larger, torch.maximum(forward, new), forward + new))
        seen = [_either([mark for _, mark in calls if mark is not None]) for calls in found]
        if any(mark is not None for mark in seen):
            marks.bitwise_or_(torch.cat([mark for mark in seen if mark is not None]))


@has_side_effect
def listen(tensor: Tensor, row: Tensor) -> None:
    """Add n, Σ|g|² and the non-finite entries of a tensor's gradient to a row of sums, when it comes."""
    if not tensor.requires_grad:
        return

    def hook(gradient: Tensor) -> None:
        with torch.no_grad():
            parts = torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient
            wide = parts.to(torch.float64)
            squares = (wide * wide).sum()
            count = torch.full_like(squares, gradient.numel())
            row.add_(torch.stack([count, squares, _count(~gradient.isfinite())]))

    tensor.register_hook(hook)


def _together(calls: Sequence[Tensor]) -> Tensor:
    total = calls[0]
    for more in calls[1:]:
        larger = torch.arange(_FORWARD, device=total.device) == _LARGEST
        total = torch.where(larger, torch.maximum(total, more), total + more)
    return total


def _either(calls: Sequence[Tensor]) -> Tensor | None:
    total: Any = None
    for more in calls:
        total = more if total is None else total | more
    return total


def _comparable(values: Tensor) -> Tensor:
    """Real numbers that are compared without loss; float32 where that holds them, which compilers vectorise best."""
    real = values.real if values.is_complex() else values
    return real if real.dtype is torch.float64 else real.to(torch.float32)


def _count(entries: Tensor) -> Tensor:
    """How many are true; sums of float32 are exact for as many as it counts, and twice as fast as those of integers."""
    exact = isinstance(entries.numel(), int) and entries.numel() <= 2**24
    return entries.to(torch.float32 if exact else torch.float64).sum().to(torch.float64)


def _inside(entries: Tensor, intervals: Intervals) -> Tensor:
    """Which entries lie in one of the closed intervals; a NaN lies in none."""
    found: Tensor | None = None
    for low, high in intervals:
        above = entries >= _edge(entries, low, up=True)
        below = entries <= _edge(entries, high, up=False)
        within = below if math.isinf(low) else above if math.isinf(high) else above & below
        found = within if found is None else found | within
    return torch.zeros_like(entries, dtype=torch.bool) if found is None else found


def _edge(entries: Tensor, edge: float, *, up: bool) -> float:
    """The number of the entries' precision that divides them as the edge does."""
    if entries.dtype is torch.float64 or math.isinf(edge):
        return edge
    near = np.float32(edge)
    if (float(near) < edge) if up else (float(near) > edge):
        near = np.nextafter(near, np.float32(math.inf if up else -math.inf))
    return float(near)


def _any_outside(entries: Tensor, intervals: Intervals, units_dim: int) -> Tensor:
    """1 for every unit with an entry in none of the intervals, of shape (units,)."""
    across = [one for one in range(entries.ndim) if one != units_dim]
    if len(intervals) == 1 and math.isinf(intervals[0][0]):
        # The largest entry tells; it is NaN where one is NaN, which lies in no interval.
        found = ~(entries.amax(across) <= _edge(entries, intervals[0][1], up=False))
    else:
        found = (~_inside(entries, intervals)).to(torch.float32).amax(across) > 0
    return found.reshape(-1).to(torch.uint8)
