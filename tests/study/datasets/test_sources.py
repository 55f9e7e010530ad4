"""What the data sets that need no file hold, against independent sources and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evenflow.errors import SpecError
from evenflow.spec.data import Data
from evenflow.study.data import load
from evenflow.study.datasets.digits import upsample
from evenflow.study.datasets.mnist1d import templates

Refusal = Callable[..., str]


def test_raw_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    ours = load(Data(name="digits", standardise=False))
    pixels, labels = load_digits(return_X_y=True)
    assert ours.train_inputs.max() == 16
    assert ours.train_inputs.min() == 0
    held = {(*row, label) for row, label in zip(pixels.tolist(), labels.tolist(), strict=True)}
    both = np.concatenate([ours.train_inputs, ours.test_inputs]).tolist()
    answers = np.concatenate([ours.train_labels, ours.test_labels]).tolist()
    assert len(both) == 1797
    assert {(*row, label) for row, label in zip(both, answers, strict=True)} == held


def test_upsampling_equals_that_of_torch():
    import torch

    images = np.random.default_rng(0).uniform(0, 16, (5, 8, 8))
    theirs = torch.nn.functional.interpolate(
        torch.tensor(images)[:, None], size=(28, 28), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(upsample(images, 28), theirs[:, 0].numpy(), atol=1e-12)


def test_upsampling_to_the_same_size_changes_nothing():
    images = np.random.default_rng(0).uniform(0, 16, (2, 8, 8))
    np.testing.assert_array_equal(upsample(images, 8), images)


def test_mnist1d_has_the_published_form():
    data = load(Data(name="mnist1d"))
    assert data.train_inputs.shape == (4000, 40)
    assert data.test_inputs.shape == (1000, 40)
    assert np.bincount(data.train_labels).tolist() == [400] * 10


def test_templates_of_mnist1d_differ_from_one_another():
    shapes = templates()
    assert shapes.shape == (10, 12)
    distances = np.abs(shapes[:, None] - shapes[None]).max(axis=2) + np.eye(10)
    assert distances.min() > 0.1
    assert np.abs(shapes[:, [0, -1]]).max() == 0  # so that the padding joins without a step


def test_noise_of_mnist1d_grows_with_the_field():
    quiet, loud = (load(Data(name="mnist1d", noise=noise, standardise=False)) for noise in (0.0, 0.5))
    roughness = [np.abs(np.diff(data.train_inputs, n=2, axis=1)).mean() for data in (quiet, loud)]
    assert roughness[1] > 2 * roughness[0]
    # Without noise only the shear is left in the padding: straight, so most second differences are 0.
    assert np.median(np.abs(np.diff(quiet.train_inputs, n=2, axis=1))) < 1e-6


def test_spirals_lie_on_their_arms():
    data = load(Data(name="spirals", samples=600, noise=0.0, classes=2, standardise=False))
    radius = np.hypot(*data.train_inputs.T)
    angle = np.arctan2(data.train_inputs[:, 1], data.train_inputs[:, 0])
    off = np.exp(1j * (angle - 2 * np.pi * (radius + data.train_labels / 2)))
    np.testing.assert_allclose(off, 1, atol=1e-5)


def test_blobs_have_the_stated_centres_and_deviation():
    data = load(Data(name="blobs", samples=20000, noise=0.3, standardise=False))
    for label, centre in enumerate([(2, 0), (0, 2), (-2, 0), (0, -2)]):
        points = data.train_inputs[data.train_labels == label]
        np.testing.assert_allclose(points.mean(axis=0), centre, atol=4 * 0.3 / np.sqrt(4000))
        np.testing.assert_allclose(points.std(axis=0), 0.3, atol=0.02)


def test_too_many_classes_of_mnist1d(refusal: Refusal):
    text = refusal(Data(name="mnist1d", classes=11), SpecError)
    assert text == 'classes = 11: data set "mnist1d" has 10 templates; give 2 to 10'


def test_too_few_samples_to_split(refusal: Refusal):
    text = refusal(Data(name="spirals", samples=4))
    assert text == (
        'data set "spirals": class 1 has 1 sample; a split needs 1 for the training and 1 for the test; '
        "give more samples"
    )
