"""IDX files, MNIST's own format: what is read, and one line for everything that cannot be."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenflow.spec.data import Data
from evenflow.study.data import digest, load

Refusal = Callable[..., str]


def write_idx(path: Path, values: np.ndarray) -> None:
    codes = {"uint8": 0x08, "int16": 0x0B, "float32": 0x0D}
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, codes[values.dtype.name], values.ndim, *values.shape)
    content = head + values.astype(values.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        images = rng.integers(0, 256, size=(count, 28, 28)).astype(np.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def test_idx_files_plain_and_compressed(idx_folder: Path):
    data = load(Data(name="idx", path=str(idx_folder), standardise=False))
    assert data.train_inputs.shape == (30, 784)
    assert data.test_inputs.shape == (10, 784)
    expected = np.random.default_rng(0).integers(0, 256, size=(30, 28, 28)).reshape(30, 784)
    np.testing.assert_array_equal(data.train_inputs, expected)
    assert data.train_labels.tolist() == [number % 10 for number in range(30)]
    assert data.description.startswith(f'IDX files in "{idx_folder.name}": 30 training and 10 test samples')


def test_idx_of_wider_numbers_is_read_high_byte_first(idx_folder: Path):
    images = (np.arange(120, dtype=np.int16) * 200 - 9000).reshape(30, 2, 2)
    write_idx(idx_folder / "train-images-idx3-ubyte", images)
    write_idx(idx_folder / "t10k-images-idx3-ubyte", images[:10])
    data = load(Data(name="idx", path=str(idx_folder), standardise=False))
    np.testing.assert_array_equal(data.train_inputs, images.reshape(30, 4))


def test_idx_names_with_a_dot(idx_folder: Path):
    (idx_folder / "train-images-idx3-ubyte").rename(idx_folder / "train-images.idx3-ubyte")
    assert len(load(Data(name="idx", path=str(idx_folder))).train_labels) == 30


def test_missing_idx_folder_and_file(idx_folder: Path, refusal: Refusal):
    text = refusal(Data(name="idx", path=str(idx_folder / "none")))
    assert text.startswith(
        f'{idx_folder / "none"}: no such folder; data set "idx" needs the folder of train-images'
    )
    (idx_folder / "t10k-images-idx3-ubyte").unlink()
    text = refusal(Data(name="idx", path=str(idx_folder)))
    assert f"{idx_folder}: no file t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz" in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda whole: whole[:-10], "23520 bytes, but 23510 follow: it is cut short; fetch it again"),
        (lambda whole: whole + b"abc", "23520 bytes, but 23523 follow: it is too long; fetch it again"),
        (lambda whole: whole[:9], "not an IDX file: its first bytes are 00 00 08 03"),
        (lambda _: b"", "not an IDX file: its first bytes are missing"),
        (lambda _: b"\x89PNG....", "not an IDX file: its first bytes are 89 50 4e 47"),
        (lambda whole: whole[:2] + b"\x07" + whole[3:], "not an IDX file: its first bytes are 00 00 07 03"),
    ],
)
def test_damaged_idx(idx_folder: Path, change, expected: str, refusal: Refusal):
    path = idx_folder / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    text = refusal(Data(name="idx", path=str(idx_folder)))
    assert text.startswith(f"{path}: ")
    assert expected in text


def test_compressed_idx_cut_short(idx_folder: Path, refusal: Refusal):
    path = idx_folder / "train-labels-idx1-ubyte.gz"
    for content in (path.read_bytes()[:-12], b"no gzip"):
        path.write_bytes(content)
        assert refusal(Data(name="idx", path=str(idx_folder))).startswith(f"{path}: not a whole gzip file (")


def test_idx_lengths_differ(idx_folder: Path, refusal: Refusal):
    write_idx(idx_folder / "train-labels-idx1-ubyte.gz", np.zeros(29, dtype=np.uint8))
    text = refusal(Data(name="idx", path=str(idx_folder)))
    assert "train-images-idx3-ubyte has 30 samples but train-labels-idx1-ubyte.gz has 29" in text


def test_digest_follows_the_content(idx_folder: Path):
    data = Data(name="idx", path=str(idx_folder))
    before = digest(data)
    assert digest(data) == before
    write_idx(idx_folder / "t10k-labels-idx1-ubyte.gz", np.arange(10, dtype=np.uint8)[::-1])
    assert digest(data) != before
