"""Small data sets: those that scikit-learn holds or draws, and drawn images, signals and words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from sklearn import datasets as sklearn_datasets
from torch import Tensor

SAMPLES = 768


@dataclass(frozen=True)
class Data:
    """Samples of one data set.

    Args:
        inputs: of shape (samples, ...).
        targets: classes (whole numbers), or real numbers of shape (samples, outputs).
        outputs: classes, or numbers to predict.
        vocabulary: of inputs that are words; 0 for others.
        form: "flat", "image", "signal" (time, channels) or "words" (time).
    """

    inputs: Tensor
    targets: Tensor
    outputs: int
    form: str
    vocabulary: int = 0


def _standard(values: npt.ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    return (values - values.mean(0)) / np.maximum(values.std(0), 1e-3)


def _real(values: npt.ArrayLike) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _classes(values: npt.ArrayLike) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))


def _digits() -> tuple[np.ndarray, np.ndarray]:
    inputs, labels = sklearn_datasets.load_digits(return_X_y=True)
    return np.asarray(inputs)[:SAMPLES], np.asarray(labels)[:SAMPLES]


def digits() -> Data:
    """Handwritten digits, standardised by one mean and one deviation for all pixels."""
    inputs, labels = _digits()
    return Data(_real((inputs - inputs.mean()) / inputs.std()), _classes(labels), 10, "flat")


def digits_unit() -> Data:
    """Handwritten digits between 0 and 1."""
    inputs, labels = _digits()
    return Data(_real(inputs / 16), _classes(labels), 10, "flat")


def digit_images() -> Data:
    """Handwritten digits as images of one channel."""
    flat = digits()
    return Data(flat.inputs.unflatten(1, (1, 8, 8)), flat.targets, 10, "image")


def digit_rows() -> Data:
    """Handwritten digits as eight rows, one after the other."""
    flat = digits()
    return Data(flat.inputs.unflatten(1, (8, 8)), flat.targets, 10, "signal")


def digit_copies() -> Data:
    """Handwritten digits between 0 and 1, to be given back."""
    inputs, _ = _digits()
    return Data(_real(inputs / 16), _real(inputs / 16), 64, "flat")


def blobs() -> Data:
    """AUTOTRAINER's blobs: three classes in the plane, standardised."""
    inputs, labels = sklearn_datasets.make_blobs(
        1000, centers=3, n_features=2, cluster_std=2, random_state=2
    )[:2]
    return Data(_real(_standard(inputs[:SAMPLES])), _classes(labels[:SAMPLES]), 3, "flat")


def many_blobs() -> Data:
    """Eight classes in ten dimensions, standardised."""
    inputs, labels = sklearn_datasets.make_blobs(
        SAMPLES, centers=8, n_features=10, cluster_std=3, random_state=5
    )[:2]
    return Data(_real(_standard(inputs)), _classes(labels), 8, "flat")


def circles() -> Data:
    """A circle in a circle, standardised."""
    inputs, labels = sklearn_datasets.make_circles(SAMPLES, noise=0.1, factor=0.4, random_state=1)
    return Data(_real(_standard(inputs)), _classes(labels), 2, "flat")


def moons() -> Data:
    """Two moons, standardised."""
    inputs, labels = sklearn_datasets.make_moons(SAMPLES, noise=0.15, random_state=1)
    return Data(_real(_standard(inputs)), _classes(labels), 2, "flat")


def binary_circles() -> Data:
    """The circles with 0 and 1 as real numbers."""
    found = circles()
    return Data(found.inputs, found.targets.float()[:, None], 1, "flat")


def friedman() -> Data:
    """Friedman's first regression, inputs and target standardised."""
    found = friedman_raw()
    targets = (found.targets - found.targets.mean()) / found.targets.std()
    return Data(found.inputs, targets, 1, "flat")


def friedman_raw() -> Data:
    """The same with its target as it is: about 14, give or take 5."""
    inputs, target = sklearn_datasets.make_friedman1(SAMPLES, n_features=6, noise=0.3, random_state=3)
    return Data(_real(_standard(inputs)), _real(target[:, None]), 1, "flat")


