"""Hand the work of a study to a place, write what comes back into the store, and hand out again what was lost."""

from __future__ import annotations

import itertools
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evenflow.errors import EvenflowError, SpecError
from evenflow.record.axes import Run
from evenflow.record.store import Store
from evenflow.spec.activation import Activation
from evenflow.spec.data import Data
from evenflow.spec.study import Cell
from evenflow.study.data import DataSet
from evenflow.study.engines.grouping import Piece
from evenflow.study.machine import differences, versions
from evenflow.study.places.place import News, Place, Task
from evenflow.study.places.relay import known, replay
from evenflow.study.places.worker import packed

_SECONDS_BETWEEN_TICKS = 0.5
_SECONDS_UNTIL_WAITING_IS_TOLD = 60.0
_TRIES = 3
"""How often a piece of work may lose its worker without getting any further."""
_ENDED = ("finished", "diverged", "failed")


@dataclass
class _Handed:
    """A task that is under way."""

    pieces: list[Piece]
    begun: bool = False
    host: str = ""


@dataclass
class _Work:
    """A task that waits; `tries` is how often it was lost without having got further than `reached`."""

    pieces: list[Piece]
    tries: int = 0
    reached: int = -1


@dataclass
class Driver:
    """The work of one study at one place.

    Args:
        place: connected.
        store: open to append; nobody else writes into it.
        load: gives a data set.
        failed: of every cell that could not be trained the reason; filled here.
        tell: is given sentences for the user.
    """

    place: Place
    store: Store
    load: Callable[[Data], DataSet]
    tell: Callable[[str], None]
    failed: dict[str, str] = field(default_factory=dict)
    _waiting: deque[_Work] = field(default_factory=deque)
    _running: dict[int, tuple[_Work, _Handed]] = field(default_factory=dict)
    _shared: dict[Data, str] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _hosts: dict[str, object] = field(default_factory=dict)
    _unborn: int = 0
    _quiet: float = field(default_factory=time.monotonic)

    def run(self, work: Sequence[Piece], tick: Callable[[], None]) -> dict[str, str]:
        """Do all of it.

        Args:
            work: pieces, the longest first.
            tick: called about twice a second.

        Raises:
            EvenflowError: the place is gone, or nothing that it starts lives.
            StoreError: the disk is full.
        """
        for run in self.store.runs([cell.key for piece in work for cell in piece.cells]):
            if run.status != "pending":  # left by a driver that was killed, or failed then and tried anew
                self.store.update(self.store.begin(run.key, run.seed, run.fields), status="pending")
        numbers = itertools.count(1)
        self._waiting.extend(_Work(pieces) for pieces in _bundled(work, self.place.bundles))
        while self._waiting or self._running:
            room = len(self._waiting) if self.place.most is None else self.place.most - len(self._running)
            tasks: list[Task] = []
            for _ in range(min(room, len(self._waiting))):
                todo = self._waiting.popleft()
                tasks.append(self._task(next(numbers), todo))
                self._running[tasks[-1].number] = todo, _Handed(todo.pieces)
            if tasks:
                self.place.hand(tasks)
            for news in self.place.news(_SECONDS_BETWEEN_TICKS):
                if news.number in self._running:
                    self._hear(news)
            self._tell_waiting()
            tick()
        return self.failed

    def _tell_waiting(self) -> None:
        """Say, once, that everything waits for room: it may have to wait long, or for ever."""
        if any(handed.begun for _, handed in self._running.values()):
            self._quiet = time.monotonic()
        elif time.monotonic() - self._quiet > _SECONDS_UNTIL_WAITING_IS_TOLD:
            count = len(self._running)
            tasks = f"{count} task{'s wait' if count != 1 else ' waits'}"
            self._say(f"{self.place.words}: {tasks}, and none has begun yet; is there room?")

    def _task(self, number: int, todo: _Work) -> Task:
        cells = [cell for piece in todo.pieces for cell in piece.cells]
        for data in dict.fromkeys(cell.data for cell in cells):
            if data not in self._shared:
                self._shared[data] = f"data-{len(self._shared)}"
                self.place.share(self._shared[data], pickle.dumps(self.load(data)))
        names = {data: self._shared[data] for data in dict.fromkeys(cell.data for cell in cells)}
        states = known(self.store, [(cell.key, cell.seed, cell.fields) for cell in cells])
        return Task(number, packed(todo.pieces, names, states), tuple(names.values()))

    def _hear(self, news: News) -> None:
        todo, handed = self._running[news.number]
        if news.kind == "said":
            for message in pickle.loads(news.messages):
                self._obey(message, handed)
            return
        del self._running[news.number]
        left = [piece for piece in handed.pieces if self._open(piece)]
        if left:
            self._lost(todo, handed, left, news.reason or "it ended before its work was done")

    def _obey(self, message: tuple[str, tuple[Any, ...], dict[str, Any]], handed: _Handed) -> None:
        name, arguments, _ = message
        if name == "hello":
            self._greet(arguments[0], handed)
        elif name == "failed":
            keys, reason = arguments
            self._note_failure(
                [cell for piece in handed.pieces for cell in piece.cells if cell.key in keys], reason
            )
        elif name == "stop":
            kind, text = arguments
            raise kind(text)
        else:
            replay(self.store, message)

    def _greet(self, hello: dict[str, Any], handed: _Handed) -> None:
        """Note where the task runs, and tell what is another version there."""
        handed.begun, handed.host, self._unborn = True, hello["host"], 0
        if hello["host"] not in self._hosts:
            self._hosts[hello["host"]] = {"machine": hello["machine"], "versions": hello["versions"]}
            self.store.meta["workers"] = self._hosts
        if other := differences(hello["versions"], versions()):
            self._say(f"worker on {hello['host']} has {other}; its figures may differ")

    def _lost(self, todo: _Work, handed: _Handed, left: list[Piece], reason: str) -> None:
        """Hand out again what was not done: what was begun apart from what was not, and not for ever."""
        who = f"worker on {handed.host}" if handed.host else "worker"
        if not handed.begun:
            self._unborn += 1
            if self._unborn >= _TRIES * max(1, min(self.place.slots, 4)):
                raise EvenflowError(f"{self.place.words}: no worker starts: {reason}")
            self._say(f"{who} did not start ({reason}); another is asked for")
            self._waiting.append(_Work(left, todo.tries, todo.reached))
            return
        begun = [piece for piece in left if any(run.status == "running" for run in self._runs(piece))]
        begun = begun or left[:1]
        rest = [piece for piece in left if piece not in begun]
        if rest:
            self._waiting.append(_Work(rest))
        for piece in begun:
            reached = self._reached(piece)
            tries = 1 if todo.reached < 0 or reached > todo.reached else todo.tries + 1
            networks = sum(run.status not in _ENDED for run in self._runs(piece))
            go_on = "1 network goes on" if networks == 1 else f"{networks} networks go on"
            if tries < _TRIES:
                self._say(f"{who} was lost ({reason}); {go_on} elsewhere, from the last snapshot", often=True)
                self._waiting.appendleft(_Work([piece], tries, reached))
            elif len(piece.groups) > 1:
                self._waiting.extendleft(
                    _Work([group], tries - 1, self._reached(group)) for group in piece.apart()
                )
            else:
                self._note_failure(
                    piece.cells, f"its worker was lost {tries} times at the same place: {reason}"
                )

    def _runs(self, piece: Piece) -> tuple[Run, ...]:
        return self.store.runs([cell.key for cell in piece.cells])

    def _open(self, piece: Piece) -> bool:
        return any(run.status not in _ENDED for run in self._runs(piece))

    def _reached(self, piece: Piece) -> int:
        """A number that grows when a piece gets further in a way that is not lost with its worker."""
        total = 0
        for run in self._runs(piece):
            if run.status in _ENDED:
                total += run.steps_done + 1
            elif kept := self.store.checkpoint(self.store.begin(run.key, run.seed, run.fields)):
                total += kept[0]
        return total

    def _note_failure(self, cells: Iterable[Cell], reason: str) -> None:
        for cell in cells:
            run = self.store.begin(cell.key, cell.seed, cell.fields)
            if self.store.runs([cell.key])[0].status not in _ENDED:
                self.failed[cell.key] = reason
                self.store.finish(run, "failed", {"message": reason})

    def _say(self, text: str, often: bool = False) -> None:
        if often or text not in self._told:
            self._told.add(text)
            self.tell(text)


def check_portable(functions: Iterable[Activation]) -> None:
    """Try whether activations of the user's can be sent to other machines.

    Raises:
        SpecError: one cannot.
    """
    for function in functions:
        try:
            pickle.dumps(function)
        except Exception as error:  # whatever cloudpickle finds inside
            raise SpecError(
                f'activation "{function.name}" cannot be sent to other machines ({error}); write it without open '
                "files, locks and the like, or train with --on local"
            ) from error


def _bundled(work: Sequence[Piece], bundles: int | None) -> list[list[Piece]]:
    """Pieces as tasks: each for itself, or dealt out into so many of about equal length."""
    if bundles is None:
        return [[piece] for piece in work]
    found: list[list[Piece]] = [[] for _ in range(min(bundles, len(work)))]
    length = [0] * len(found)
    for piece in sorted(work, key=_length, reverse=True):
        shortest = length.index(min(length))
        found[shortest].append(piece)
        length[shortest] += _length(piece)
    return found


def _length(piece: Piece) -> int:
    return sum(cell.training.steps * cell.network.layers for cell in piece.cells)
