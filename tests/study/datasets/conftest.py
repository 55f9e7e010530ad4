"""Loading what must be refused, and files of the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenflow.errors import DataError
from evenflow.spec.data import Data
from evenflow.study.data import load

Refusal = Callable[..., str]
Save = Callable[..., Data]


@pytest.fixture
def refusal() -> Refusal:
    """Load what must be refused; the one line that says why."""

    def load_and_fail(data: Data, kind: type[Exception] = DataError) -> str:
        with pytest.raises(kind) as caught:
            load(data)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return load_and_fail


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write arrays to one .npz file; the data set that reads it."""

    def write(**parts: object) -> Data:
        path = tmp_path / "data.npz"
        np.savez(path, **{name: np.asarray(part) for name, part in parts.items()})  # type: ignore[arg-type]
        return Data(name="npz", path=str(path))

    return write
