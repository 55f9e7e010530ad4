"""What a job of Slurm does: a task from the shared folder, whose messages it writes there."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from evenflow.study.places.frames import framed

ALIVE = "alive"
"""File with a number that the driver changes while it lives."""
WHY = ".why"
"""Ending of the file in which a job that Slurm ends says so."""

_SECONDS_BETWEEN_MESSAGES = 2.0
_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_BETWEEN_SIGNS_OF_LIFE = 60.0
_SECONDS_WITHOUT_DRIVER = 300.0

_NOTHING = pickle.dumps([])
_writing = threading.Lock()


@dataclass(frozen=True)
class Job:
    """A call without arguments, as submitit wants it.

    Args:
        folder: that the driver sees too.
        number: of the task.
    """

    folder: str
    number: int

    def __call__(self) -> None:
        """Do the task."""
        from evenflow.study.places.worker import work

        folder, path = Path(self.folder), self._file()
        threading.Thread(target=_watch_driver, args=(folder, path), daemon=True).start()
        for each in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            # the driver hands the rest out again, which is further than the beginning of this job
            signal.signal(each, lambda *_: self._asked_to_end())
        content = (folder / f"task-{self.number}").read_bytes()
        for messages in work(content, lambda name: (folder / name).read_bytes(), _SECONDS_BETWEEN_MESSAGES):
            _append(path, messages)
        _append(path, b"")

    def _file(self) -> Path:
        """A new file; a job that Slurm begins anew does not go on in the old one."""
        for attempt in itertools.count():
            path = Path(self.folder, f"task-{self.number}.{attempt:04d}")
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                continue
            return path
        raise AssertionError

    def _asked_to_end(self) -> None:
        Path(self.folder, f"task-{self.number}{WHY}").write_text(
            "Slurm ended it, at its time limit or for another job"
        )
        os._exit(1)


def _append(path: Path, messages: bytes) -> None:
    # closed each time: only then does a network file system hand on what is written
    with _writing, path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(framed(messages))


def _watch_driver(folder: Path, path: Path) -> None:
    """Say that this process lives; end it when its folder is gone, or the driver gives no sign of life."""
    seen, since, said = "", time.monotonic(), time.monotonic()
    while True:
        try:
            number = (folder / ALIVE).read_text()
        except FileNotFoundError:
            os._exit(1)
        except OSError:  # the file system hesitates
            number = seen
        now = time.monotonic()
        if number != seen:
            seen, since = number, now
        elif now - since > _SECONDS_WITHOUT_DRIVER:
            os._exit(1)
        if now - said > _SECONDS_BETWEEN_SIGNS_OF_LIFE:
            said = now
            with contextlib.suppress(OSError):
                _append(path, _NOTHING)
        time.sleep(_SECONDS_BETWEEN_LOOKS)
