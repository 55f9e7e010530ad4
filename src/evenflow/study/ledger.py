"""Where a training is written: the store itself, or on another machine a relay to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from evenflow.record.axes import Run
from evenflow.record.writing import Row


class Ledger(Protocol):
    """The part of `evenflow.record.store.Store` that a training needs; it says what each does."""

    def begin(self, key: str, seed: int, fields: Mapping[str, object]) -> int:
        """The number of a run."""
        ...

    def runs(self, keys: Collection[str]) -> tuple[Run, ...]:
        """How far the runs are."""
        ...

    def checkpoint(self, run: int) -> tuple[int, bytes] | None:
        """The last snapshot of a run, and its step."""
        ...

    def at_once(self) -> AbstractContextManager[None]:
        """What is written inside belongs together."""
        ...

    def append(
        self,
        run: int,
        step: int,
        rows: Iterable[Row],
        *,
        checkpoint: bytes | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Record one step."""
        ...

    def update(
        self, run: int, *, status: str | None = None, facts: Mapping[str, object] | None = None
    ) -> None:
        """Set the status of a run, add to its facts."""
        ...

    def finish(self, run: int, status: str = "finished", facts: Mapping[str, object] | None = None) -> None:
        """Set the last status of a run."""
        ...
