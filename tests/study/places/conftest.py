import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from study.places.started import LONG, SPECIFICATION, Start


@pytest.fixture
def specification(tmp_path: Path) -> Callable[[int], Path]:
    """Write a study of so many steps."""

    def write(steps: int) -> Path:
        path = tmp_path / f"{steps}.toml"
        path.write_text(SPECIFICATION.format(steps=steps))
        return path

    return write


@pytest.fixture
def start(tmp_path: Path, specification: Callable[[int], Path]) -> Iterator[Start]:
    """Start `evenflow study` in a process group of its own."""
    started: list[subprocess.Popen] = []

    def begin(folder: str, *options: str, steps: int = LONG, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "evenflow",
                "study",
                specification(steps),
                "--out",
                tmp_path / folder,
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
