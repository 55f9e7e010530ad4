"""How the probes of several ranks talk: one small vector of float64 for each recorded step, and never a wait for good.

Probes that are attached meet through the job's store, and either all of them record together or each by itself; the
verdict is written there once, so that no two ranks decide differently. From then on every recorded step is one
`all_gather` in a group of its own, over gloo, which crosses no collective of the training. A rank whose probe fails or
is detached says so in the store and is gone: whoever waits for it looks there, and stops as well.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from evenflow.measure.bank import Bank
from evenflow.measure.history import Layout
from evenflow.measure.merging import Step, merge
from evenflow.measure.team import Team, copies, holds_nothing

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

PATIENCE = 30.0
"""Seconds that a probe waits for those of the other ranks when it is attached, and for the last step."""

_HEAD = 4  # numbers in front of a message: its length, the layout's checksum, the step, every
_LOOK = 0.25  # seconds between two looks at who has left, while waiting
_LIFETIME = timedelta(minutes=30)  # of a wait that nothing else ends, as torch's own


class RankError(RuntimeError):
    """The ranks cannot go on together: one has left, or they have seen different things."""


class Ranks:
    """The talk between the probes of one model on several ranks.

    Args:
        team: the global ranks.
        subject: what the probes watch; those of one subject meet in the order in which they are attached.
    """

    def __init__(self, team: Team, subject: str) -> None:
        self.team = team
        self.together = False
        self.patience = PATIENCE
        self._ending = False
        self._subject = f"{subject}/{'-'.join(map(str, team))}"
        self._rank = dist.get_rank()
        self._place = team.index(self._rank)
        self._store: Any = None
        self._group: Any = None
        self._work: Any = None
        self._messages = 0
        self._capacity = 0
        self._layout: Layout | None = None
        self._checksum = 0.0
        self._copies: NDArray[np.float64] = np.zeros(0)
        self._empty: list[int] = []

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes a store."""
        return self._place == 0

    def meet(self, every: int) -> int | None:
        """Wait until the probe of every rank is attached.

        Returns:
            every how many steps the first rank records, or None where a rank did not come: then each records alone.
        """
        store, over = _meeting(self._subject)
        self._store = store
        store.set(f"here/{self._rank}", json.dumps(every))
        all_here = [f"here/{rank}" for rank in self.team]
        until = time.monotonic() + self.patience
        while not store.check(["verdict"]):
            if store.check(all_here):
                store.compare_set("verdict", "", "together")
            elif time.monotonic() > until:
                store.compare_set("verdict", "", "alone")
            else:
                time.sleep(0.01)
        over()  # each says so before it goes on, that nobody meets here again
        if store.get("verdict") != b"together":
            return None
        _unanswered.clear()
        place, world = self._place, len(self.team)
        self._work = None
        self._group = dist.ProcessGroupGloo(store, place, world, _LIFETIME)
        self._messages = self._capacity = 0
        self.together, self._ending = True, False
        return int(json.loads(store.get(all_here[0])))

    def last(self, ended: bool) -> bool:
        """Whether the step under way is still to be shared before this rank detaches.

        A step that no optimiser has `ended` may be one that this rank alone has begun. Nobody is waited for longer
        than `patience`.
        """
        self._ending = self.together and ended
        return self._ending

    def leave(self, reason: str) -> None:
        """Take part no more, and let the others know."""
        if not self.together:
            return
        self.together = False
        if self._work is not None and not self._work.is_completed():
            _unanswered.append(self._group)
        with suppress(RuntimeError):  # the store is gone, and so are those who would read it
            self._store.set(f"left/{self._rank}", json.dumps([self._messages, reason]))
        self._group = self._work = None  # closed, which ends the wait of the others

    def share(
        self,
        step: int,
        every: int,
        layout: Layout,
        bank: Bank,
        sums: NDArray[np.float64],
        figures: NDArray[np.float64],
        loss: float | None,
        scale: float,
    ) -> tuple[Step, int]:
        """This step over all ranks, and every how many steps the first of them records; the bank takes in all marks.

        Raises:
            RankError: a rank has left, or has seen other sites or another step.
        """
        if layout is not self._layout:
            self._read(layout)
        figures[self._empty] = 0.0
        own = Step(sums, figures, bank.marks, loss, scale)
        vector = own.packed()
        heads, vectors = self._gather(
            np.array([len(vector), self._checksum, step, every], dtype=np.float64), vector
        )
        mine = heads[self._place]
        for rank, head in zip(self.team, heads, strict=True):
            if head[2] != mine[2]:
                raise RankError(
                    f"rank {rank} has recorded step {head[2]:.0f} when rank {self._rank} has recorded step "
                    f"{mine[2]:.0f}; attach the probe at the same step on every rank"
                )
            if (head[:2] != mine[:2]).any():
                raise RankError(
                    f"the sites of rank {rank} are not those of rank {self._rank}: the model runs other modules "
                    "there, or other sites were chosen; give ranks=False to record each rank by itself"
                )
        merged = merge([own.unpacked(vector) for vector in vectors], self._copies)
        bank.marks[:] = merged.marks
        return merged, int(heads[0, 3])

    def _read(self, layout: Layout) -> None:
        names = "\n".join(
            [f"{slot.name} {slot.units}" for slot in layout.slots]
            + [entry.site.name for entry in layout.entries]
        )
        world = len(self.team)
        self._layout, self._checksum = layout, float(zlib.crc32(names.encode()))
        self._copies = np.array(
            [copies(entry.parameter, world) for entry in layout.entries], dtype=np.float64
        )
        self._empty = [place for place, entry in enumerate(layout.entries) if holds_nothing(entry.parameter)]

    def _gather(
        self, head: NDArray[np.float64], vector: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        """Heads and vectors of all ranks: in one exchange, and a second one where the vectors have grown."""
        length = len(vector)
        while True:
            message = np.zeros(_HEAD + self._capacity)
            message[:_HEAD] = head
            if length <= self._capacity:
                message[_HEAD : _HEAD + length] = vector
            received = self._exchange(message)
            heads = received[:, :_HEAD]
            if (heads[:, 0] != length).any():
                return heads, []
            if length <= self._capacity:
                return heads, [row[_HEAD : _HEAD + length] for row in received]
            self._capacity = length

    def _exchange(self, message: NDArray[np.float64]) -> NDArray[np.float64]:
        """The messages of all ranks, of shape (ranks, length)."""
        received = torch.empty((len(self.team), len(message)), dtype=torch.float64)
        # Held in one place only: whoever holds it, were it a traceback, keeps the group open.
        self._work = self._group.allgather([list(received.unbind())], [torch.from_numpy(message)])
        self._messages += 1
        began = looked = time.monotonic()
        pause = 2e-5
        while not self._work.is_completed():
            time.sleep(pause)
            pause = min(pause * 1.5, 2e-3)
            now = time.monotonic()
            if now - looked > _LOOK:
                looked = now
                self._look_who_left()
                if self._ending and now - began > self.patience:
                    raise RankError(
                        "the last step is left out: the other ranks have not brought it to an end within "
                        f"{self.patience:g} seconds"
                    )
        try:
            self._work.wait()
        except RuntimeError:
            self._look_who_left()
            raise
        return received.numpy()

    def _look_who_left(self) -> None:
        """Stop where a rank has left without an answer to the last message."""
        for rank in self.team:
            if self._store.check([f"left/{rank}"]):
                answered, reason = json.loads(self._store.get(f"left/{rank}"))
                if answered < self._messages:
                    raise RankError(
                        f"the probe of rank {rank} {reason}, and figures of all ranks need all probes"
                    )


# Groups that were left while a message of this rank was under way: to close one waits for the others.
_unanswered: list[Any] = []


def _meeting(subject: str) -> tuple[Store, Callable[[], None]]:
    """The part of the job's store for the next meeting of the probes of one subject, and what declares it over."""
    from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

    store = PrefixStore(f"evenflow/{subject}", _get_default_store())
    store.compare_set("meeting", "", "0")
    number = int(store.get("meeting"))

    def over() -> None:
        store.compare_set("meeting", str(number), str(number + 1))

    return PrefixStore(str(number), store), over
