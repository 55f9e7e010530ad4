"""Some rows of each batch instead of all, and how far the figures may be off because of it.

The rows are drawn without replacement, anew in each step, the same for all sites with as many rows, by a generator of
the probe's own, so that the training's random numbers stay as they are. A figure is the mean of the rows' parts; its
standard error is √((1 − r/n) s² / r) with s² their variance and r of n rows read (Cochran 1977, Sampling Techniques,
section 2.6), carried over to a root by its slope (delta method).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from evenflow.measure.bank import Slot

PARTS = ("mean", "square", "zero", "flat", "signal")
"""Of every row: mean of v, of v², shares of zeros and of flat entries, mean of the squared gradient."""

_WIDTH = 2 + 2 * len(PARTS)
_FORWARD, _SIGNAL = slice(0, 4), slice(4, 5)


class Sample:
    """Chooses `rows` rows of each batch and keeps what their spread needs.

    Attributes:
        sums: for every slot rows read, rows there were, and for each of `PARTS` Σu and Σu² over the rows.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._generator = torch.Generator().manual_seed(0)
        self._chosen: dict[int, Tensor] = {}
        self.sums: NDArray[np.float64] = np.zeros((0, 2, _WIDTH))

    def begin(self) -> None:
        """Choose anew."""
        self._chosen.clear()
        self.sums[:] = 0.0

    def forward(self, slot: Slot, values: Tensor, inputs: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The chosen rows of a site's values and pre-activations."""
        values = self._take(values.detach())
        inputs = None if inputs is None else self._take(inputs.detach())
        rows = values.reshape(len(values), -1).to(torch.float64)
        parts = [rows.mean(1), rows.square().mean(1), (rows == 0).double().mean(1)]
        slopes = slot.slopes
        tested = (
            rows if slopes is None or slopes.of_outputs or inputs is None else inputs.reshape(len(rows), -1)
        )
        flat = torch.zeros_like(tested, dtype=torch.bool)
        for low, high in () if slopes is None else slopes.flat:
            flat |= (tested >= low) & (tested <= high)
        parts.append(flat.double().mean(1))
        self._add(slot, 0, _FORWARD, torch.stack(parts, 1))
        return values, inputs

    def backward(self, slot: Slot, gradient: Tensor) -> Tensor:
        """The chosen rows of the gradient that reached a site."""
        gradient = self._take(gradient.detach())
        squares = gradient.reshape(len(gradient), -1).to(torch.float64).square().mean(1, keepdim=True)
        self._add(slot, 1, _SIGNAL, squares)
        return gradient

    def of(self, slots: int) -> NDArray[np.float64]:
        """The sums of the first `slots` slots."""
        if slots > len(self.sums):
            self.sums = np.concatenate([self.sums, np.zeros((slots - len(self.sums), 2, _WIDTH))])
        return self.sums[:slots]

    def _take(self, values: Tensor) -> Tensor:
        number = len(values) if values.ndim else 0
        self._last = number
        if number <= self._rows:
            return values
        chosen = self._chosen.get(number)
        if chosen is None:
            chosen = torch.randperm(number, generator=self._generator)[: self._rows].sort().values
            self._chosen[number] = chosen
        return values.index_select(0, chosen.to(values.device))

    def _add(self, slot: Slot, side: int, parts: slice, rows: Tensor) -> None:
        found = rows.cpu().numpy()
        sums = self.of(slot.row + 1)[slot.row, side]
        sums[0] += len(found)
        sums[1] += self._last
        sums[2:7][parts] += found.sum(0)
        sums[7:][parts] += (found**2).sum(0)


def standard_errors(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Standard errors from `Sample.sums` of shape (..., slots, 2, 12), each of shape (..., slots).

    NaN where fewer than two rows were read.

    >>> sums = np.zeros((1, 2, 12))
    >>> sums[0, 0] = [2, 4, *[4, 0, 0, 0, 0], *[10, 0, 0, 0, 0]]  # row means 1 and 3 of two out of four rows
    >>> standard_errors(sums)["mean_se"]
    array([0.70710678])
    """
    read, there = sums[..., 0], sums[..., 1]
    total, squares = sums[..., 2:7], sums[..., 7:12]
    with np.errstate(all="ignore"):
        mean = total / read[..., None]
        variance = np.maximum(squares - read[..., None] * mean**2, 0.0) / (read - 1)[..., None]
        error = np.sqrt((1 - read / there)[..., None] * variance / read[..., None])
        error = np.where(read[..., None] > 1, error, np.nan)
        forward, backward = error[..., 0, :], error[..., 1, :]
        return {
            "mean_se": forward[..., 0],
            "rms_se": forward[..., 1] / (2 * np.sqrt(mean[..., 0, 1])),
            "zero_fraction_se": forward[..., 2],
            "saturated_fraction_se": forward[..., 3],
            "signal_rms_se": backward[..., 4] / (2 * np.sqrt(mean[..., 1, 4])),
        }
