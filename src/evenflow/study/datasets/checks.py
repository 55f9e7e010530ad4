"""What must hold of arrays from the user's disk before a network may learn from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import DataError
from evenflow.study.datasets.source import Samples, Source


def checked_source(
    what: str, place: str, train: Mapping[str, NDArray], test: Mapping[str, NDArray] | None
) -> Source:
    """A source from raw arrays: images are flattened, labels are renumbered 0, 1, … K-1 in rising order.

    Args:
        what: a few words on what the data are.
        place: the file or folder, for error messages.
        train: name of the inputs -> array, then name of the labels -> array.
        test: as `train`, or None.

    Raises:
        DataError: shapes do not fit, a value is NaN or Inf, labels are not whole numbers, or the training
            and the test part do not hold the same classes, at least two.
    """
    parts = [_checked_part(place, part) for part in (train, test) if part is not None]
    inputs_name, labels_name = train
    known = np.unique(parts[0][1])
    if len(known) < 2:
        raise DataError(
            f"{place}, {labels_name}: every label is {known[0]}; a classification needs at least 2 classes"
        )
    if test is not None:
        test_inputs_name, test_labels_name = test
        _check_same_features(place, inputs_name, test_inputs_name, parts)
        _check_same_classes(place, labels_name, test_labels_name, known, np.unique(parts[1][1]))
    samples = [Samples(inputs, np.searchsorted(known, labels).astype(np.int64)) for inputs, labels in parts]
    if not np.array_equal(known, np.arange(len(known))):
        what += f" (labels {_listed(known)} renumbered from 0)"
    return Source(what, len(known), *samples, shape=tuple(train[inputs_name].shape[1:]))


def _checked_part(place: str, part: Mapping[str, NDArray]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    (inputs_name, inputs), (labels_name, labels) = part.items()
    labels = _checked_labels(f"{place}, {labels_name}", labels)
    inputs = _checked_inputs(f"{place}, {inputs_name}", inputs)
    if len(inputs) != len(labels):
        raise DataError(
            f"{place}: {inputs_name} has {len(inputs)} samples but {labels_name} has {len(labels)}; "
            "both need one entry a sample, in the same order"
        )
    return inputs, labels


def _checked_inputs(place: str, inputs: NDArray) -> NDArray[np.float32]:
    if inputs.dtype.kind not in "biuf":
        raise DataError(f"{place}: holds {inputs.dtype}; inputs are real numbers")
    if inputs.ndim < 2:
        raise DataError(
            f"{place}: has shape {inputs.shape}; it needs (samples, features) or (samples, height, width, …)"
        )
    if not inputs.size:
        raise DataError(f"{place}: has shape {inputs.shape}, so it is empty; at least 1 sample is needed")
    _check_finite(place, inputs, "is NaN or Inf", "are NaN or Inf")
    with np.errstate(over="ignore"):
        narrow = inputs.reshape(len(inputs), -1).astype(np.float32)
    _check_finite(place, narrow.reshape(inputs.shape), "overflows float32", "overflow float32", inputs)
    return narrow


def _check_finite(place: str, values: NDArray, one: str, many: str, shown: NDArray | None = None) -> None:
    bad = ~np.isfinite(values)
    count = int(bad.sum())
    if count:
        first = tuple(int(index) for index in np.unravel_index(int(bad.argmax()), values.shape))
        value = (values if shown is None else shown)[first]
        raise DataError(
            f"{place}: {count} value{'s' * (count > 1)} {many if count > 1 else one}, the first at "
            f"[{', '.join(map(str, first))}] ({value:g}); repair these values or leave their samples out"
        )


def _checked_labels(place: str, labels: NDArray) -> NDArray[np.int64]:
    if labels.ndim != 1:
        hint = "; for one-hot labels, save labels.argmax(axis=1)" if labels.ndim == 2 else ""
        raise DataError(
            f"{place}: has shape {labels.shape}; it needs (samples,), one whole number a sample{hint}"
        )
    if not labels.size:
        raise DataError(f"{place}: has shape (0,), so it is empty; at least 1 sample is needed")
    if labels.dtype.kind not in "biuf":
        raise DataError(
            f"{place}: holds {labels.dtype}; labels are whole numbers, as in "
            "numpy.unique(labels, return_inverse=True)[1]"
        )
    if labels.dtype.kind == "f":
        broken = ~np.isfinite(labels) | (labels != np.round(labels))
        if broken.any():
            first = int(broken.argmax())
            raise DataError(
                f"{place}: {int(broken.sum())} of {labels.size} labels are not whole numbers, "
                f"the first at [{first}] ({labels[first]:g}); a label is the number of a class"
            )
    return labels.astype(np.int64)


def _check_same_features(place: str, train: str, test: str, parts: list[tuple[NDArray, NDArray]]) -> None:
    wide, other = parts[0][0].shape[1], parts[1][0].shape[1]
    if wide != other:
        raise DataError(
            f"{place}: {train} has {wide} features a sample but {test} has {other}; both need the same"
        )


def _check_same_classes(place: str, train: str, test: str, known: NDArray, tested: NDArray) -> None:
    unseen = np.setdiff1d(tested, known)
    if unseen.size:
        raise DataError(
            f"{place}: {test} holds labels that {train} does not ({_listed(unseen)}); "
            "a network cannot learn a class without samples"
        )
    untested = np.setdiff1d(known, tested)
    if untested.size:
        raise DataError(
            f"{place}: {test} has no sample of labels that {train} holds ({_listed(untested)}); "
            "the recall of a class needs at least 1 test sample"
        )


def _listed(labels: NDArray, most: int = 6) -> str:
    head = ", ".join(str(label) for label in labels[:most])
    return head + (", …" if len(labels) > most else "")
