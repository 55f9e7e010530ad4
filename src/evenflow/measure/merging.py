"""How the figures of one step merge over the ranks that made it together.

Every rank sees a share of the batch and holds all or a part of each parameter. Counts, sums and squares add; the
largest is the largest; a unit is alive where it is so on one rank. DistributedDataParallel and FSDP average gradients
over the ranks, so that the loss of the whole batch is L = (1/R) Σ_r L_r, and the gradient that reached a signal on
rank r counts with ∂L/∂z = (1/R) ∂L_r/∂z. Squares of a parameter add over its parts; a part that c ranks hold counts
with 1/c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LARGEST, _GRADIENT_SQUARES = 3, 8  # of the ten sums of a slot, see `bank.SUMS`


@dataclass(frozen=True, eq=False)
class Step:
    """What one rank has to say of a step, or all of them together.

    Args:
        sums: of every slot, of shape (slots, 10).
        figures: of every parameter, of shape (parameters, columns).
        marks: the bits of all units of the slots whose units are marked, behind one another.
        loss: NaN where none was given.
        scale: of the loss, by which gradients were multiplied.
    """

    sums: NDArray[np.float64]
    figures: NDArray[np.float64]
    marks: NDArray[np.uint8]
    loss: float | None = None
    scale: float = math.nan

    def packed(self) -> NDArray[np.float64]:
        """All of it as one vector; eight marks lie in the bits of one number.

        >>> step = Step(np.ones((1, 10)), np.ones((2, 7)), np.arange(9, dtype=np.uint8))
        >>> len(step.packed())  # 10 + 14 + 3 + 2
        29
        """
        marks = np.zeros(-(-len(self.marks) // 8) * 8, dtype=np.uint8)
        marks[: len(self.marks)] = self.marks
        loss = (0.0, 0.0) if self.loss is None else (self.loss, 1.0)
        return np.concatenate(
            [
                self.sums.ravel(),
                self.figures.ravel(),
                np.array([*loss, self.scale]),
                marks.view(np.float64),
            ]
        )

    def unpacked(self, vector: NDArray[np.float64]) -> Step:
        """A step out of a vector, of the same shapes as this one.

        >>> step = Step(np.ones((1, 10)), np.ones((2, 7)), np.arange(9, dtype=np.uint8), loss=0.5)
        >>> again = step.unpacked(step.packed())
        >>> again.marks.tolist(), again.loss
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], 0.5)
        """
        ends = np.cumsum([self.sums.size, self.figures.size, 3])
        sums, figures, (loss, given, scale), marks = np.split(vector, ends)
        return Step(
            sums.reshape(self.sums.shape),
            figures.reshape(self.figures.shape),
            np.ascontiguousarray(marks).view(np.uint8)[: len(self.marks)],
            float(loss) if given else None,
            float(scale),
        )


def merge(steps: Sequence[Step], copies: NDArray[np.float64]) -> Step:
    """One step out of those of all ranks.

    The loss is the mean over the ranks that gave one.

    Args:
        steps: one for each rank.
        copies: for each parameter, how many ranks hold the same part of it.

    >>> none = np.zeros((0, 7)), np.zeros(0, dtype=np.uint8)
    >>> one = Step(np.array([[2.0, 1, 5, 2, 0, 0, 0, 2, 8, 0]]), *none, loss=1.0)
    >>> other = Step(np.array([[4.0, 1, 3, 1, 1, 0, 0, 4, 16, 0]]), *none, loss=2.0)
    >>> both = merge([one, other], np.zeros(0))
    >>> both.sums.tolist(), both.loss
    ([[6.0, 2.0, 8.0, 2.0, 1.0, 0.0, 0.0, 6.0, 6.0, 0.0]], 1.5)
    """
    losses = [step.loss for step in steps if step.loss is not None]
    return Step(
        merge_sums(np.stack([step.sums for step in steps])),
        merge_figures(np.stack([step.figures for step in steps]), copies),
        np.bitwise_or.reduce([step.marks for step in steps]),
        math.fsum(losses) / len(losses) if losses else None,
        steps[0].scale,
    )


def merge_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the whole batch, of shape (slots, 10), out of those of (ranks, slots, 10); a NaN on one rank stays.

    >>> merge_sums(np.ones((2, 1, 10)))[0].tolist()
    [2.0, 2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 2.0, 0.5, 2.0]
    """
    merged = sums.sum(axis=0)
    merged[:, _LARGEST] = sums[..., _LARGEST].max(axis=0)
    merged[:, _GRADIENT_SQUARES] /= len(sums) ** 2
    return merged


def merge_figures(figures: NDArray[np.float64], copies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squares of whole parameters, of shape (parameters, columns), out of those of the parts on every rank.

    >>> shards = np.array([[[9.0]], [[16.0]]])  # two ranks, one parameter, one column
    >>> merge_figures(shards, np.array([1.0])).item(), merge_figures(shards[[0, 0]], np.array([2.0])).item()
    (25.0, 9.0)
    """
    return figures.sum(axis=0) / copies[:, None]
