"""Data from the user's disk: MNIST's IDX files and NumPy's .npz."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import DataError
from evenflow.spec.data import Data
from evenflow.study.datasets.checks import checked_source
from evenflow.study.datasets.source import Source

# Type codes of the IDX format, as Y. LeCun's page of MNIST lists them; numbers are stored high byte first.
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")


def idx(data: Data) -> Source:
    """MNIST, Fashion-MNIST or data of that form: the four usual files in folder `data.path`, plain or .gz.

    Raises:
        DataError: the folder or a file is missing, a file is cut short or not IDX, or the arrays do not fit.
    """
    arrays = {path.name: read_idx(path) for path in _idx_files(data)}
    names = list(arrays)
    train, test = ({name: arrays[name] for name in pair} for pair in (names[:2], names[2:]))
    return checked_source(f'IDX files in "{Path(data.path or "").name}"', str(data.path), train, test)


def npz(data: Data) -> Source:
    """Arrays `x_train`, `y_train` and, if there, `x_test`, `y_test` (or `x`, `y`) from the file `data.path`.

    Raises:
        DataError: the file is missing or no .npz, an array is missing, or the arrays do not fit.
    """
    arrays = _npz_arrays(Path(data.path or ""))
    train = {name: arrays[name] for name in (_NPZ_NAMES[:2] if "x_train" in arrays else ("x", "y"))}
    test = {name: arrays[name] for name in _NPZ_NAMES[2:]} if "x_test" in arrays else None
    return checked_source(f'arrays of "{Path(data.path or "").name}"', str(data.path), train, test)


def files_read(data: Data) -> tuple[Path, ...]:
    """The files on the user's disk that a data set reads: none for most.

    Raises:
        DataError: a file is missing.
    """
    if data.name == "idx":
        return _idx_files(data)
    if data.name == "npz":
        return (_existing_file(Path(data.path or "")),)
    return ()


def read_idx(path: Path) -> NDArray:
    """One IDX file: two zero bytes, a type code, the number of axes, their lengths (4 bytes each), values.

    Raises:
        DataError: the file is cut short, too long, damaged, or not IDX.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    axes = content[3] if len(content) > 3 else 0
    if len(content) < 4 + 4 * axes or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES or not axes:
        raise DataError(f"{path}: not an IDX file: its first bytes are {content[:4].hex(' ') or 'missing'}")
    kind = np.dtype(_IDX_TYPES[content[2]])
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", count=axes, offset=4))
    found, promised = len(content) - 4 - 4 * axes, kind.itemsize * math.prod(shape)
    if found != promised:
        trouble = "it is cut short" if found < promised else "it is too long"
        raise DataError(
            f"{path}: its head promises shape {shape}, {promised} bytes, but {found} follow: {trouble}; "
            "fetch it again"
        )
    return np.frombuffer(content, kind, offset=4 + 4 * axes).reshape(shape)


def _idx_files(data: Data) -> tuple[Path, ...]:
    folder = Path(data.path or "")
    if not folder.is_dir():
        raise DataError(
            f'{folder}: no such folder; data set "idx" needs the folder of {", ".join(_IDX_NAMES)}'
        )
    return tuple(_idx_file(folder, name) for name in _IDX_NAMES)


def _idx_file(folder: Path, name: str) -> Path:
    for spelling in (name, name.replace("-idx", ".idx")):  # the second is how some mirrors write it
        for path in (folder / spelling, folder / f"{spelling}.gz"):
            if path.is_file():
                return path
    raise DataError(f'{folder}: no file {name} or {name}.gz; data set "idx" needs {", ".join(_IDX_NAMES)}')


def _npz_arrays(path: Path) -> dict[str, NDArray]:
    _existing_file(path)
    try:
        # An .npy or a pickle is no zip file; numpy would open the first and ask for trust in the second.
        if not zipfile.is_zipfile(path):
            raise DataError(
                f"{path}: not an .npz file; write it with numpy.savez(path, x_train=..., y_train=...)"
            )
        with np.load(path, allow_pickle=False) as archive:
            _check_npz_names(path, archive.files)
            return {name: archive[name] for name in archive.files if name in (*_NPZ_NAMES, "x", "y")}
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged or unreadable ({error}); write it again") from None
    except ValueError as error:
        trouble = "an array holds Python objects" if "pickle" in str(error) else f"damaged ({error})"
        raise DataError(f"{path}: {trouble}; write plain numbers with numpy.savez") from None


def _check_npz_names(path: Path, found: list[str]) -> None:
    held = set(found)
    whole = {"x_train", "y_train"} <= held if held & set(_NPZ_NAMES) else {"x", "y"} <= held
    if not whole or len(held & {"x_test", "y_test"}) == 1:
        raise DataError(
            f"{path}: holds {', '.join(found) or 'no array'}; it needs x_train and y_train, "
            "with x_test and y_test or without, or else x and y"
        )


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f'{path}: no such file; data set "npz" needs a file of numpy.savez')
    return path
