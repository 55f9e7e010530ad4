"""A few samples that stand for a batch: which they are, and what gradients they carry."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evenflow.theory.gram_chain import Spectrum
from evenflow.theory.wide import Wide

Array = NDArray[np.float64]

SAMPLES = 8  # of a chain
_MANY = 3


class Part:
    """The samples that each chain carries, and how they stand for the batch."""

    def __init__(self, limit: Wide, inputs: Array, random: np.random.Generator, chains: int) -> None:
        total = len(inputs)
        count = min(SAMPLES, total)
        # where the scale is unstable, the few samples with the largest signal are all that is left at the end: the
        # ranges of size from which one sample each is drawn grow from the largest down
        order = np.argsort(-np.diag(limit.covariances[-1]), kind="stable")
        edges = np.linspace(0, total, count + 1).astype(int)
        if total >= _MANY * count:
            edges = np.append(0, np.geomspace(1, total, count).round().astype(int))
        picks = [random.integers(low, high, size=chains) for low, high in pairwise(edges)]
        self.chosen = order[np.stack(picks, axis=1)]
        self._total = total
        self.grams = self.block(limit.signals[0])
        at_limit = limit.covariances[-1]
        self.covariance = self.block(at_limit)
        # ridge: what differs between samples by less than 1e-10 is not used to tell them apart
        ridge = 1e-10 * np.einsum("rii->r", self.covariance)[:, None, None] + 1e-300
        self._regression = np.linalg.solve(self.covariance + ridge * np.eye(count), at_limit[self.chosen])

    def block(self, matrix: Array) -> Array:
        """The part's own entries of a matrix over the batch."""
        return matrix[self.chosen[:, :, None], self.chosen[:, None, :]]

    def of(self, values: Array) -> Array:
        """The part's own rows of values of shape (chains, batch, outputs); outputs then come first."""
        return np.take_along_axis(values, self.chosen[:, :, None], axis=1).transpose(0, 2, 1)

    def logits(self, covariance: Array, at_limit: Array) -> Array:
        """Logits of the whole batch, given the covariance that each chain found for its part."""
        own = np.take_along_axis(at_limit, self.chosen[:, :, None], axis=1)
        # symmetric roots, so that equal standard draws give alike logits
        standard = np.matmul(np.linalg.pinv(Spectrum(self.covariance).symmetric_root, rcond=1e-7), own)
        drawn = np.matmul(Spectrum(covariance).symmetric_root, standard)
        regression = self._regression.transpose(0, 2, 1)
        size = np.einsum("rii->r", covariance) / np.maximum(np.einsum("rii->r", self.covariance), 1e-300)
        rest = (at_limit - np.matmul(regression, own)) * np.sqrt(size)[:, None, None]
        logits = np.matmul(regression, drawn) + rest
        np.put_along_axis(logits, self.chosen[:, :, None], drawn, axis=1)
        return logits

    def reduced(self, gradients: Array) -> Array:
        """Gradients of the part with the batch's sum, and with as large a sum of squares."""
        count = self.chosen.shape[1]
        own = np.take_along_axis(gradients, self.chosen[:, :, None], axis=1) * math.sqrt(self._total / count)
        missing = np.sum(gradients, axis=1, keepdims=True) - np.sum(own, axis=1, keepdims=True)
        return own + missing / count
