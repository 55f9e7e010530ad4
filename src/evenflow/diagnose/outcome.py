"""What a training came to, as the rules about signals and gradients need it: a fault is one only if it costs results.

Of what can be learned, `Learning.learned` is the share that was: of the loss, or of the score above chance, whichever
says more. A network whose gradients look terrible and that learns is healthy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Severity
from evenflow.diagnose.learning import Learning, learning
from evenflow.wording import decimal, number

STUCK = 0.15
"""Learned less than this: next to nothing, and less than what a last layer alone gets out of random features."""
POOR = 0.5
"""Learned less than this: a training that has trouble, where nine tenths of short trainings have none."""


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Args:
        learned: share of what can be learned; below 0 where the loss ran away.
        start, end: loss at the start and at the end; infinite where it ended as NaN or infinity.
        diverged: whether the loss ran away.
        falling: whether the loss still fell at the end.
        improving: whether it fell at all.
        chance: loss of the best constant answer; NaN where it is not known.
    """

    learned: float
    start: float
    end: float
    diverged: bool
    falling: bool
    improving: bool
    chance: float = math.nan

    @property
    def absurd_start(self) -> float:
        """Loss at the start over that of a constant answer: 1 to 1.5 with weights of a usual scale; 1 if unknown."""
        known = self.chance > 0.0 and math.isfinite(self.start)
        return self.start / self.chance if known else 1.0

    @property
    def stuck(self) -> bool:
        """Whether next to nothing was learned."""
        return self.diverged or self.learned < STUCK

    @property
    def poor(self) -> bool:
        """Whether little was learned."""
        return self.diverged or self.learned < POOR

    @property
    def words(self) -> str:
        """What the loss did, as the end of a sentence."""
        if self.end == math.inf:
            return "the loss ended as NaN or infinity"
        if self.diverged:
            return f"the loss rose from {number(self.start, 3)} to {number(self.end, 3)}"
        if self.stuck and self.end < 0.0 and self.improving:
            return f"the loss fell ({number(self.start, 3)} to {number(self.end, 3)}), but the answers are no better"
        if self.stuck:
            return f"the loss hardly moved ({number(self.start, 3)} to {number(self.end, 3)})"
        return f"only {decimal(100 * self.learned, 0)} % of what can be learned was learned"

    def severity(self, *, at_most: float = POOR) -> Severity | None:
        """A fault where less than `at_most` was learned, else nothing."""
        return "fault" if self.diverged or self.learned < at_most else None


def outcome(case: Case) -> Outcome:
    """What the training of a case came to.

    Raises:
        MissingError: no loss was recorded, or too few steps of it.
    """
    try:
        return _of(learning(case))
    except MissingError as error:
        if "NaN or infinite at every step" in str(error):
            return Outcome(0.0, math.inf, math.inf, True, False, False)
        raise


def _of(found: Learning) -> Outcome:
    learned = found.learned
    if math.isnan(learned):  # a loss below 0, and no score: all that is known is whether it fell
        learned = float(found.fell)
    # A loss that was next to nothing can double and stay next to nothing: the score knows.
    diverged = found.diverged and not (found.skill >= POOR and math.isfinite(found.end))
    return Outcome(
        learned=-math.inf if diverged else learned,
        start=found.start,
        end=found.end,
        diverged=diverged,
        falling=found.falling,
        improving=found.fell,
        chance=found.chance,
    )
