"""How often to record so that recording takes a given share of the time: measured, not promised.

Recorded and plain steps are timed in turn, so that a machine that slows down slows both; the cost of recording is the
difference of their medians. Both go on being timed while the training runs.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

_WARM_UP = 3  # recorded steps that are not timed: the first ones build what the later ones use
_TRIAL = 12  # steps of each kind before the first judgement
_KEPT = 48  # steps of each kind that the medians are taken of
_LAPSE = 240  # steps after which plain ones are timed again where every step is recorded


class Budget:
    """Proposes every how many steps to record, to keep within a share of the time; who asks sets `every`.

    Args:
        share: of the time of a step without recording, between 0 and 1.

    >>> budget = Budget(0.03)
    >>> for step in range(200):
    ...     budget.took(1.3 if budget.next() else 1.0)
    ...     budget.every = budget.proposal
    >>> budget.every, round(budget.cost, 2)
    (10, 0.3)
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.every = self.proposal = 1
        self.cost = math.nan
        """What recording a step adds, as a share of a plain step."""
        self._times: dict[bool, deque[float]] = {kind: deque(maxlen=_KEPT) for kind in (True, False)}
        self._steps = 0
        self._since = 0  # steps since the last recorded one
        self._recorded = False
        self._trial = 2 * _TRIAL

    def next(self) -> bool:
        """Whether the step that begins is to be recorded."""
        if self._steps < _WARM_UP:
            self._recorded = True
        elif self._trial > 0:
            self._trial -= 1
            self._recorded = not self._recorded
        else:
            self._recorded = self._since + 1 >= self.every
            if self.every == 1 and self._steps % _LAPSE == 0:
                self._trial = _TRIAL
        self._since = 0 if self._recorded else self._since + 1
        return self._recorded

    def took(self, seconds: float) -> None:
        """How long the step took that has ended."""
        self._steps += 1
        if self._steps <= _WARM_UP:
            return
        self._times[self._recorded].append(seconds)
        if self._trial == 0 and self._recorded:
            self._judge()

    @property
    def spent(self) -> float:
        """The share of the time that recording takes at the present `every`."""
        return self.cost / self.every

    def _judge(self) -> None:
        recorded, plain = (statistics.median(self._times[kind]) for kind in (True, False))
        self.cost = max(recorded - plain, 0.0) / plain if plain > 0 else 0.0
        self.proposal = max(1, math.ceil(self.cost / self.share - 1e-9))
