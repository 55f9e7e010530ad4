"""Sequences of symbols whose class is the first of them: what is to be remembered stands furthest from the loss.

A form of the tasks with which long memory is tried (Hochreiter & Schmidhuber 1997, section 5.2): what follows the
first symbol says nothing, but looks like it.
"""

from __future__ import annotations

import numpy as np

from evenflow.spec.data import Data
from evenflow.study.datasets.source import Samples, Source, balanced_labels

_SEED = 43
_LENGTH = 20


def first_symbol(data: Data) -> Source:
    """`data.samples` sequences of `data.length` symbols (20) out of `data.classes` (4), each as a one-hot vector.

    The first symbol is the class; the others are drawn uniformly and independently of it. `data.noise` is the standard
    deviation of Gaussian noise on every entry (0).
    """
    classes = 4 if data.classes is None else data.classes
    length = _LENGTH if data.length is None else data.length
    rng = np.random.default_rng(_SEED)
    labels = balanced_labels(data.samples, classes)
    symbols = rng.integers(0, classes, size=(data.samples, length))
    symbols[:, 0] = labels
    inputs = np.eye(classes)[symbols]
    if data.noise:
        inputs = inputs + data.noise * rng.standard_normal(inputs.shape)
    return Source(
        f"generated sequences of {length} symbols whose class is the first",
        classes,
        Samples(inputs.reshape(data.samples, -1).astype(np.float32), labels),
        shape=(length, classes),
    )
