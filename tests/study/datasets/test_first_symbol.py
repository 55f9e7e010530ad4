"""Sequences whose class is the first symbol: what the class decides, and what it does not."""

import numpy as np
import pytest

from evenflow.spec.data import Data
from evenflow.study.data import load
from evenflow.study.datasets.first_symbol import first_symbol


def test_the_first_symbol_is_the_class_and_the_others_say_nothing():
    source = first_symbol(Data(name="first_symbol", samples=6000, length=6, classes=3))
    assert source.shape == (6, 3)
    symbols = source.train.inputs.reshape(-1, 6, 3)
    assert set(np.unique(symbols)) == {0.0, 1.0}
    assert (symbols.sum(axis=2) == 1).all()
    labels = source.train.labels
    assert (symbols[:, 0].argmax(axis=1) == labels).all()
    for step in range(1, 6):
        table = np.array(
            [np.bincount(symbols[labels == one, step].argmax(axis=1), minlength=3) for one in range(3)]
        )
        # χ² of independence has 4 degrees of freedom: 30 is beyond one in 10⁵
        assert (((table - 2000 / 3) ** 2) / (2000 / 3)).sum() < 30


def test_noise_has_the_deviation_asked_for_and_samples_stay_the_same():
    noisy = first_symbol(Data(name="first_symbol", samples=4000, noise=0.3)).train.inputs
    clean = first_symbol(Data(name="first_symbol", samples=4000)).train.inputs
    assert (noisy - clean).std() == pytest.approx(0.3, rel=0.01)
    assert load(Data(name="first_symbol", samples=100)).shape == (20, 4)


@pytest.mark.parametrize(
    ("name", "shape"), [("digits", (8, 8)), ("digits28", (28, 28)), ("mnist1d", (40,)), ("blobs", (2,))]
)
def test_a_data_set_knows_the_shape_of_its_samples(name, shape):
    data = load(Data(name=name, samples=200))
    assert data.shape == shape
    assert data.train_inputs.shape[1] == np.prod(shape)


def test_arrays_from_the_disk_keep_their_shape(tmp_path):
    labels = np.arange(40) % 2
    np.savez(tmp_path / "colour.npz", x=np.random.default_rng(0).random((40, 4, 5, 3)), y=labels)
    assert load(Data(name="npz", path=str(tmp_path / "colour.npz"))).shape == (4, 5, 3)
