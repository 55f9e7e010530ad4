"""One writer at a time: the process that drives the work on a store holds this lock.

Readers and the worker processes of that driver do not take it; SQLite keeps them apart. The operating system
lets go of the lock when the process ends, however it ends. The holder's number stands in a file of its own,
because some versions of `filelock` empty the lock file when they try to open it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

from evenflow.errors import StoreError


@contextmanager
def lock(path: str | PathLike[str]) -> Iterator[None]:
    """Hold the store at `path` (which need not exist yet) against other drivers.

    Raises:
        StoreError: another process holds it, or no lock file can be made.
    """
    from filelock import FileLock, Timeout

    path = Path(path)
    holder = path.with_name(path.name + ".pid")
    guard = FileLock(path.with_name(path.name + ".lock"), timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        guard.acquire()
    except Timeout:
        raise StoreError(
            f"store {path} is in use by {_holder(holder)}; wait for it or end it, or choose another path"
        ) from None
    except OSError as error:
        raise StoreError(
            f"store {path} cannot be locked ({error.strerror}); choose a path in a directory that you can write to"
        ) from error
    try:
        with suppress(OSError):  # a full disk: the lock holds all the same
            holder.write_text(str(os.getpid()))
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        guard.release()


def _holder(path: Path) -> str:
    try:
        number = int(path.read_text())
    except (OSError, ValueError):
        return "another process"
    return "this very process" if number == os.getpid() else f"process {number}"
