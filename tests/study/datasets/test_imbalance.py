"""The long tail: sizes, the untouched test part, and the ratio that is too large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evenflow.errors import SpecError
from evenflow.spec.data import Data
from evenflow.study.data import load
from evenflow.study.datasets.imbalance import long_tail_sizes

OFFLINE = ("digits", "digits28", "mnist1d", "spirals", "blobs")
Refusal = Callable[..., str]


@pytest.mark.parametrize("name", OFFLINE)
def test_imbalance_makes_a_long_tail_in_the_training_part_only(name: str):
    even, tailed = load(Data(name=name)), load(Data(name=name, imbalance=20))
    sizes = np.bincount(tailed.train_labels)
    assert (np.diff(sizes) < 0).all()
    smallest = sizes[-1]
    assert abs(sizes[0] / smallest - 20) <= 20 * 0.5 / smallest
    steps = 20 ** (-np.arange(len(sizes)) / (len(sizes) - 1))
    np.testing.assert_allclose(sizes, sizes[0] * steps, atol=0.51)
    np.testing.assert_array_equal(tailed.test_labels, even.test_labels)
    assert len(tailed.train_labels) < len(even.train_labels)


def test_imbalance_keeps_samples_of_the_even_training_part():
    even, tailed = (load(Data(name="blobs", imbalance=ratio, standardise=False)) for ratio in (1, 5))
    assert set(map(tuple, tailed.train_inputs.tolist())) < set(map(tuple, even.train_inputs.tolist()))


def test_long_tail_of_uneven_classes_has_the_stated_ratio():
    assert long_tail_sizes(np.array([100, 1000]), 10).tolist() == [100, 10]
    assert long_tail_sizes(np.array([1000, 20]), 10).tolist() == [200, 20]


def test_imbalance_that_empties_a_class_is_refused(refusal: Refusal):
    text = refusal(Data(name="blobs", samples=100, imbalance=1000), SpecError)
    assert text == (
        'imbalance = 1000 leaves class 2 of data set "blobs" without a training sample; '
        "give at most 40, or more samples"
    )
    sizes = np.bincount(load(Data(name="blobs", samples=100, imbalance=40)).train_labels)
    assert sizes[3] == 1
    assert "leaves class 3" in refusal(Data(name="blobs", samples=100, imbalance=41), SpecError)


def test_imbalance_below_1_is_refused():
    with pytest.raises(SpecError, match=r"imbalance = 0\.5: it is largest class over smallest"):
        Data(imbalance=0.5)