def sine() -> Data:
    """A sine of one number; half of the targets are negative."""
    source = np.random.default_rng(4)
    inputs = source.uniform(-1.7, 1.7, (SAMPLES, 1))
    return Data(
        _real(inputs), _real(1.5 * np.sin(2.5 * inputs) + 0.05 * source.normal(size=inputs.shape)), 1, "flat"
    )


def shapes() -> Data:
    """Images with a horizontal bar, a vertical bar, a cross or a square, in noise."""
    source = np.random.default_rng(6)
    images, labels = source.normal(0, 0.4, (SAMPLES, 1, 9, 9)), source.integers(0, 4, SAMPLES)
    for image, label in zip(images, labels, strict=True):
        row, column = source.integers(2, 7, 2)
        if label in (0, 2):
            image[0, row, column - 2 : column + 3] += 2
        if label in (1, 2):
            image[0, row - 2 : row + 3, column] += 2
        if label == 3:
            image[0, row - 2 : row + 3, [column - 2, column + 2]] += 2
            image[0, [row - 2, row + 2], column - 2 : column + 3] += 2
    return Data(_real(images), _classes(labels), 4, "image")


def waves() -> Data:
    """Noisy sines of four frequencies, 16 values each."""
    source = np.random.default_rng(7)
    labels = source.integers(0, 4, SAMPLES)
    phase = source.uniform(0, 2 * np.pi, (SAMPLES, 1))
    angles = (0.35 + 0.5 * labels[:, None]) * np.arange(16) + phase
    signals = 1.4 * np.sin(angles) + 0.2 * source.normal(size=angles.shape)
    return Data(_real(signals[..., None]), _classes(labels), 4, "signal")


def first_sign(length: int = 10) -> Data:
    """Noise whose first value is what to remember: one of four, told 10 steps later."""
    source = np.random.default_rng(8)
    labels = source.integers(0, 4, SAMPLES)
    signals = 0.3 * source.normal(size=(SAMPLES, length, 4))
    signals[np.arange(SAMPLES), 0, labels] += 3
    return Data(_real(signals), _classes(labels), 4, "signal")


def long_first_sign() -> Data:
    """The same, told 30 steps later."""
    return first_sign(30)


def majority() -> Data:
    """Eleven words of four; the class is the word that comes most often."""
    source = np.random.default_rng(9)
    labels = source.integers(0, 4, SAMPLES)
    words = source.integers(0, 4, (SAMPLES, 11))
    words = np.where(source.random((SAMPLES, 11)) < 0.45, labels[:, None], words)
    return Data(_classes(words), _classes(labels), 4, "words", 4)


def first_word() -> Data:
    """Eight words of a vocabulary of 40; the class is the first word's remainder by 4."""
    source = np.random.default_rng(10)
    words = source.integers(0, 40, (SAMPLES, 8))
    return Data(_classes(words), _classes(words[:, 0] % 4), 4, "words", 40)


def next_word() -> Data:
    """Words that count up by one, two or three modulo 9; the target is the next word at every place."""
    source = np.random.default_rng(11)
    begin, stride = source.integers(0, 9, (SAMPLES, 1)), source.integers(1, 4, (SAMPLES, 1))
    words = (begin + stride * np.arange(11)) % 9
    return Data(_classes(words[:, :-1]), _classes(words[:, 1:]), 9, "words", 9)


DATASETS: dict[str, Callable[[], Data]] = {
    one.__name__: one
    for one in (
        *(digits, digits_unit, digit_images, digit_rows, digit_copies, blobs, many_blobs, circles, moons),
        *(binary_circles, friedman, friedman_raw, sine, shapes, waves, first_sign, long_first_sign),
        *(majority, first_word, next_word),
    )
}


@lru_cache
def load(name: str) -> Data:
    """A data set by name; the same tensors every time, not to be written to."""
    return DATASETS[name]()


def batches(data: Data, size: int) -> list[tuple[Tensor, Tensor]]:
    """The samples in a drawn order, cut into batches of one size."""
    order = torch.randperm(len(data.inputs))
    whole = len(order) // size * size
    return [(data.inputs[some], data.targets[some]) for some in order[:whole].split(size)]
