"""Loading: shapes, the fixed split, standardisation, the description."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from evenflow.errors import SpecError
from evenflow.spec.data import DATA_SETS, Data
from evenflow.study.data import DataSet, load, names

OFFLINE = ("digits", "digits28", "mnist1d", "spirals", "blobs", "first_symbol")
SHAPES = {
    "digits": (64, 10),
    "digits28": (784, 10),
    "mnist1d": (40, 10),
    "spirals": (2, 3),
    "blobs": (2, 4),
    "first_symbol": (80, 4),
}


def arrays(data: DataSet) -> tuple[np.ndarray, ...]:
    return data.train_inputs, data.train_labels, data.test_inputs, data.test_labels


@pytest.fixture(scope="module", params=OFFLINE)
def loaded(request: pytest.FixtureRequest) -> DataSet:
    return load(Data(name=request.param))


def test_names_are_those_of_the_specification():
    assert names() == tuple(DATA_SETS)
    assert names() == (*OFFLINE, "idx", "npz")


def test_shapes_types_and_classes(loaded: DataSet):
    features, classes = SHAPES[loaded.name]
    for inputs, labels in (arrays(loaded)[:2], arrays(loaded)[2:]):
        assert inputs.dtype == np.float32
        assert labels.dtype == np.int64
        assert inputs.shape == (len(labels), features)
        assert np.isfinite(inputs).all()
        assert np.unique(labels).tolist() == list(range(classes))
    assert loaded.classes == classes


def test_the_same_call_gives_the_same_bits(loaded: DataSet):
    again = load(Data(name=loaded.name))
    for one, other in zip(arrays(loaded), arrays(again), strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_split_does_not_follow_the_global_seed():
    np.random.seed(1)
    one = load(Data(name="blobs", samples=200))
    np.random.seed(2)
    other = load(Data(name="blobs", samples=200))
    assert one.train_inputs.tobytes() == other.train_inputs.tobytes()


def test_standardised_training_part_has_mean_0_and_deviation_1(loaded: DataSet):
    inputs = loaded.train_inputs.astype(np.float64)
    varies = inputs.min(axis=0) < inputs.max(axis=0)
    assert np.abs(inputs.mean(axis=0)).max() < 1e-5
    assert np.abs(inputs.std(axis=0)[varies] - 1).max() < 1e-5
    assert varies.mean() > 0.9


def test_the_test_part_is_scaled_by_the_training_part():
    raw, scaled = (load(Data(name="blobs", standardise=switch)) for switch in (False, True))
    wide = raw.train_inputs.astype(np.float64)
    expected = (raw.test_inputs - wide.mean(axis=0)) / wide.std(axis=0)
    np.testing.assert_allclose(scaled.test_inputs, expected, atol=1e-6)
    assert np.abs(scaled.test_inputs.astype(np.float64).mean(axis=0)).max() > 1e-4  # not by its own mean


def test_the_split_is_stratified_and_shuffled(loaded: DataSet):
    train, test = (np.bincount(labels) for labels in (loaded.train_labels, loaded.test_labels))
    np.testing.assert_allclose(test / (train + test), 0.2, atol=0.005)
    first = loaded.train_labels[:100]
    assert np.count_nonzero(np.diff(first)) > 50


def test_no_sample_stands_on_both_sides_of_the_split():
    data = load(Data(name="spirals", standardise=False))
    train = set(map(tuple, data.train_inputs.tolist()))
    assert len(train) == len(data.train_inputs)
    assert not train & set(map(tuple, data.test_inputs.tolist()))


def test_test_fraction_is_kept():
    data = load(Data(name="blobs", samples=1000, test_fraction=0.4))
    assert (len(data.train_labels), len(data.test_labels)) == (600, 400)


def test_description_says_what_how_many_and_how():
    assert load(Data(name="blobs", samples=100)).description == (
        "4 generated Gaussian blobs: 80 training and 20 test samples (fixed stratified split), 2 features, "
        "4 classes; inputs standardised with the training part."
    )
    raw = load(Data(name="digits", standardise=False, imbalance=10)).description
    assert raw.startswith("scikit-learn's handwritten digits, 8 × 8 pixels: ")
    assert "imbalance 10" in raw
    assert raw.endswith("inputs as they are.")


def test_loading_needs_no_torch():
    code = (
        "import sys; from evenflow.spec.data import Data; from evenflow.study.data import load; "
        "load(Data(name='mnist1d', samples=100)); print('torch' in sys.modules, 'sklearn' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]


def test_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(SpecError, match='data set "digts" is not known; did you mean "digits"'):
        Data(name="digts")
