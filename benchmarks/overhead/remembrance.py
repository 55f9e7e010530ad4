"""Memory held by every contender on all workloads: rows of figures, and a table of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from .contenders import BARE, Contender
from .jobs import JobError, Options, apart, job_of, memory_of
from .progress import bar
from .workloads import Workload

Row = dict[str, Any]


def remember(
    workloads: Sequence[Workload], contenders: Sequence[Contender], options: Options, console: Console
) -> dict[str, list[Row]]:
    """Measure, print a table of every workload, and give the rows by workload.

    What autograd saves more than in a bare step is held by the contender, too. Compiled contenders are left out:
    what their graph saves is not what autograd saves.
    """
    chosen = [BARE, *(one for one in contenders if not one.compiled)]
    figures: dict[str, list[Row]] = {}
    with bar(console, "contenders", len(workloads) * len(chosen)) as (advance, _):
        for workload in workloads:
            rows: list[Row] = []
            for one in chosen:
                rows.append(row_of(workload, one, options))
                if "activations" in rows[-1] and "activations" in rows[0]:
                    bare = rows[0]["activations"]
                    rows[-1]["forward"] += rows[-1]["activations"] - bare
                    rows[-1]["of_activations"] = rows[-1]["forward"] / bare
                advance()
            console.print(table(workload, rows))
            figures[workload.name] = rows
    return figures


def row_of(workload: Workload, contender: Contender, options: Options) -> Row:
    """Figures of one contender, or why there are none."""
    row: Row = {"contender": contender.name, "gives": contender.gives}
    try:
        found = apart(memory_of, job_of(workload.name, (contender,), options), lambda: None)
    except JobError as error:
        return row | {"left_out": str(error)}
    return row | asdict(found) | {"of_activations": found.forward / found.activations}


def table(workload: Workload, rows: Sequence[Row]) -> Table:
    """Rows on one workload."""
    sizes = [row["activations"] for row in rows if "activations" in row]
    saved = f"; {sizes[0] / 1024:.0f} KiB of activations saved by autograd" if sizes else ""
    found = Table(title=f"{workload.name}: {workload.words}{saved}", title_justify="left")
    for column in ("contender", "KiB always", "by a forward pass", "of activations", "Python's", "gives"):
        words = column in ("contender", "gives")
        found.add_column(column, justify="left" if words else "right", no_wrap=column != "gives")
    for row in rows:
        found.add_row(*cells(row))
    return found


def cells(row: Row) -> Iterator[str]:
    """One line of the table."""
    yield row["contender"]
    if "left_out" in row:
        yield from ("-",) * 4
        yield f"left out: {row['left_out']}"
        return
    yield f"{row['always'] / 1024:.1f}"
    yield f"{row['forward'] / 1024:.1f}"
    yield f"{row['of_activations']:.2%}"
    yield f"{row['python'] / 1024:.1f}"
    yield row["gives"]
