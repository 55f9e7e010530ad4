"""The file's rows as a table; every function runs inside the caller's transaction, so that it sees one state."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from evenflow.record.schema import KINDS, PHASES, SOURCES, STATISTICS, Run, Site
from evenflow.record.table import Table

# Rows that are held as Python objects at once; bounds the memory, changes nothing else.
_CHUNK = 20_000


def runs(
    connection: sqlite3.Connection, keys: Collection[str] | None = None, source: str = "measured"
) -> dict[int, Run]:
    """The runs of one source by number, in the order in which they were begun."""
    known = {row[1] for row in connection.execute("PRAGMA table_info(run)")}
    # a store without predictions has no such column
    column = "source" if "source" in known else "'measured'"
    chosen, values = ("", ()) if keys is None else (f"AND key IN {_ONE_OF}", (json.dumps(list(keys)),))
    rows = connection.execute(
        f"""SELECT id, key, seed, fields, status, steps_done, facts FROM run
        WHERE {column} = ? {chosen} ORDER BY id""",
        (source, *values),
    )
    return {
        row[0]: Run(row[1], row[2], json.loads(row[3]), row[4], row[5], json.loads(row[6]), source)
        for row in rows
    }


def table(
    connection: sqlite3.Connection,
    keys: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
    since: int | None = None,
    after: int = 0,
    source: str = "measured",
) -> Table:
    """The rows of runs of one source, as `Store.table` takes its arguments, of moments above `after`."""
    chosen = runs(connection, keys, source)
    moments = _matrix(
        connection,
        f"""SELECT id, run, step, {_place_in("source", SOURCES)} FROM moment
        WHERE run IN {_ONE_OF} AND step >= ? AND id > ?""",
        (json.dumps(list(chosen)), -(1 << 62) if since is None else since, after),
        4,
    ).astype(np.int64)
    places, sites = _places(connection, kinds)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(record)")]
    ranks = {name: rank for rank, name in enumerate(STATISTICS)}
    # like the order of places: it does not depend on what was written first, a prediction or a training
    names = sorted(
        (name for name in columns if name not in ("moment", "place")),
        key=lambda name: ranks.get(name, len(ranks)),
    )
    every = keys is None and since is None and not after and source == "measured"
    wanted_moments = None if every else moments[:, 0]
    rows = _records(connection, names, wanted_moments, None if kinds is None else places[:, 0])
    if every and len(chosen) < connection.execute("SELECT count(*) FROM run").fetchone()[0]:
        # to read the few rows of predictions too and drop them is faster than to name every other moment
        rows = rows[np.isin(rows[:, 0], moments[:, 0])]

    moments = moments[np.argsort(moments[:, 0])]
    of_moment = np.searchsorted(moments[:, 0], rows[:, 0].astype(np.int64))
    places = places[np.argsort(places[:, 0])]
    of_place = np.searchsorted(places[:, 0], rows[:, 1].astype(np.int64))
    index = {
        "run": np.searchsorted(np.array(list(chosen), dtype=np.int64), moments[of_moment, 1]),
        "step": moments[of_moment, 2],
        "source": moments[of_moment, 3],
        "site": places[of_place, 1],
        "phase": places[of_place, 2],
    }
    order = np.lexsort((index["phase"], index["site"], index["source"], index["step"], index["run"]))
    used, site = np.unique(index["site"][order], return_inverse=True)
    index = {name: values[order] for name, values in index.items()} | {"site": site}
    figures = {name: rows[order, column] for column, name in enumerate(names, start=2)}
    return Table(tuple(chosen.values()), tuple(sites[number] for number in used), index, figures)


_ONE_OF = "(SELECT value FROM json_each(?))"  # a list of any length as one parameter


def _place_in(column: str, words: Collection[str]) -> str:
    cases = (f"WHEN '{word}' THEN {place}" for place, word in enumerate(words))
    return f"CASE {column} {' '.join(cases)} END"


def _places(
    connection: sqlite3.Connection, kinds: Collection[str] | None
) -> tuple[NDArray[np.int64], list[Site]]:
    """For every place its number, its site and its phase; and the sites."""
    sites: dict[Site, int] = {}
    places = []
    rows = connection.execute("SELECT id, name, kind, depth, units, phase FROM place ORDER BY depth, id")
    # an order that does not depend on what was written first, a prediction or a training
    for number, name, kind, depth, units, phase in sorted(rows, key=lambda row: (row[3], _rank(row[2]))):
        if kinds is None or kind in kinds:
            site = sites.setdefault(Site(name, kind, depth, units), len(sites))
            places.append((number, site, PHASES.index(phase)))
    return np.array(places, dtype=np.int64).reshape(-1, 3), list(sites)


def _rank(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _records(
    connection: sqlite3.Connection,
    names: Collection[str],
    moments: NDArray[np.int64] | None,
    places: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    wanted = {"moment": moments, "place": places}
    narrowed = {column: numbers.tolist() for column, numbers in wanted.items() if numbers is not None}
    conditions = [f"{column} IN {_ONE_OF}" for column in narrowed]
    values = [json.dumps(numbers) for numbers in narrowed.values()]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    columns = "".join(', "{}"'.format(name.replace('"', '""')) for name in names)
    return _matrix(connection, f"SELECT moment, place{columns} FROM record {where}", values, 2 + len(names))


def _matrix(
    connection: sqlite3.Connection, query: str, values: Collection[object], width: int
) -> NDArray[np.float64]:
    """The answer as float64, NULL as NaN; numbers of rows and steps are exact up to 2⁵³."""
    cursor = connection.execute(query, tuple(values))  # pyright: ignore[reportArgumentType]
    parts = [np.empty((0, width))]
    while rows := cursor.fetchmany(_CHUNK):
        parts.append(np.array(rows, dtype=np.float64))
    return np.concatenate(parts)
