"""What every source of data hands over: samples as they are, before the split and the standardisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs of shape `(n, d)`, float32, and labels of shape `(n,)`, int64, numbered from 0 without a gap."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Samples:
        """The samples that stand at `rows`, in that order."""
        return Samples(self.inputs[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class Source:
    """Samples of a data set; `test` is None where the data have no split of their own.

    `what` says in a few words what the data are, and opens the description that a reader sees. `shape` is that of a
    sample before it was flattened, row by row: (length,), (height, width), (height, width, channels) or, of a sequence,
    (steps, features).
    """

    what: str
    classes: int
    train: Samples
    test: Samples | None = None
    shape: tuple[int, ...] = ()


def balanced_labels(samples: int, classes: int) -> NDArray[np.int64]:
    """Labels 0, 1, … K-1, 0, 1, … of shape `(samples,)`: class sizes differ by 1 at most.

    >>> balanced_labels(5, 3).tolist()
    [0, 1, 2, 0, 1]
    """
    return np.arange(samples, dtype=np.int64) % classes
