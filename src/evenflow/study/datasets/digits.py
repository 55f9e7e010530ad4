"""scikit-learn's handwritten digits: 1,797 grey images of 8 × 8 pixels with values 0 to 16, ten classes.

They come inside scikit-learn's wheel (E. Alpaydin & C. Kaynak, UCI repository, 1998): no download.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evenflow.spec.data import Data
from evenflow.study.datasets.source import Samples, Source


def digits(data: Data) -> Source:
    """The digits at 8 × 8 (`digits`) or upsampled to 28 × 28 (`digits28`), MNIST's size."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, dtype=np.float64).reshape(-1, 8, 8)
    side = 28 if data.name == "digits28" else 8
    how = ", upsampled from 8 × 8" if side != 8 else ""
    inputs = upsample(images, side).reshape(len(images), side * side).astype(np.float32)
    labels = np.asarray(labels, dtype=np.int64)
    return Source(
        f"scikit-learn's handwritten digits, {side} × {side} pixels{how}",
        10,
        Samples(inputs, labels),
        shape=(side, side),
    )


def upsample(images: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Bilinear interpolation of square images `(n, s, s)` to `(n, side, side)`.

    Pixels are squares whose centres carry the values, and the border is repeated outward: the convention of
    image libraries, called `align_corners=False` in PyTorch.

    >>> upsample(np.array([[[0.0, 1.0], [2.0, 3.0]]]), 4)[0, 0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    weights = _interpolation(images.shape[1], side)
    return np.einsum("ai,nij,bj->nab", weights, images, weights, optimize=True)


def _interpolation(before: int, after: int) -> NDArray[np.float64]:
    """The matrix `(after, before)` that interpolates one axis; every row sums to 1."""
    place = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(before)))
