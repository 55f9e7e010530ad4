"""The last word: original against candidate on other starts, paired, with an interval.

The candidate was chosen on one start, on which the best of several looks better than it is. So it is judged on starts
that nothing was chosen by: each of them trains the original and the candidate from the same weights, on the same
batches in the same order, with the same random numbers, for the same number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from evenflow.compare.paired import Difference, paired_difference
from evenflow.prescribe.prescription import Prescription, Training
from evenflow.spec.setting import NAN
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Metric
from evenflow.verify.randomness import Randomness
from evenflow.verify.starts import other_start
from evenflow.verify.trial import Trainee

SEEDS = (1, 2, 3, 4, 5)
_AT_FIRST = 3
"""Pairs that are trained first; the others only where these leave it open."""
_MUCH = 5.0
"""Times what counts as equal: the ten points by which a fault is told from what is none."""


@dataclass(frozen=True)
class Paired:
    """What came of the pairs.

    Args:
        steps: of each training.
        before, after: values of original and candidate, by seed.
        difference: candidate minus original, turned so that more is better; NaN bounds of fewer than two pairs.
        seconds_before, seconds_after: of one step.
        trained: steps of all trainings together.
        redrawn: whether the starts have other weights, too.
        problem: why the candidate could not be trained from another start; "".
        gains: of every pair, turned so that more is better.
    """

    steps: int
    before: dict[int, float]
    after: dict[int, float]
    difference: Difference
    seconds_before: float
    seconds_after: float
    trained: int
    redrawn: bool
    problem: str = ""
    gains: tuple[float, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether there are too few pairs for an interval."""
        return math.isnan(self.difference.low)

    def beats(self, least: float, same: float = 0.0) -> bool:
        """Whether the candidate is better beyond chance, and by no less than this.

        Where a fault harms some starts much and others hardly, gains are so uneven that a t interval holds 0 however
        large they are. All pairs being trained, a candidate that is worse than the original nowhere, and much better
        on the mean, is better, too.

        Args:
            least: that the mean has to come to.
            same: by which two trainings may differ and count as equal.
        """
        found = self.difference
        return found.mean >= least and (found.low > 0.0 or self._is_nowhere_worse(same))

    def is_as_good(self, same: float) -> bool:
        """Whether the candidate is not worse than the original: on the mean by less than counts as equal."""
        return (
            not self.problem
            and len(self.gains) >= _AT_FIRST
            and self.difference.mean >= -same
            and min(self.gains) >= -_MUCH * same
        )

    def _is_nowhere_worse(self, same: float) -> bool:
        return (
            len(self.gains) >= len(SEEDS)
            and min(self.gains) >= -same
            and self.difference.mean >= _MUCH * same > 0.0
        )


def pair(
    training: Training,
    prescription: Prescription,
    metric: Metric,
    steps: int,
    clock: Clock,
    *,
    most: int,
    room: int = 2**16,
    loss_kind: str = "",
    level: float = 0.95,
    seeds: Sequence[int] = SEEDS,
    said: Callable[[str, int], None] = lambda *_: None,
) -> Paired:
    """Train original and candidate from other starts: a few, for a few steps; longer, and more of them, if it is open.

    Args:
        training: the original, which stays as it is.
        prescription: the candidate.
        metric: by which they are judged.
        steps: of each training, to begin with.
        clock: of all of it; a pair that is not through counts for nothing.
        most: steps that each training may have.
        room: copies that can be kept at a time; they are trained on where it is enough for all.
        loss_kind: as in `spec.setting.Output`.
        level: of the interval.
        seeds: of the starts.
        said: called with what trains, and its number of steps.
    """
    found = _Pairs(training, prescription, metric, level, loss_kind, room >= 2 * _AT_FIRST, said)
    first, more = seeds[:_AT_FIRST], seeds[_AT_FIRST:]
    levels = sorted({one for one in (steps, 2 * steps, 4 * steps) if one < most} | {most})
    for number in levels if found.kept else [most]:
        if not all(found.advance(seed, number, clock) for seed in first) or found.is_settled(most):
            return found.result()
    for seed in more:
        if not found.advance(seed, most, clock) or found.is_settled(most):
            break
    return found.result()


