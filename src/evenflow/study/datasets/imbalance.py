"""A long tail of rare classes, made by leaving training samples out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.study.datasets.source import Samples

_SEED = 43


def long_tailed(train: Samples, classes: int, ratio: float, name: str) -> Samples:
    """Leave samples out until class k of K has `m ratio^(-k/(K-1))` left, rounded; the last is the minority.

    m is as large as the samples allow: with classes of equal size, the first keeps all of its own. A `ratio`
    of 1 leaves the samples as they are. Source: Y. Cui et al., "Class-balanced loss based on effective number
    of samples" (CVPR 2019), section 5.1.

    Raises:
        SpecError: a class would be left without a sample.
    """
    if ratio == 1:
        return train
    sizes = long_tail_sizes(np.bincount(train.labels, minlength=classes), ratio)
    if not sizes.all():
        empty = int(np.argmin(sizes))
        raise SpecError(
            f'imbalance = {ratio:g} leaves class {empty} of data set "{name}" without a training sample; '
            f"give at most {_largest_ratio(np.bincount(train.labels, minlength=classes))}, or more samples"
        )
    rng = np.random.default_rng(_SEED)
    kept = [
        rng.permutation(np.flatnonzero(train.labels == label))[:size]
        for label, size in zip(range(classes), sizes, strict=True)
    ]
    return train.take(np.sort(np.concatenate(kept)))


def long_tail_sizes(held: NDArray[np.int64], ratio: float) -> NDArray[np.int64]:
    """How many samples each class keeps of those `held`.

    >>> long_tail_sizes(np.array([100, 100, 100]), 100).tolist()
    [100, 10, 1]
    >>> long_tail_sizes(np.array([10, 1000]), 2).tolist()
    [10, 5]
    """
    share = ratio ** -np.linspace(0, 1, len(held))
    return np.floor(np.min(held / share) * share + 0.5).astype(np.int64)


def _largest_ratio(held: NDArray[np.int64]) -> int:
    """The largest whole ratio that leaves every class a sample."""
    low, high = 1, 2 * int(held.max()) + 2
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        low, high = (middle, high) if long_tail_sizes(held, middle).all() else (low, middle)
    return low
