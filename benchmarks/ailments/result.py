"""What a repair is worth, beside the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .recipe import Case
from .repairs import NEAR
from .scoring import Share, wilson

BEYOND = frozenset({"targets_of_others", "shifted_targets", "inputs_without_content"})
"""Mechanisms that no change to the training can mend: what is to be learned is not in the data."""
WORSE = 5.0
"""Points below which a sound training counts as made worse; two trainings from other starts differ by less."""


@dataclass(frozen=True)
class Result:
    """One repair, beside what is true of the case; see `repairs.Repair`.

    Args:
        verdict: "fault" or "sound".
        cause: of the fault.
        beyond: whether no change to the training can mend it.
    """

    name: str
    verdict: str
    cause: str
    beyond: bool
    before: float
    twin: float
    after: float
    change: str
    steps: int
    trials: int
    seconds: float

    @property
    def repaired(self) -> bool:
        """Whether a change is recommended with which the training does as well as its twin."""
        return bool(self.change) and self.after >= self.twin - NEAR

    @property
    def gain(self) -> float:
        """Points by which it does better than before."""
        return self.after - self.before

    @property
    def worse(self) -> bool:
        """Whether a training that was sound does worse with what is recommended."""
        return bool(self.change) and self.after < self.before - WORSE


@dataclass(frozen=True)
class Count:
    """Figures of one repairer on some faults.

    Args:
        repaired: share.
        gain: mean of points.
        closed: mean share of the way to the twin's score.
        trials, steps, seconds: means of a case.
        each: trial steps, all of them, by the number of trainings that they have repaired.
    """

    repaired: Share
    gain: float
    closed: float
    trials: float
    each: float
    steps: float
    seconds: float


def results(
    cases: Sequence[Case],
    truths: Mapping[str, Mapping[str, object]],
    lines: Mapping[str, Mapping[str, object]],
) -> list[Result]:
    """Results of those of the cases that there are lines of."""
    return [
        Result(
            case.name,
            str(truths[case.name]["verdict"]),
            str(truths[case.name]["cause"]),
            case.mechanism is not None and case.mechanism.name in BEYOND,
            **{
                key: lines[case.name][key]
                for key in ("before", "twin", "after", "change", "steps", "trials", "seconds")
            },  # type: ignore[arg-type]
        )
        for case in cases
        if case.name in lines
    ]


def count(some: Sequence[Result]) -> Count:
    """Figures over these."""
    repaired = sum(one.repaired for one in some)
    return Count(
        wilson(repaired, len(some)),
        _mean([one.gain for one in some]),
        _mean(
            [max(min(one.gain / (one.twin - one.before), 1.0), 0.0) for one in some if one.twin > one.before]
        ),
        _mean([one.trials for one in some]),
        sum(one.trials for one in some) / repaired if repaired else math.nan,
        _mean([one.steps for one in some]),
        _mean([one.seconds for one in some]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