class _Pairs:
    """Pairs of trainings, that go on together."""

    def __init__(
        self,
        training: Training,
        prescription: Prescription,
        metric: Metric,
        level: float,
        loss_kind: str,
        kept: bool,
        said: Callable[[str, int], None],
    ) -> None:
        self.kept = kept
        self._training, self._prescription, self._metric = training, prescription, metric
        self._level, self._loss_kind, self._said = level, loss_kind, said
        self._pairs: dict[int, tuple[Trainee, Trainee]] = {}
        self._steps = 0
        self._before: dict[int, float] = {}
        self._after: dict[int, float] = {}
        self._redrawn = False
        self._problem = ""

    def advance(self, seed: int, steps: int, clock: Clock) -> bool:
        """Train both of a pair up to these steps; False where that did not come about."""
        if steps != self._steps:
            self._steps = steps
            self._before, self._after = {}, {}
        if not clock.left:
            return False
        own, other = self._pair(seed)
        for one in (own, other):
            one.advance(steps, seconds=clock.left, said=partial(self._said, f"{one.name}, seed {seed}"))
            if not self.kept:
                one.training = None  # its memory goes to the next
        if own.hurried or other.hurried:
            return False
        if not own.values or not other.values:
            self._problem = own.problem or other.problem
            return False
        self._before[seed], self._after[seed] = own.value, other.value
        return True

    def is_settled(self, most: int) -> bool:
        """Whether more would not change what is said: the interval lies above 0, or the mean of the end does not.

        What begins more slowly may end better.
        """
        found = self._difference
        return found.low > 0.0 or (found.mean <= 0.0 and self._steps >= most)

    def result(self) -> Paired:
        """What has come of them."""
        both = list(self._pairs.values())
        return Paired(
            steps=self._steps,
            before=self._before,
            after=self._after,
            difference=self._difference,
            seconds_before=_middle([own.seconds_per_step for own, _ in both]),
            seconds_after=_middle([other.seconds_per_step for _, other in both]),
            trained=sum(one.steps for pair in both for one in pair),
            redrawn=self._redrawn,
            problem=self._problem,
            gains=tuple(
                self._metric.merit(self._after[seed]) - self._metric.merit(one)
                for seed, one in self._before.items()
            ),
        )

    @property
    def _difference(self) -> Difference:
        found = paired_difference(self._before, self._after, self._level)
        if self._metric.higher:
            return found
        return replace(found, mean=-found.mean, low=-found.high, high=-found.low)

    def _pair(self, seed: int) -> tuple[Trainee, Trainee]:
        if seed not in self._pairs:
            start = other_start(self._training, seed)
            self._redrawn = self._redrawn or bool(start.redrawn)
            loss = self._training.plan.loss
            self._pairs[seed] = (
                _trainee("original", start.training, None, self._metric, seed, self._loss_kind, loss),
                _trainee(
                    self._prescription.name,
                    start.training,
                    self._prescription,
                    self._metric,
                    seed,
                    self._loss_kind,
                    loss,
                ),
            )
        return self._pairs[seed]


def _trainee(
    name: str,
    start: Training,
    prescription: Prescription | None,
    metric: Metric,
    seed: int,
    loss_kind: str,
    loss: object,
) -> Trainee:
    def make() -> Training:
        copied = start.copied()
        return copied if prescription is None else prescription.change(copied)

    return Trainee(name, make, metric, Randomness.seeded(seed), loss_kind, loss)


def _middle(values: Sequence[float]) -> float:
    known = sorted(one for one in values if not math.isnan(one))
    return known[len(known) // 2] if known else NAN
