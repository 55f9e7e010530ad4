import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from study.places.started import LONG, Start, write


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `evenflow study` in a process group of its own."""
    started: list[subprocess.Popen] = []

    def begin(folder: str, *options: str, steps: int = LONG, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "evenflow",
                "study",
                write(tmp_path, steps),
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
