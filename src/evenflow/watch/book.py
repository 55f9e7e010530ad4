"""The store of a watched script, as one of its runs sees it: opened late, never in the way of the training."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from evenflow.errors import StoreError
from evenflow.record.store import Store
from evenflow.record.table import Table


def free_key(store: Store, name: str) -> str:
    """`name`, or name-2, name-3, … where the store has runs of this name."""
    known = {run.key for run in store.runs()}
    key, number = name, 1
    while key in known:
        number += 1
        key = f"{name}-{number}"
    return key


class Shelf:
    """The file that all runs of a script share; nothing is made on disk before the first rows.

    Args:
        path: where the store is, or will be.
        say: takes a line about a store that cannot be written; the script goes on without.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self.failed = False
        self._say = say
        self._process = os.getpid()
        self._store: Store | None = None

    def open(self) -> Store:
        """The store, opened once.

        Raises:
            StoreError: what is there is no store, or cannot be written.
        """
        if self._store is None:
            self._store = Store.open(self.path, "a")
        return self._store

    def begin(self, name: str) -> tuple[str, int]:
        """A free key, `name` or name-2, name-3, …, and the number of its run.

        Raises:
            StoreError: the store cannot be written.
        """
        store = self.open()
        key = free_key(store, name)
        return key, store.begin(key, 0, {})

    def extend(self, run: int, table: Table) -> None:
        """Rows of a run."""
        self.open().extend(run, table)

    def finish(self, run: int, status: str, facts: Mapping[str, object]) -> None:
        """The last status of a run."""
        with self.guarded():
            self.open().finish(run, status, facts)

    def close(self) -> None:
        """Close the file, if it was opened and this is the process that did it."""
        if self._store is not None and self._process == os.getpid():
            self._store.close()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let a store that fails be, after one line about it; Ctrl-C waits until it is written."""
        try:
            with _undisturbed():
                yield
        except StoreError as error:
            self.failed = True
            self._say(f"{error}; the script goes on, and nothing more is written")

    @property
    def usable(self) -> bool:
        """False after a failure, and in a process that the script has forked."""
        return not self.failed and self._process == os.getpid()


class Book(Store):
    """What a probe is given for its store: takes the rows of one run, under the first key that is free."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self.path = shelf.path
        self.mode = "a"
        self.key = name
        self.number: int | None = None
        """Of the run in the store; None as long as nothing was written."""
        self._shelf = shelf

    # The arguments are those of Store; which run it is, the book knows.

    def begin(self, key: str, seed: int, fields: Mapping[str, object], source: str = "measured") -> int:  # noqa: ARG002
        """The store is asked when the first rows come."""
        return 0

    def extend(self, run: int, table: Table) -> None:  # noqa: ARG002
        """Write rows away, if that can be done."""
        if self._shelf.usable:
            with self._shelf.guarded():
                if self.number is None:
                    self.key, self.number = self._shelf.begin(self.key)
                self._shelf.extend(self.number, table)

    def finish(
        self,
        run: int,
        status: str = "finished",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """The probe is through with its run; how that ended is said by who watches."""

    def close_with(self, status: str, facts: Mapping[str, object]) -> None:
        """Set the last status of the run, if there is one."""
        if self.number is not None and self._shelf.usable:
            self._shelf.finish(self.number, status, facts)

    def __repr__(self) -> str:
        return f"Book({str(self.path)!r}, {self.key!r})"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C, which would cut a transaction in two; it comes through at the end."""
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # ignored, or not Python's to handle
        yield
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            signal.raise_signal(signal.SIGINT)
