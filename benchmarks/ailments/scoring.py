"""How good detectors are: precision, recall and F1 by rule, false alarms, causes named first, steps until then.

An alarm is *right* on a fault if it names the cause, has another name of the same thing, or is a symptom that the
mechanism brings about or that was measured. On a sound case every alarm is false. A fault is *found* if the cause,
or another name of it, is among the alarms; *named first* if it is the first of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

RESAMPLES = 400
PREFIXES = (10, 25, 50, 100, 200)


@dataclass(frozen=True)
class Outcome:
    """One case, what is true of it, and what a detector said.

    Args:
        case: its name.
        sound: whether every alarm is false.
        cause: the rule that names its fault; "" for a sound one.
        names: other names of the same thing.
        symptoms: rules whose alarms are true as well.
        alarms: by number of steps, names in order.
    """

    case: str
    sound: bool
    cause: str = ""
    names: tuple[str, ...] = ()
    symptoms: tuple[str, ...] = ()
    alarms: dict[int, list[str]] = field(default_factory=dict)

    @property
    def last(self) -> list[str]:
        """The alarms after all steps."""
        return self.alarms[max(self.alarms)] if self.alarms else []

    def found(self) -> bool:
        """Whether the cause is among the alarms."""
        return any(self.is_cause(alarm) for alarm in self.last)

    def first(self, steps: int | None = None) -> bool:
        """Whether the first alarm names the cause."""
        told = self.last if steps is None else self.alarms.get(steps, [])
        return bool(told) and self.is_cause(told[0])

    def strictly_first(self) -> bool:
        """Whether the first alarm is the cause's own name."""
        return bool(self.last) and self.last[0] == self.cause

    def is_cause(self, alarm: str) -> bool:
        """Whether this alarm names the cause."""
        return not self.sound and (alarm == self.cause or alarm in self.names)

    def is_right(self, alarm: str) -> bool:
        """Whether this alarm is true."""
        return not self.sound and (self.is_cause(alarm) or alarm in self.symptoms)


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "-"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def wilson(hits: int, count: int) -> Share:
    """Wilson's interval of a share (Wilson 1927, JASA 22).

    >>> str(wilson(9, 10))
    '0.90 (0.60 to 0.98)'
    """
    if not count:
        return Share(math.nan, math.nan, math.nan, 0)
    z, share = 1.959963984540054, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Share(share, max(0.0, middle - reach), min(1.0, middle + reach), count)


@dataclass(frozen=True)
class RuleScore:
    """One rule of one detector; the confidence is Laplace's estimate of the next alarm's chance to be right."""

    rule: str
    positives: int
    alarms: int
    precision: Share
    recall: Share
    f1: Share
    confidence: float


def rule_score(outcomes: Sequence[Outcome], rule: str) -> RuleScore:
    """Precision, recall and F1 of one rule; the interval of F1 by resampling cases."""
    counts = np.array([_counts(one, rule) for one in outcomes], dtype=float).reshape(-1, 4)
    found, positives, right, told = counts.sum(0)
    value = _f1(*counts.sum(0))
    source = np.random.default_rng(0)
    drawn = [
        _f1(*counts[source.integers(0, len(counts), len(counts))].sum(0))
        for _ in range(RESAMPLES if len(counts) else 0)
    ]
    known = [one for one in drawn if not math.isnan(one)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (math.nan, math.nan)
    return RuleScore(
        rule,
        int(positives),
        int(told),
        wilson(int(right), int(told)),
        wilson(int(found), int(positives)),
        Share(value, float(low), float(high), int(positives)),
        (right + 1) / (told + 2),
    )


def _counts(one: Outcome, rule: str) -> tuple[int, int, int, int]:
    """Whether it is a fault of this rule and found, is one, has a right alarm of it, has an alarm of it."""
    positive = not one.sound and one.cause == rule
    told = rule in one.last
    return positive and one.found(), positive, told and one.is_right(rule), told


def _f1(found: float, positives: float, right: float, told: float) -> float:
    """Harmonic mean of precision and recall; a rule that is never told has precision 1 where nothing was to find."""
    if not positives:
        return math.nan
    recall = found / positives
    precision = right / told if told else float(found == positives)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass(frozen=True)
class Score:
    """One detector on one set of cases."""

    detector: str
    rules: list[RuleScore]
    sound: int
    false_alarms: Share
    alarms_per_sound: float
    first: Share
    strictly_first: Share
    found: Share
    root_first: Share
    by_steps: dict[int, Share]
    steps: float


def score(detector: str, outcomes: Sequence[Outcome], rules: Sequence[str]) -> Score:
    """All figures of a detector."""
    sound = [one for one in outcomes if one.sound]
    faults = [one for one in outcomes if not one.sound]
    chained = [one for one in faults if set(one.symptoms) - {one.cause, *one.names}]
    return Score(
        detector,
        [rule_score(outcomes, rule) for rule in rules],
        len(sound),
        wilson(sum(bool(one.last) for one in sound), len(sound)),
        sum(len(one.last) for one in sound) / len(sound) if sound else math.nan,
        wilson(sum(one.first() for one in faults), len(faults)),
        wilson(sum(one.strictly_first() for one in faults), len(faults)),
        wilson(sum(one.found() for one in faults), len(faults)),
        wilson(sum(one.first() for one in chained), len(chained)),
        {steps: wilson(sum(one.first(steps) for one in faults), len(faults)) for steps in PREFIXES},
        steps_until(faults),
    )


def steps_until(faults: Sequence[Outcome]) -> float:
    """Median over the faults that are named first in the end of the fewest steps from which on they are."""
    counts = []
    for one in faults:
        known = sorted(one.alarms, reverse=True)
        right = list(itertools.takewhile(one.first, known))
        if right:
            counts.append(right[-1])
    return float(np.median(counts)) if counts else math.nan
