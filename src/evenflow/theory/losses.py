"""Gradients of the losses that are known by name, with respect to the logits; any other is a callable like these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError, suggest

Array = NDArray[np.float64]
Gradient = Callable[[Array], Array]
"""From logits of shape (draws, samples, outputs) to ∂L/∂logits of the same shape, L being the batch's mean loss."""

LOSSES = ("cross_entropy", "mse")


def loss_gradient(name: str, labels: NDArray[np.int64], outputs: int) -> Gradient:
    """The gradient of a mean loss over labelled samples.

    Args:
        name: `cross_entropy`, or `mse` against one-hot targets (mean over samples and outputs, as torch's).
        labels: shape (samples,), from 0 to outputs - 1.
        outputs: number of logits.

    Raises:
        SpecError: the loss is not known.

    >>> gradient = loss_gradient("cross_entropy", np.array([0]), 2)
    >>> gradient(np.zeros((1, 1, 2))).ravel().tolist()
    [-0.5, 0.5]
    """
    if name not in LOSSES:
        raise SpecError(f'loss "{name}" is not known{suggest(name, LOSSES)}; known: {", ".join(LOSSES)}')
    targets = np.eye(outputs)[labels]

    def cross_entropy(logits: Array) -> Array:
        shifted = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
        return (shifted / np.sum(shifted, axis=-1, keepdims=True) - targets) / len(labels)

    def mean_square(logits: Array) -> Array:
        return 2 * (logits - targets) / targets.size

    return cross_entropy if name == "cross_entropy" else mean_square
