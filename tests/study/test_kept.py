"""Compiled programs on disk: found again, bounded, and never in the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

from evenflow.study.engines.compiled import kept

TRAIN = """
import sys, warnings
from pathlib import Path
from evenflow.study.engines.start import one_thread
one_thread()
import jax
from jax import numpy as jnp
from evenflow.study.engines.compiled import kept
kept._LEAST_SECONDS = 0.0
warnings.simplefilter("error")
kept.keep_programs()
found = jax.jit(lambda z: jnp.tanh(z @ z).sum())(jnp.eye(8) * float(sys.argv[1]))
print(float(found).hex())
"""


def run(home: Path, number: str = "2") -> str:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, number],
        env=os.environ | {"XDG_CACHE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Error" not in done.stderr
    return done.stdout


def test_programs_are_kept_and_found_and_compiled_where_the_file_is_damaged(tmp_path: Path) -> None:
    first = run(tmp_path)
    files = [file for file in tmp_path.rglob("*lambda*") if file.is_file()]
    assert len(files) == 1
    before = files[0].stat().st_mtime_ns
    assert run(tmp_path) == first
    assert files[0].stat().st_mtime_ns == before
    files[0].write_bytes(files[0].read_bytes()[:40])  # killed while it was written
    assert run(tmp_path) == first


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    (tmp_path / "evenflow").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept.keep_programs()
    assert jax.config.jax_compilation_cache_dir is None  # pyright: ignore[reportAttributeAccessIssue]


def test_the_oldest_are_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (100 - age, 100 - age))
    monkeypatch.setattr(kept, "_MOST_BYTES", 20)
    kept._bound(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"a", "b"}


@pytest.mark.skipif(sys.platform != "linux", reason="the places of Linux")
def test_the_folder_is_where_the_system_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept.cache_folder() == tmp_path / "evenflow"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kept.cache_folder() == tmp_path / ".cache" / "evenflow"
