"""Arrays from .npz files: what is read, and one line for everything that cannot be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenflow.spec.data import Data
from evenflow.study.data import digest, load

Refusal = Callable[..., str]
Save = Callable[..., Data]


def test_npz_with_its_own_split(save: Save):
    inputs = np.arange(24.0).reshape(6, 2, 2)
    data = load(save(x_train=inputs[:4], y_train=[0, 1, 0, 1], x_test=inputs[4:], y_test=[1, 0]))
    assert data.train_inputs.shape == (4, 4)
    assert data.test_labels.tolist() == [1, 0]
    assert "the data's own split" in data.description


@pytest.mark.parametrize("pair", [("x", "y"), ("x_train", "y_train")])
def test_npz_without_a_split_is_split(pair: tuple[str, str], save: Save):
    inputs, labels = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    data = load(save(**dict(zip(pair, (inputs, labels), strict=True))))
    assert (len(data.train_labels), len(data.test_labels)) == (16, 4)


def test_constant_features_become_0(save: Save):
    train = np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 2.0], [0.1, 6.0]])
    path = save(x_train=train, y_train=[0, 1, 0, 1], x_test=train + 5, y_test=[0, 1, 0, 1])
    data = load(path)
    assert not data.train_inputs[:, 0].any()
    assert not data.test_inputs[:, 0].any()
    np.testing.assert_allclose(data.train_inputs[:, 1], (train[:, 1] - 3) / np.sqrt(3.5), rtol=1e-6)


def test_labels_with_gaps_are_renumbered_and_the_description_says_so(save: Save):
    data = load(save(x=np.eye(8), y=[-1.0, 7, -1, 7, -1, 7, -1, 7]))
    assert data.classes == 2
    assert sorted(np.concatenate([data.train_labels, data.test_labels]).tolist()) == [0] * 4 + [1] * 4
    assert "(labels -1, 7 renumbered from 0)" in data.description


BAD_ARRAYS = {
    "nan": (
        {"x": [[0, 1], [np.nan, 2], [3, np.inf]], "y": [0, 1, 0]},
        "x: 2 values are NaN or Inf, the first at [1, 0] (nan); repair these values or leave their samples",
    ),
    "one inf": (
        {"x": [[0, -np.inf], [1, 2]], "y": [0, 1]},
        "x: 1 value is NaN or Inf, the first at [0, 1] (-inf)",
    ),
    "overflow": (
        {"x": [[0, 1e300], [1, 2]], "y": [0, 1]},
        "x: 1 value overflows float32, the first at [0, 1] (1e+300)",
    ),
    "lengths": (
        {"x": np.eye(3), "y": [0, 1]},
        "x has 3 samples but y has 2; both need one entry a sample, in the same order",
    ),
    "flat": ({"x": [1.0, 2], "y": [0, 1]}, "x: has shape (2,); it needs (samples, features) or"),
    "empty": (
        {"x": np.zeros((0, 3)), "y": [0]},
        "x: has shape (0, 3), so it is empty; at least 1 sample is needed",
    ),
    "no labels": (
        {"x": np.eye(2), "y": []},
        "y: has shape (0,), so it is empty; at least 1 sample is needed",
    ),
    "words": ({"x": [["a"], ["b"]], "y": [0, 1]}, "x: holds <U1; inputs are real numbers"),
    "one class": (
        {"x": np.eye(3), "y": [4, 4, 4]},
        "y: every label is 4; a classification needs at least 2 classes",
    ),
    "fraction": (
        {"x": np.eye(3), "y": [0, 0.5, 1]},
        "y: 1 of 3 labels are not whole numbers, the first at [1] (0.5); a label is the number of a class",
    ),
    "nan label": (
        {"x": np.eye(2), "y": [0, np.nan]},
        "the first at [1] (nan); a label is the number of a class",
    ),
    "word labels": ({"x": np.eye(2), "y": ["cat", "dog"]}, "y: holds <U3; labels are whole numbers, as in"),
    "one-hot": (
        {"x": np.eye(2), "y": np.eye(2)},
        "y: has shape (2, 2); it needs (samples,), one whole number a sample; for one-hot labels, save",
    ),
    "features": (
        {"x_train": np.eye(2), "y_train": [0, 1], "x_test": np.eye(3)[:2], "y_test": [0, 1]},
        "x_train has 2 features a sample but x_test has 3; both need the same",
    ),
    "unseen class": (
        {"x_train": np.eye(2), "y_train": [0, 1], "x_test": np.eye(2), "y_test": [1, 2]},
        "y_test holds labels that y_train does not (2); a network cannot learn a class without samples",
    ),
    "untested class": (
        {"x_train": np.eye(2), "y_train": [0, 1], "x_test": np.eye(2)[:1], "y_test": [1]},
        "y_test has no sample of labels that y_train holds (0); the recall of a class needs at least 1 test",
    ),
    "names": (
        {"a": [1], "b": [2]},
        "holds a, b; it needs x_train and y_train, with x_test and y_test or without",
    ),
    "half a test": (
        {"x_train": np.eye(2), "y_train": [0, 1], "x_test": np.eye(2)},
        "holds x_train, y_train, x_test; it needs x_train and y_train, with x_test and y_test or without",
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused_by_name_and_place(tmp_path: Path, case: str, refusal: Refusal, save: Save):
    parts, expected = BAD_ARRAYS[case]
    text = refusal(save(**parts))
    assert text.startswith(str(tmp_path / "data.npz"))
    assert expected in text


def test_missing_npz(tmp_path: Path, refusal: Refusal):
    path = tmp_path / "none.npz"
    text = refusal(Data(name="npz", path=str(path)))
    assert text == f'{path}: no such file; data set "npz" needs a file of numpy.savez'


def test_a_file_that_is_no_npz(tmp_path: Path, refusal: Refusal):
    path = tmp_path / "data.npz"
    np.save(tmp_path / "x.npy", np.eye(2))
    for content in (b"", b"a,b\n1,2\n", (tmp_path / "x.npy").read_bytes()):
        path.write_bytes(content)
        text = refusal(Data(name="npz", path=str(path)))
        assert text == f"{path}: not an .npz file; write it with numpy.savez(path, x_train=..., y_train=...)"


def test_an_npz_cut_short_or_damaged(tmp_path: Path, refusal: Refusal, save: Save):
    path = tmp_path / "data.npz"
    data = save(x=np.eye(200), y=np.arange(200) % 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(data).startswith(f"{path}: not an .npz file")
    path.write_bytes(whole[:5000] + b"\xff" * 64 + whole[5064:])
    assert refusal(data).startswith(f"{path}: damaged or unreadable (Bad CRC-32")


def test_an_npz_of_python_objects(refusal: Refusal, save: Save):
    text = refusal(save(x=np.array([None, {}]), y=[0, 1]))
    assert text.endswith("data.npz: an array holds Python objects; write plain numbers with numpy.savez")


def test_digest_follows_the_content(save: Save):
    assert digest(Data(name="digits")) == ""
    data = save(x=np.eye(4), y=[0, 1, 0, 1])
    before = digest(data)
    assert re.fullmatch("[0-9a-f]{12}", before)
    assert digest(data) == before
    save(x=2 * np.eye(4), y=[0, 1, 0, 1])
    assert digest(data) != before


def test_large_data_are_standardised_in_pieces_as_in_one(save: Save):
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(5, 3, (10_000, 3)), np.arange(10_000) % 2
    data = load(save(x_train=inputs, y_train=labels, x_test=inputs, y_test=labels))
    expected = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    np.testing.assert_allclose(data.train_inputs, expected, atol=1e-5)
    np.testing.assert_array_equal(data.train_inputs, data.test_inputs)
