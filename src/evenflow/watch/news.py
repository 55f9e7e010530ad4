"""Findings as they arise: a training that goes on is judged now and then, and what is new is said once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.finding import Finding

if TYPE_CHECKING:
    from evenflow.watch.probe import Probe

EXCERPT = 400
"""Recorded steps that are judged at most, so that a judgement costs the same however long the training is."""

_FIRST = 32  # steps: before them hardly a trend can be told from noise
_WAIT = 3.0  # seconds between two judgements
_SHARE = 0.02  # of the time that judging may take
_AT_ONCE = ("nonfinite_origin",)  # is no matter of trends


class News:
    """Judges one run while it is recorded.

    A finding is news when two judgements in a row have made it, so that a passing moment is none.
    """

    def __init__(self) -> None:
        self.told: list[Finding] = []
        self._before: set[str] = set()
        self._next_step = _FIRST
        self._next_time = 0.0

    def due(self, steps: int) -> bool:
        """Whether it is time to judge a run of so many steps; asked at every step, so it costs next to nothing."""
        return steps >= self._next_step and time.monotonic() >= self._next_time

    def judge(self, probe: Probe, steps: int) -> list[Finding]:
        """The faults and risks that are new: roots, and no consequences of them."""
        begun = time.monotonic()
        found = diagnose(probe.excerpt(EXCERPT)).at_least("risk")
        known = {one.rule for one in self.told}
        new = [
            one
            for one in found
            if not one.root and one.rule not in known and (one.rule in self._before or one.rule in _AT_ONCE)
        ]
        self.told += new
        self._before = {one.rule for one in found}
        ended = time.monotonic()
        self._next_step = steps + min(steps, 1000)
        self._next_time = ended + max(_WAIT, (ended - begun) / _SHARE)
        return new
