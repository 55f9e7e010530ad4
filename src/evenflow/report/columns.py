"""The columns of the results table, the same for the page and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from evenflow.compare.figures import FIGURES
from evenflow.compare.intervals import Interval
from evenflow.compare.summary import CellSummary, Summary
from evenflow.report.wording import MISSING, decimal, number, prefixed


@dataclass(frozen=True)
class Entry:
    """One entry of the table.

    Args:
        text: the mean, or what stands for it.
        bounds: the interval, or a remark in its place; may be "".
        order: sorts the column; NaN goes last.
        partial: "1/3" where only so many seeds have the figure, else "".
    """

    text: str
    bounds: str
    order: float
    partial: str = ""


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        figure: name in `compare.FIGURES`.
        title: a few words.
        group: what it belongs to, a head over several columns.
        say: a number in words.
        limits: what is possible; an interval ends there.
        say_bounds: the ends of the interval in words, where they are said with fewer digits.
    """

    figure: str
    title: str
    group: str
    say: Callable[[float], str]
    limits: tuple[float, float] = (-math.inf, math.inf)
    say_bounds: Callable[[float], str] | None = None

    @property
    def meaning(self) -> str:
        """What the figure is, in a phrase."""
        return FIGURES[self.figure].meaning

    def entry(self, cell: CellSummary) -> Entry:
        """The entry of a cell."""
        interval = cell.figures[self.figure]
        if not cell.results:
            return Entry(MISSING, "", math.nan)
        if math.isnan(interval.mean):
            return self._none(interval)
        if interval.missing:
            total = interval.count + interval.missing
            some = f"{interval.count} of {total} seeds"
            return Entry(self.say(interval.mean), some, interval.mean, f"{interval.count}/{total}")
        return Entry(
            self.say(interval.mean),
            bounds_text(interval, self.say_bounds or self.say, self.limits),
            interval.mean,
        )

    def _none(self, interval: Interval) -> Entry:
        if self.figure.endswith("_to_target") and not interval.count:
            return Entry("never", "", math.inf)
        return Entry(MISSING, "", math.nan)


def _share(value: float) -> str:
    return decimal(value, 3)


def _two(value: float) -> str:
    return decimal(value, 2)


def _one(value: float) -> str:
    return decimal(value, 1)


_SHARE = (0.0, 1.0)
_POSITIVE = (0.0, math.inf)
_COLUMNS = (
    Column("test_accuracy", "test accuracy", "at the end", _share, _SHARE),
    Column("worst_recall", "worst class", "at the end", _share, _SHARE, _two),
    Column("minority_recall", "rarest class", "at the end", _share, _SHARE, _two),
    Column("steps_to_target", "steps", "to the target", number, _POSITIVE),
    Column("flops_to_target", "FLOP", "to the target", prefixed, _POSITIVE),
    Column("seconds_to_target", "seconds", "to the target", number, _POSITIVE),
    Column("joules", "energy (J)", "whole training", number, _POSITIVE),
    Column("log_ratio_start", "start", "log₁₀ first/last", _two, say_bounds=_one),
    Column("log_ratio_end", "end", "log₁₀ first/last", _two, say_bounds=_one),
    Column("slope_start", "start", "decades a layer", _two),
    Column("slope_end", "end", "decades a layer", _two),
    Column("dead_mean", "dead", "units at the end", _share, _SHARE, _two),
    Column("saturated_mean", "saturated", "units at the end", _share, _SHARE, _two),
)
_OPTIONAL = ("minority_recall", "joules")


def columns(summary: Summary) -> tuple[Column, ...]:
    """The columns with figures; recall of the rarest class and energy only where there are any."""
    return tuple(
        column
        for column in _COLUMNS
        if column.figure not in _OPTIONAL or any(cell.figures[column.figure].count for cell in summary.cells)
    )


def without_energy(summary: Summary) -> bool:
    """Whether the machine gave no energy for any run."""
    return not any(cell.figures["joules"].count for cell in summary.cells)


def reliability(cell: CellSummary) -> Entry:
    """How many seeds trained, with Wilson's interval."""
    share = cell.reliability
    if not share.count:
        return Entry(MISSING, "", math.nan)
    trained = round(share.mean * share.count)
    return Entry(f"{trained} of {share.count}", bounds_text(share, _two, _SHARE), share.mean)


def state(cell: CellSummary) -> str:
    """What else there is to say of a cell: diverged, failed and open runs; "" where there is nothing."""
    counts: Mapping[str, int] = {
        "diverged": cell.diverged,
        "failed": cell.failed,
        "not ended": cell.unfinished,
    }
    total = len(cell.results) + cell.failed + cell.unfinished
    return ", ".join(f"{count} of {total} {word}" for word, count in counts.items() if count)


def bounds_text(
    interval: Interval, say: Callable[[float], str], limits: tuple[float, float] = (-math.inf, math.inf)
) -> str:
    """The interval in words, cut at what is possible; "" where there is none."""
    if math.isnan(interval.low):
        return ""
    low, high = (float(np.clip(end, *limits)) for end in (interval.low, interval.high))
    first, last = say(low), say(high)
    unit = last[-2:]
    if unit[:1] == " " and first.endswith(unit):  # 93 G to 122 G
        first = first.removesuffix(unit)
    return f"{first} to {last}"
