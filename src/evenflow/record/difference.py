"""Whether two tables hold the same figures, and if not, where they part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evenflow.record.axes import PHASES, SOURCES

if TYPE_CHECKING:
    from evenflow.record.table import Table


def difference(first: Table, second: Table) -> str:
    """The first difference in words, "" where there is none; the order of rows, runs and sites does not count.

    Runs are compared by key, seed, fields, status, steps done and source (their facts hold seconds, which never
    agree), rows by run, step, site, phase and source, figures exactly: NaN equals NaN, 0 equals -0.
    """
    return _of_runs(first, second) or _of_rows(first, second)


def _of_runs(first: Table, second: Table) -> str:
    ours, theirs = ({run.key: run for run in table.runs} for table in (first, second))
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in ours or key not in theirs:
            return f'run "{key}" is only in the {"first" if key in ours else "second"} table'
        for name in ("seed", "fields", "status", "steps_done", "source"):
            a, b = getattr(ours[key], name), getattr(theirs[key], name)
            if a != b:
                return f'run "{key}": {name} is {a!r} in the first table and {b!r} in the second'
    return ""


def _of_rows(first: Table, second: Table) -> str:
    ours, theirs = _places(first, second)
    our_order, their_order = np.lexsort(ours.T[::-1]), np.lexsort(theirs.T[::-1])
    ours, theirs = ours[our_order], theirs[their_order]
    shared = min(len(ours), len(theirs))
    unequal = np.flatnonzero((ours[:shared] != theirs[:shared]).any(axis=1))
    rows_agree = int(unequal[0]) if len(unequal) else shared

    names = sorted({*first.statistics, *second.statistics})
    a = np.column_stack([np.empty((rows_agree, 0)), *(first[n][our_order[:rows_agree]] for n in names)])
    b = np.column_stack([np.empty((rows_agree, 0)), *(second[n][their_order[:rows_agree]] for n in names)])
    differ = (a != b) & ~(np.isnan(a) & np.isnan(b))
    if differ.any():
        row, column = np.argwhere(differ)[0]
        place = _words(first, int(our_order[row]))
        return (
            f"{place}: {names[column]} is {float(a[row, column])!r} in the first table "
            f"and {float(b[row, column])!r} in the second"
        )
    if rows_agree == len(ours) == len(theirs):
        return ""
    ours_is_next = rows_agree < len(ours) and (
        rows_agree == len(theirs) or tuple(ours[rows_agree]) < tuple(theirs[rows_agree])
    )
    if ours_is_next:
        return f"{_words(first, int(our_order[rows_agree]))} is only in the first table"
    return f"{_words(second, int(their_order[rows_agree]))} is only in the second table"


def _places(first: Table, second: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every row the numbers of run, step, site, phase and source, the same numbers in both tables."""
    runs = {
        key: number for number, key in enumerate(sorted({run.key for run in (*first.runs, *second.runs)}))
    }
    sites = {site: number for number, site in enumerate(sorted({*first.sites, *second.sites}))}

    def places(table: Table) -> NDArray[np.int64]:
        of_run = np.array([runs[run.key] for run in table.runs], dtype=np.int64)
        of_site = np.array([sites[site] for site in table.sites], dtype=np.int64)
        index = table.index
        columns = [
            of_run[index["run"]],
            index["step"],
            of_site[index["site"]],
            index["phase"],
            index["source"],
        ]
        return np.column_stack(columns)

    return places(first), places(second)


def _words(table: Table, row: int) -> str:
    run, site = table.runs[table.index["run"][row]], table.sites[table.index["site"][row]]
    phase, source = PHASES[table.index["phase"][row]], SOURCES[table.index["source"][row]]
    return (
        f'run "{run.key}", step {table.index["step"][row]}, {site.kind} "{site.name}"'
        f"{f', phase {phase}' if phase else ''}, {source}"
    )
