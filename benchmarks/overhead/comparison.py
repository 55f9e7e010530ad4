"""All groups of contenders on all workloads: rows of figures, and a table of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .contenders import Contender
from .jobs import JobError, Options, apart, job_of, times_of
from .progress import bar
from .ratios import ratio
from .timing import Times, groups, turns
from .workloads import Workload

Row = dict[str, Any]


def compare(
    workloads: Sequence[Workload], contenders: Sequence[Contender], options: Options, console: Console
) -> dict[str, list[Row]]:
    """Measure, print a table of every workload, and give the rows by workload."""
    chosen = groups(contenders)
    planned = [turns(group, workload.inner, options.rounds) for workload in workloads for group in chosen]
    ends = [*itertools.accumulate(places * (options.warm_up + rounds) for places, rounds in planned)]
    figures: dict[str, list[Row]] = {}
    with bar(console, "rounds", ends[-1]) as (advance, reach):
        for place, workload in enumerate(workloads):
            tables = []
            for index, group in enumerate(chosen, start=place * len(chosen)):
                try:
                    times = apart(times_of, job_of(workload.name, group, options), advance)
                except JobError as error:
                    times = Times({}, {}, {one.name: str(error) for one in group})
                reach(ends[index])
                tables.append([*rows(times, group, workload)])
            console.print(table(workload, tables, options.rounds))
            figures[workload.name] = [row for several in tables for row in several]
    return figures


def rows(times: Times, group: Sequence[Contender], workload: Workload) -> Iterator[Row]:
    """Figures of a group, each contender's against the first; none of bare copies that stand alone."""
    bare = group[0].name
    for one in group:
        row: Row = {"contender": one.name, "gives": one.gives}
        if one.name in times.left_out:
            yield row | {"left_out": times.left_out[one.name]}
        if one.name not in times.cpu:
            continue
        cpu, wall = times.cpu[one.name], times.wall[one.name]
        row["milliseconds"] = float(np.median(cpu)) / 1e6 / workload.inner
        if one.name != bare:
            found = ratio(cpu, times.cpu[bare], one.period, workload.inner)
            if found is None:
                needed = one.period // math.gcd(one.period, workload.inner)
                yield row | {"left_out": f"needs --rounds {needed} at least"}
                continue
            by_wall = ratio(wall, times.wall[bare], one.period, workload.inner)
            assert by_wall is not None  # as many rounds as the other
            row |= {"cpu": vars(found), "wall": vars(by_wall)}
        row |= {"cpu_ns": cpu.tolist(), "wall_ns": wall.tolist()}
        yield row


def table(workload: Workload, several: Sequence[Sequence[Row]], rounds: int) -> Table:
    """Rows of all groups on one workload, a section each."""
    many = "s" if workload.inner > 1 else ""
    title = f"{workload.name}: {workload.words}; {rounds} rounds of {workload.inner} step{many}"
    found = Table(title=title, title_justify="left")
    for column in ("contender", "ms a step", "CPU ratio", "90 %", "totals", "wall ratio", "gives"):
        words = column in ("contender", "gives")
        found.add_column(column, justify="left" if words else "right", no_wrap=column != "gives")
    for section in several:
        for row in section:
            found.add_row(*cells(row))
        found.add_section()
    return found


def cells(row: Row) -> Iterator[str]:
    """One line of the table."""
    yield row["contender"]
    if "left_out" in row:
        yield from ("-",) * 5
        yield f"left out: {row['left_out']}"
        return
    yield f"{row['milliseconds']:.2f}"
    if "cpu" in row:
        cpu = row["cpu"]
        yield f"{cpu['median']:.3f}"
        yield f"{cpu['low']:.3f} to {cpu['high']:.3f}"
        yield f"{cpu['totals']:.3f}"
        yield f"{row['wall']['median']:.3f}"
    else:
        yield from ("1", "", "", "1")
    yield row["gives"]
