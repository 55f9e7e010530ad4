"""Repairs as tables of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from .result import Count, Result, count
from .scoring import wilson

COLUMNS = (
    "faults",
    "repaired",
    "mean gain, points",
    "way closed",
    "trial steps",
    "for each repaired",
    "all steps",
    "seconds",
)


def repairers(some: Mapping[str, Sequence[Result]], title: str) -> Table:
    """One line a repairer, and one of each on what both have repaired, and on what no training can mend."""
    table = Table(title=title, title_justify="left")
    table.add_column("repairer")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, chosen in rows(some).items():
        table.add_row(name, str(len(chosen)), *_figures(count(chosen)))
    return table


def causes(some: Mapping[str, Sequence[Result]], title: str) -> Table:
    """One line a cause."""
    table = Table(title=title, title_justify="left")
    table.add_column("cause")
    for repairer in some:
        for column in ("faults", "repaired", "trial steps"):
            table.add_column(f"{repairer}: {column}", justify="right")
    mendable = {name: _mendable(chosen) for name, chosen in some.items()}
    for cause in sorted({one.cause for chosen in mendable.values() for one in chosen}):
        cells = []
        for chosen in mendable.values():
            own = count([one for one in chosen if one.cause == cause])
            cells += [str(own.repaired.count), str(own.repaired), f"{own.trials:.0f}"]
        table.add_row(cause, *cells)
    return table


def sound(some: Sequence[Result], title: str) -> Table:
    """How often nothing is said to need a change, and how often a change makes it worse."""
    chosen = [one for one in some if one.verdict == "sound"]
    table = Table(title=title, title_justify="left")
    for column in ("sound trainings", "nothing needs to change", "made worse", "trial steps", "seconds"):
        table.add_column(column, justify="right")
    alone = wilson(sum(not one.change for one in chosen), len(chosen))
    worse = wilson(sum(one.worse for one in chosen), len(chosen))
    own = count(chosen)
    table.add_row(str(len(chosen)), str(alone), str(worse), f"{own.trials:.0f}", f"{own.seconds:.1f}")
    return table


def rows(some: Mapping[str, Sequence[Result]]) -> dict[str, list[Result]]:
    """Faults by what the line of a table is called."""
    found = {name: _mendable(chosen) for name, chosen in some.items()}
    both = set.intersection(*({one.name for one in chosen if one.repaired} for chosen in found.values()))
    lines = dict(found)
    if len(found) > 1 and both:
        for name, chosen in found.items():
            lines[f"{name}, where both repair"] = [one for one in chosen if one.name in both]
    for name, chosen in some.items():
        beyond = [one for one in chosen if one.verdict == "fault" and one.beyond]
        if beyond:
            lines[f"{name}, beyond the training"] = beyond
    return {name: chosen for name, chosen in lines.items() if chosen}


def markdown(some: Mapping[str, Sequence[Result]], name: str) -> str:
    """The first table and the one by cause, for the documentation."""
    lines = [f"| {name} | {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * len(COLUMNS)]
    lines += [
        f"| {row} | {len(chosen)} | {' | '.join(_figures(count(chosen)))} |"
        for row, chosen in rows(some).items()
    ]
    mendable = {repairer: _mendable(chosen) for repairer, chosen in some.items()}
    lines += ["", "| cause | " + " | ".join(f"{one}: faults | repaired" for one in some) + " |"]
    lines += ["| --- |" + " ---: |" * (2 * len(some))]
    for cause in sorted({one.cause for chosen in mendable.values() for one in chosen}):
        own = [count([one for one in chosen if one.cause == cause]) for chosen in mendable.values()]
        lines.append(
            f"| {cause} | " + " | ".join(f"{one.repaired.count} | {one.repaired}" for one in own) + " |"
        )
    return "\n".join(lines) + "\n"


def _mendable(some: Sequence[Result]) -> list[Result]:
    return [one for one in some if one.verdict == "fault" and not one.beyond]


def _figures(own: Count) -> tuple[str, ...]:
    return (
        str(own.repaired),
        f"{own.gain:.1f}",
        f"{own.closed:.2f}",
        f"{own.trials:.0f}",
        f"{own.each:.0f}",
        f"{own.steps:.0f}",
        f"{own.seconds:.1f}",
    )
