"""What one recorded step becomes in the file; every function runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from evenflow.errors import StoreError, suggest
from evenflow.record.meta import merged
from evenflow.record.schema import PHASES, SOURCES, STATISTICS, STATUSES, Site

if TYPE_CHECKING:
    from evenflow.record.table import Table

Row = tuple[Site, str, Mapping[str, float]]

_PLAIN = frozenset((float, type(None)))


def change_run(
    connection: sqlite3.Connection,
    run: int,
    *,
    status: str | None = None,
    steps_done: int = 0,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Set the status, raise the steps done, add facts; a run with steps is no longer pending."""
    if status is not None and status not in STATUSES:
        raise StoreError(
            f'status "{status}" is not known{suggest(status, STATUSES)}; known: {", ".join(STATUSES)}'
        )
    found = connection.execute("SELECT facts FROM run WHERE id = ?", (run,)).fetchone()
    if found is None:
        raise StoreError(f"the store has no run {run}; begin(key, seed, fields) gives a run its number")
    text = found[0] if facts is None else merged(found[0], facts, f"the facts of run {run}")
    connection.execute(
        "UPDATE run SET status = coalesce(?, status), steps_done = max(steps_done, ?), facts = ? WHERE id = ?",
        (status, steps_done, text, run),
    )


def checked_figures(rows: Sequence[Row], source: str) -> tuple[list[str], list[list[float | None]]]:
    """The names of all statistics in `rows`, and for each row its figures in their order.

    Only registered names pass, so that what becomes a column of the file is never free text.

    Raises:
        StoreError: a source, phase or statistic is not known, or a figure is not a number.
    """
    checked_source(source)
    names = list(dict.fromkeys(chain.from_iterable(row[2] for row in rows)))
    for name in names:
        if name not in STATISTICS:
            raise StoreError(
                f'statistic "{name}" is not registered{suggest(name, STATISTICS)}; register_statistic(...) adds one'
            )
    return names, [_figures(*row, names) for row in rows]


def _figures(
    site: Site, phase: str, figures: Mapping[str, float], names: Sequence[str]
) -> list[float | None]:
    if phase not in PHASES:
        known = ", ".join(f'"{each}"' for each in PHASES)
        raise StoreError(
            f'phase "{phase}" of site "{site.name}" is not known{suggest(phase, PHASES)}; known: {known}'
        )
    found = list(map(figures.get, names))
    if found.count(None) == len(names) - len(figures) and _PLAIN.issuperset(map(type, found)):
        return found  # as nearly always, and this is called for every row
    try:
        return [float(figures[name]) if name in figures else None for name in names]
    except (TypeError, ValueError):
        name, value = next((name, value) for name, value in figures.items() if not _is_number(value))
        raise StoreError(f'{name} of site "{site.name}" is {value!r}, which is not a number') from None


def _is_number(value: object) -> bool:
    try:
        float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return False
    return True


def add_columns(connection: sqlite3.Connection, names: Collection[str]) -> None:
    """A column for each statistic that the file does not have yet, and what it means."""
    there = {row[1] for row in connection.execute("PRAGMA table_info(record)")}
    for name in names:
        if name not in there:
            connection.execute(f'ALTER TABLE record ADD COLUMN "{name}"')
            connection.execute("INSERT INTO statistic VALUES (?, ?, ?, ?, ?, ?)", astuple(STATISTICS[name]))


def checked_source(source: str) -> str:
    """The source, which has to be known.

    Raises:
        StoreError: it is not.
    """
    if source not in SOURCES:
        raise StoreError(
            f'source "{source}" is not known{suggest(source, SOURCES)}; known: {", ".join(SOURCES)}'
        )
    return source


def begin(connection: sqlite3.Connection, key: str, seed: int, fields: str, source: str) -> int:
    """The number of a run; a new one is pending. Stores have no column for the source until one is needed."""
    values = {"key": key, "seed": seed, "fields": fields}
    if checked_source(source) != "measured":
        if "source" not in {row[1] for row in connection.execute("PRAGMA table_info(run)")}:
            connection.execute("ALTER TABLE run ADD COLUMN source TEXT NOT NULL DEFAULT 'measured'")
        values["source"] = source
    connection.execute(
        f"INSERT OR IGNORE INTO run ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
        tuple(values.values()),
    )
    return connection.execute("SELECT id FROM run WHERE key = ?", (key,)).fetchone()[0]


def place(connection: sqlite3.Connection, site: Site, phase: str) -> int:
    """The number of a site in a phase."""
    values = (*astuple(site), phase)
    connection.execute(
        "INSERT OR IGNORE INTO place (name, kind, depth, units, phase) VALUES (?, ?, ?, ?, ?)", values
    )
    return connection.execute(
        "SELECT id FROM place WHERE (name, kind, depth, units, phase) = (?, ?, ?, ?, ?)", values
    ).fetchone()[0]


def moment(connection: sqlite3.Connection, run: int, step: int, source: str) -> int:
    """A new number for this step; rows that an earlier writing of it left are carried over to it."""
    key = (run, step, source)
    old = connection.execute("SELECT id FROM moment WHERE (run, step, source) = (?, ?, ?)", key).fetchone()
    if old is not None:
        connection.execute("DELETE FROM moment WHERE id = ?", old)
    new = connection.execute("INSERT INTO moment (run, step, source) VALUES (?, ?, ?)", key).lastrowid
    assert new is not None
    if old is not None:
        connection.execute("UPDATE record SET moment = ? WHERE moment = ?", (new, *old))
    return new


def add_rows(
    connection: sqlite3.Connection,
    moment: int,
    places: Sequence[int],
    names: Sequence[str],
    figures: Sequence[Sequence[float | None]],
) -> None:
    """The rows of one moment; NaN becomes NULL on the way, as SQLite has no NaN."""
    columns = "".join(f', "{name}"' for name in names)
    connection.executemany(
        f"INSERT OR REPLACE INTO record (moment, place{columns}) VALUES (?, ?{', ?' * len(names)})",
        [(moment, place, *row) for place, row in zip(places, figures, strict=True)],
    )


def add_table(
    connection: sqlite3.Connection, run: int, table: Table, place_of: Callable[[Site, str], int]
) -> None:
    """The rows of a whole table, whose columns are there."""
    index = table.index
    keys = index["site"] * len(PHASES) + index["phase"]
    found, each = np.unique(keys, return_inverse=True)
    places = np.array(
        [place_of(table.sites[key // len(PHASES)], PHASES[key % len(PHASES)]) for key in found]
    )[each]
    steps, each = np.unique(index["step"] * len(SOURCES) + index["source"], return_inverse=True)
    moments = np.array(
        [moment(connection, run, int(key // len(SOURCES)), SOURCES[key % len(SOURCES)]) for key in steps]
    )[each]
    columns = "".join(f', "{name}"' for name in table.statistics)
    connection.executemany(
        f"INSERT OR REPLACE INTO record (moment, place{columns}) VALUES (?, ?{', ?' * len(table.statistics)})",
        zip(
            moments.tolist(),
            places.tolist(),
            *(values.tolist() for values in table.figures.values()),
            strict=True,
        ),
    )


def rewind(connection: sqlite3.Connection, run: int, step: int) -> None:
    """Delete everything that the run recorded after `step`."""
    change_run(connection, run)
    later = "FROM moment WHERE run = ? AND step > ?"
    connection.execute(f"DELETE FROM record WHERE moment IN (SELECT id {later})", (run, step))
    connection.execute(f"DELETE {later}", (run, step))
    connection.execute("UPDATE run SET steps_done = min(steps_done, ?) WHERE id = ?", (step, run))
