"""One-dimensional digits: small, fast to train, and harder for a plain network than MNIST.

The construction is that of S. Greydanus & D. Kobak, "Scaling down deep learning with MNIST-1D" (ICML 2024,
arXiv:2011.14439), section 2: a template of 12 points a class is padded, scaled, translated, disturbed by
correlated noise (in the padding), white noise and a shear, and subsampled to 40 points; the ranges are the
paper's. The templates here are our own drawings after the same idea (the outline of a digit, read from top to
bottom), so accuracies cannot be compared with published ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.spec.data import Data
from evenflow.study.datasets.source import Samples, Source, balanced_labels

LENGTH = 40
_POINTS = 12
_PADDING = (36, 60)
_MAX_TRANSLATION = 48
_SCALE_RANGE = 0.4
_SHEAR_RANGE = 0.75
_NOISE = 0.25
_WHITE_TO_CORRELATED = 0.08  # the paper's 0.02 over its 0.25, so that `noise` alone governs both
_SMOOTHING = 2.0
_SEED = 40

# Knots of each outline: place on the template, 0 to 1, and height; the curve is straight in between.
_OUTLINES = (
    ((0, 0), (0.15, 0.25), (0.4, 0.36), (0.6, 0.36), (0.85, 0.25), (1, 0)),
    ((0, 0), (0.1, -0.36), (0.2, -0.36), (0.8, 0.16), (0.9, 0), (1, 0)),
    ((0, 0), (0.15, 0.27), (0.3, 0.27), (0.5, 0), (0.75, -0.27), (0.85, -0.24), (1, 0)),
    ((0, 0), (0.15, 0.27), (0.3, 0.25), (0.5, 0), (0.7, 0.25), (0.85, 0.27), (1, 0)),
    ((0, 0), (0.4, -0.4), (0.48, -0.4), (0.55, 0), (1, 0)),
    ((0, 0), (0.08, -0.36), (0.35, -0.36), (0.5, 0.1), (0.65, 0.27), (0.8, 0.2), (0.92, -0.1), (1, 0)),
    ((0, 0), (0.15, -0.25), (0.4, -0.36), (0.6, -0.36), (0.85, -0.25), (1, 0)),
    ((0, 0), (0.1, 0.36), (0.2, 0.36), (0.8, -0.16), (0.9, 0), (1, 0)),
    ((0, 0), (0.15, -0.27), (0.3, -0.25), (0.5, 0), (0.7, -0.25), (0.85, -0.27), (1, 0)),
    ((0, 0), (0.15, -0.27), (0.3, -0.25), (0.45, 0), (0.75, 0), (0.9, -0.14), (1, 0)),
)


def mnist1d(data: Data) -> Source:
    """`data.samples` one-dimensional digits of 40 points, equally many of each of the `data.classes` (10).

    `data.noise` is the standard deviation of the correlated noise before smoothing (0.25); the white noise
    is 0.08 times as strong.

    Raises:
        SpecError: more than ten classes are asked for.
    """
    classes = 10 if data.classes is None else data.classes
    if classes > len(_OUTLINES):
        raise SpecError(f'classes = {classes}: data set "mnist1d" has 10 templates; give 2 to 10')
    noise = _NOISE if data.noise is None else data.noise
    labels = balanced_labels(data.samples, classes)
    signals = _signals(templates()[labels], noise, np.random.default_rng(_SEED))
    what = f"generated one-dimensional digits of {LENGTH} points (after Greydanus & Kobak 2020)"
    return Source(what, classes, Samples(signals.astype(np.float32), labels))


def templates() -> NDArray[np.float64]:
    """The undisturbed templates, an array of shape `(10, 12)`."""
    places = np.linspace(0, 1, _POINTS)
    knots = [np.array(outline, dtype=np.float64) for outline in _OUTLINES]
    return np.stack([np.interp(places, outline[:, 0], outline[:, 1]) for outline in knots])


def _signals(clean: NDArray[np.float64], noise: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Disturb templates of shape `(n, 12)` and subsample them to `(n, 40)`."""
    count = len(clean)
    length = _POINTS + rng.integers(_PADDING[0], _PADDING[1] + 1, size=count)[:, None]
    longest = _POINTS + _PADDING[1]
    padded = np.zeros((count, longest))
    padded[:, :_POINTS] = clean * (1 + _SCALE_RANGE * (rng.random((count, 1)) - 0.5))
    place = np.arange(longest)[None, :]
    shift = rng.integers(0, _MAX_TRANSLATION + 1, size=(count, 1))
    source = (place - shift) % length  # the signal is a ring: nothing falls off its ends
    signal = np.take_along_axis(padded, source, axis=1)
    signal += noise * (source >= _POINTS) * _smooth(rng.standard_normal((count, longest)))
    signal += noise * _WHITE_TO_CORRELATED * rng.standard_normal((count, longest))
    signal += _SHEAR_RANGE * (rng.random((count, 1)) - 0.5) * (place / (length - 1) - 0.5)
    return _subsample(signal, length)


def _smooth(white: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve every row with a Gaussian of standard deviation 2 points; the ends are mirrored."""
    reach = int(4 * _SMOOTHING)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTHING) ** 2)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(white, ((0, 0), (reach, reach)), mode="symmetric"), len(kernel), axis=1
    )
    return windows @ (kernel / kernel.sum())


def _subsample(signal: NDArray[np.float64], length: NDArray[np.int64]) -> NDArray[np.float64]:
    """Read the first `length` points of every row at 40 equally spaced places, linearly."""
    place = np.linspace(0, 1, LENGTH)[None, :] * (length - 1)
    below = np.minimum(place.astype(np.int64), length - 2)
    share = place - below
    left = np.take_along_axis(signal, below, axis=1)
    right = np.take_along_axis(signal, below + 1, axis=1)
    return (1 - share) * left + share * right
