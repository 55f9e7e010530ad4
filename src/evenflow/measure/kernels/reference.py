"""The same figures by plain PyTorch operations: every device, layout and dtype, and `torch.compile`.

Nothing here waits for the device and nothing branches on a value. Sums and squares are float64, as in the
compiled kernels: the square of a float32 1e-23 is there.
"""

from __future__ import annotations

import torch
from torch import Tensor

Intervals = tuple[tuple[float, float], ...]
LIVE, OPEN = 1, 2  # bits of a unit's mark


def forward(
    values: Tensor,
    tested: Tensor | None,
    units_dim: int,
    edges: tuple[Intervals, Intervals],
    out: Tensor,
    marks: Tensor | None,
) -> None:
    """Merge the figures of one activation's values into `out`, and what its units do into `marks`.

    `out` holds n, Σv, Σv², max|v|, #{v = 0}, #{v not finite} and #{t in a flat interval}; a complex v counts by
    its real part in the sum, by |v| in the maximum and by |v|² in the squares. max|v| is NaN once a NaN was seen.

    Args:
        values: of any shape and dtype.
        tested: the argument t of the activation, of the same shape; None tests the values themselves, a
            complex one by its real part.
        units_dim: dimension of the units.
        edges: the flat intervals and the dead ones, each closed (lo ≤ t ≤ hi, compared in float64).
        out: seven float64 on the device of the values; changed in place.
        marks: one uint8 for every unit, or None: bit 0 where an entry lies in no dead interval, bit 1 where
            one lies in no flat interval.

    >>> out, marks = torch.zeros(7, dtype=torch.float64), torch.zeros(2, dtype=torch.uint8)
    >>> negative = ((float("-inf"), 0.0),)
    >>> forward(torch.tensor([[0.0, 3.0], [0.0, -4.0]]), None, 1, (negative, negative), out, marks)
    >>> out.tolist(), marks.tolist()
    ([4.0, -1.0, 25.0, 4.0, 2.0, 0.0, 3.0], [0, 3])
    """
    flat_edges, dead_edges = edges
    real = _real(values).to(torch.float64)
    size = values.abs().to(torch.float64)
    entries = _real(values if tested is None else tested).to(torch.float64)
    flat = _inside(entries, flat_edges)
    counts = torch.stack(
        [
            real.sum(),
            _squares(values),
            (values == 0).sum().to(torch.float64),
            (~values.isfinite()).sum().to(torch.float64),
            flat.sum().to(torch.float64),
        ]
    )
    out[0] += values.numel()
    out[1:3] += counts[:2]
    out[4:7] += counts[2:]
    if values.numel() > 0:  # the maximum of nothing is an error
        out[3] = torch.maximum(out[3], size.max())
    if marks is not None:
        dead = flat if dead_edges == flat_edges else _inside(entries, dead_edges)
        marks |= _any(~dead, units_dim) * LIVE | _any(~flat, units_dim) * OPEN


def backward(values: Tensor, out: Tensor) -> None:
    """Merge n, Σ|v|² and #{v not finite} of a gradient into the three float64 of `out`.

    >>> out = torch.zeros(3, dtype=torch.float64)
    >>> backward(torch.tensor([3.0, 4.0]), out)
    >>> out.tolist()
    [2.0, 25.0, 0.0]
    """
    out[0] += values.numel()
    out[1] += _squares(values)
    out[2] += (~values.isfinite()).sum()


def _real(values: Tensor) -> Tensor:
    return values.real if values.is_complex() else values


def _squares(values: Tensor) -> Tensor:
    parts = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    return parts.to(torch.float64).square().sum()


def _inside(entries: Tensor, intervals: Intervals) -> Tensor:
    """Which entries lie in one of the closed intervals."""
    found = torch.zeros_like(entries, dtype=torch.bool)
    for low, high in intervals:
        found = found | ((entries >= low) & (entries <= high))
    return found


def _any(entries: Tensor, units_dim: int) -> Tensor:
    """1 for every unit with a true entry, of shape (units,)."""
    return (
        entries.movedim(units_dim, 0).flatten(1).any(1).to(torch.uint8)
        if entries.ndim > 1
        else (entries.to(torch.uint8))
    )
