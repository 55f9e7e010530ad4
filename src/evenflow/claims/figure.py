"""What an experiment leaves: named figures with intervals, and three-valued questions about them.

A question about a figure is answered yes or no only where the whole interval is on one side; else the answer is None,
"not decided", which is carried through `every`, `some` and `opposite` as in Kleene's logic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evenflow.compare.intervals import Interval, mean_interval, wilson_interval
from evenflow.wording import number

Answer = bool | None
"""Yes, no, or not decided by these figures."""


@dataclass(frozen=True)
class Figure:
    """One figure of an experiment.

    Args:
        text: what it is, without its value.
        interval: its value, with the 95 % interval over `interval.count` seeds; a figure that is computed and not
            sampled has count 0 and bounds equal to its value.
        unit: "" where it has none.
    """

    text: str
    interval: Interval
    unit: str = ""

    @property
    def value(self) -> float:
        """The value in the middle."""
        return self.interval.mean

    def __str__(self) -> str:
        """The value with its interval, to three digits.

        >>> str(Figure("share", mean_interval([0.1, 0.2, 0.3]))), str(computed("slope", 0.25))
        ('0.200 [−0.0484, 0.448]', '0.250')
        """
        unit = f" {self.unit}" if self.unit else ""
        if self.interval.count == 0 or math.isnan(self.interval.low):
            return f"{number(self.value, 3)}{unit}"
        return (
            f"{number(self.value, 3)} [{number(self.interval.low, 3)}, {number(self.interval.high, 3)}]{unit}"
        )


Figures = Mapping[str, Figure]
"""The figures of an experiment by their keys."""


def computed(text: str, value: float, unit: str = "") -> Figure:
    """A figure without chance in it: mathematics, or a count that every run repeats."""
    return Figure(text, Interval(value, value, value, 0.0, 0), unit)


def sampled(text: str, values: Iterable[float], unit: str = "") -> Figure:
    """The mean over seeds with Student's 95 % interval."""
    return Figure(text, mean_interval(values), unit)


def counted(text: str, successes: int, count: int) -> Figure:
    """A share with Wilson's 95 % interval."""
    return Figure(text, wilson_interval(successes, count))


def above(figure: Figure, bound: float) -> Answer:
    """Whether the figure is above a bound.

    >>> share = sampled("share", [0.1, 0.2, 0.3])
    >>> above(share, 0.5), above(share, -0.1), above(share, 0.2)
    (False, True, None)
    """
    if figure.interval.low > bound:
        return True
    return False if figure.interval.high <= bound else None


def below(figure: Figure, bound: float) -> Answer:
    """Whether the figure is below a bound."""
    if figure.interval.high < bound:
        return True
    return False if figure.interval.low >= bound else None


def within(figure: Figure, low: float, high: float) -> Answer:
    """Whether the figure is from `low` to `high`.

    >>> within(sampled("share", [0.1, 0.2, 0.3]), -1, 1), within(computed("slope", 2.0), 0, 1)
    (True, False)
    """
    interval = figure.interval
    if low <= interval.low and interval.high <= high:
        return True
    return False if interval.high < low or interval.low > high else None


def every(*answers: Answer) -> Answer:
    """Whether all are yes: no if one is no, else not decided if one is not."""
    return False if False in answers else None if None in answers else True


def some(*answers: Answer) -> Answer:
    """Whether one is yes."""
    return True if True in answers else None if None in answers else False


def opposite(answer: Answer) -> Answer:
    """Yes for no and no for yes."""
    return None if answer is None else not answer
