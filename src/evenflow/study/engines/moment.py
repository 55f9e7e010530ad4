"""What every engine yields: the recorded steps of a training, and the time that its steps took."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evenflow.record.writing import Row


@dataclass(frozen=True)
class Moment:
    """One recorded step.

    `snapshot()` returns everything that is needed to go on with the step after this one; call it before the
    next moment is asked for.
    """

    step: int
    rows: Sequence[Row]
    diverged: bool
    snapshot: Callable[[], bytes]


@dataclass
class Stopwatch:
    """Seconds of each training step that was not recorded (of all, if all were)."""

    plain: list[float] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)

    @property
    def seconds_per_step(self) -> float:
        """Median over the steps, NaN before the first."""
        times = sorted(self.plain or self.recorded)
        return times[len(times) // 2] if times else math.nan
