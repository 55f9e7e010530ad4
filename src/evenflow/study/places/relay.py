"""What a worker on another machine writes into: calls of the store, kept until they are sent to it."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from evenflow.record.axes import Run
from evenflow.record.store import Store
from evenflow.record.writing import Row
from evenflow.study.ledger import Ledger

Message = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A name, such as that of a method of the store, and its arguments."""

_OF_THE_STORE = ("append", "update", "finish")


class Known(NamedTuple):
    """How far a cell is in the store of the driver.

    Args:
        number: of its run.
        run: the run.
        checkpoint: its last snapshot.
    """

    number: int
    run: Run
    checkpoint: tuple[int, bytes] | None


class Relay:
    """A `Ledger` that knows the cells of one task.

    Joules are left out: the counter belongs to the whole machine, and who else works there is not known.
    """

    def __init__(self, known: Mapping[str, Known]) -> None:
        self.known = known
        self.messages: list[Message] = []
        self._last = -math.inf

    def begin(self, key: str, seed: int, fields: Mapping[str, object]) -> int:
        """The number that the run has in the store of the driver."""
        del seed, fields  # it has them
        return self.known[key].number

    def runs(self, keys: Collection[str]) -> tuple[Run, ...]:
        """The runs as they were when the task was handed out."""
        return tuple(self.known[key].run for key in keys)

    def checkpoint(self, run: int) -> tuple[int, bytes] | None:
        """The last snapshot that the store of the driver had."""
        return next(one.checkpoint for one in self.known.values() if one.number == run)

    def at_once(self) -> AbstractContextManager[None]:
        """What is written inside belongs together: nothing to do here, as it is sent together."""
        return nullcontext()

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
        self._call("append", run, step, list(rows), checkpoint=checkpoint, facts=_told(facts))

    def update(
        self, run: int, *, status: str | None = None, facts: Mapping[str, object] | None = None
    ) -> None:
        """Set the status of a run, add to its facts."""
        self._call("update", run, status=status, facts=_told(facts))

    def finish(self, run: int, status: str = "finished", facts: Mapping[str, object] | None = None) -> None:
        """Set the last status of a run, and note which machine it was trained on."""
        self._call("finish", run, status, {**(_told(facts) or {}), "host": socket.gethostname()})

    def taken(self, seconds: float = 0) -> list[Message]:
        """The calls since this last gave any; none sooner than `seconds` after that, the first at once."""
        now = time.monotonic()
        if not self.messages or now - self._last < seconds:
            return []
        messages, self.messages, self._last = self.messages, [], now
        return messages

    def _call(self, name: str, *arguments: Any, **named: Any) -> None:
        self.messages.append((name, arguments, named))


def known(store: Store, cells: Iterable[tuple[str, int, Mapping[str, object]]]) -> dict[str, Known]:
    """What a store knows of cells, given by key, seed and fields."""
    found: dict[str, Known] = {}
    for key, seed, fields in cells:
        number = store.begin(key, seed, fields)
        found[key] = Known(number, store.runs([key])[0], store.checkpoint(number))
    return found


def replay(ledger: Ledger, message: Message) -> None:
    """Make a call that a relay has kept."""
    name, arguments, named = message
    if name in _OF_THE_STORE:
        getattr(ledger, name)(*arguments, **named)


def _told(facts: Mapping[str, object] | None) -> dict[str, object] | None:
    return None if facts is None else {**facts, **({"joules": None} if "joules" in facts else {})}
