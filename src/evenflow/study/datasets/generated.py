"""Points in the plane: problems whose difficulty is known and whose picture can be drawn."""

from __future__ import annotations

import numpy as np

from evenflow.spec.data import Data
from evenflow.study.datasets.source import Samples, Source, balanced_labels

_SPIRALS_SEED = 41
_BLOBS_SEED = 42
_TURNS = 1.0
_BLOB_RADIUS = 2.0


def spirals(data: Data) -> Source:
    """K arms of a spiral around the origin, after K. Lang & M. Witbrock (1988); no straight line parts them.

    Arm k is `r (cos φ, sin φ)` with `φ = 2π (k/K + r)` and r uniform in `[0.1, 1]`, plus Gaussian noise.

    `data.classes` is the number of arms (3), `data.noise` the standard deviation of the noise (0.03), to be
    compared with the outer radius, 1.
    """
    classes = 3 if data.classes is None else data.classes
    noise = 0.03 if data.noise is None else data.noise
    rng = np.random.default_rng(_SPIRALS_SEED)
    labels = balanced_labels(data.samples, classes)
    radius = rng.uniform(0.1, 1.0, data.samples)
    angle = 2 * np.pi * (labels / classes + _TURNS * radius)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points += noise * rng.standard_normal(points.shape)
    return Source(
        f"{classes} generated arms of a spiral", classes, Samples(points.astype(np.float32), labels)
    )


def blobs(data: Data) -> Source:
    """K Gaussian blobs whose centres stand evenly on a circle of radius 2.

    `data.classes` is the number of blobs (4), `data.noise` their standard deviation (0.5). The best possible
    accuracy for two blobs is `Φ(2 / noise)`.
    """
    classes = 4 if data.classes is None else data.classes
    noise = 0.5 if data.noise is None else data.noise
    rng = np.random.default_rng(_BLOBS_SEED)
    labels = balanced_labels(data.samples, classes)
    angle = 2 * np.pi * labels / classes
    points = _BLOB_RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points += noise * rng.standard_normal(points.shape)
    return Source(f"{classes} generated Gaussian blobs", classes, Samples(points.astype(np.float32), labels))
