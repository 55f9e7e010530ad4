"""Loading a data set: the samples, a fixed split, and standardised inputs. The same call gives the same bits.

Nothing here depends on the seed of a training: every network of a study sees the same training samples and is
judged on the same test samples, so that seeds differ in the network and in the order of the data alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import DataError
from evenflow.spec.data import DATA_SETS, Data
from evenflow.study.datasets.digits import digits
from evenflow.study.datasets.files import files_read, idx, npz
from evenflow.study.datasets.first_symbol import first_symbol
from evenflow.study.datasets.generated import blobs, spirals
from evenflow.study.datasets.imbalance import long_tailed
from evenflow.study.datasets.mnist1d import mnist1d
from evenflow.study.datasets.source import Samples, Source

_SPLIT_SEED = 39
_ROWS_AT_ONCE = 4096

_SOURCES: dict[str, Callable[[Data], Source]] = {
    "digits": digits,
    "digits28": digits,
    "mnist1d": mnist1d,
    "spirals": spirals,
    "blobs": blobs,
    "first_symbol": first_symbol,
    "idx": idx,
    "npz": npz,
}


@dataclass(frozen=True, eq=False)
class DataSet:
    """A classification data set, ready for a network.

    Args:
        name: as in `Data`.
        train_inputs: float32, shape `(training samples, features)`; images are flattened row by row.
        train_labels: int64, shape `(training samples,)`, values 0 to `classes - 1`.
        test_inputs: float32, shape `(test samples, features)`.
        test_labels: int64, shape `(test samples,)`.
        classes: number of classes; under imbalance the last is the rarest.
        description: one sentence on what the data are, how many, how split and how standardised.
        shape: of a sample before it was flattened, as `Source` has it.
    """

    name: str
    train_inputs: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    classes: int
    description: str
    shape: tuple[int, ...]


def names() -> tuple[str, ...]:
    """The names of all data sets.

    >>> names()
    ('digits', 'digits28', 'mnist1d', 'spirals', 'blobs', 'first_symbol', 'idx', 'npz')
    """
    return tuple(DATA_SETS)


def load(data: Data) -> DataSet:
    """Load a data set.

    Raises:
        DataError: a file is missing or damaged, or its arrays are not fit for learning.
        SpecError: a field does not fit the data, such as an imbalance that leaves a class without a sample.

    >>> load(Data(name="blobs", samples=100)).train_inputs.shape
    (80, 2)
    """
    source = _SOURCES[data.name](data)
    if source.test is None:
        split = "fixed stratified split"
        train, test = _split(source.train, source.classes, data)
    else:
        split, train, test = "the data's own split", source.train, source.test
    train = long_tailed(train, source.classes, data.imbalance, data.name)
    if data.standardise:
        train, test = _standardised(train, test)
    tail = f", imbalance {data.imbalance:g}" if data.imbalance != 1 else ""
    scale = "standardised with the training part" if data.standardise else "as they are"
    description = (
        f"{source.what}: {len(train.labels)} training and {len(test.labels)} test samples ({split}{tail}), "
        f"{train.inputs.shape[1]} features, {source.classes} classes; inputs {scale}."
    )
    shape = source.shape or train.inputs.shape[1:]
    return DataSet(
        data.name, train.inputs, train.labels, test.inputs, test.labels, source.classes, description, shape
    )


def digest(data: Data) -> str:
    """Twelve hex digits of the content of the files that a data set reads; empty where it reads none.

    Raises:
        DataError: a file is missing.
    """
    total = hashlib.sha256()
    paths = files_read(data)
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:12] if paths else ""


def _split(samples: Samples, classes: int, data: Data) -> tuple[Samples, Samples]:
    """Training and test part, each class in the same proportion and in both, in a shuffled order."""
    rng = np.random.default_rng(_SPLIT_SEED)
    train: list[NDArray[np.int64]] = []
    test: list[NDArray[np.int64]] = []
    for label in range(classes):
        rows = rng.permutation(np.flatnonzero(samples.labels == label))
        if len(rows) < 2:
            raise DataError(
                f'data set "{data.name}": class {label} has {len(rows)} sample{"s" * (len(rows) != 1)}; '
                "a split needs 1 for the training and 1 for the test; give more samples"
            )
        held_back = min(max(1, round(data.test_fraction * len(rows))), len(rows) - 1)
        test.append(rows[:held_back])
        train.append(rows[held_back:])
    return (
        samples.take(rng.permutation(np.concatenate(train))),
        samples.take(rng.permutation(np.concatenate(test))),
    )


def _standardised(train: Samples, test: Samples) -> tuple[Samples, Samples]:
    """Both parts with the training part's mean and deviation, in float64; constant features become 0."""
    constant = train.inputs.min(axis=0) == train.inputs.max(axis=0)
    mean = _mean(train.inputs, lambda rows: rows)
    deviation = np.sqrt(_mean(train.inputs, lambda rows: (rows - mean) ** 2))
    factor = np.where(constant, 0.0, 1 / np.where(deviation > 0, deviation, 1.0))
    scaled = []
    for part in (train, test):
        inputs = np.empty_like(part.inputs)
        for start in range(0, len(inputs), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            inputs[rows] = (part.inputs[rows] - mean) * factor
        scaled.append(Samples(inputs, part.labels))
    return scaled[0], scaled[1]


def _mean(
    inputs: NDArray[np.float32], function: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Mean of `function` over all rows, in float64 without a second copy of a large data set."""
    total = np.zeros(inputs.shape[1])
    for start in range(0, len(inputs), _ROWS_AT_ONCE):
        total += function(inputs[start : start + _ROWS_AT_ONCE].astype(np.float64)).sum(axis=0)
    return total / len(inputs)
