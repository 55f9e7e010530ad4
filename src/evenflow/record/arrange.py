"""Tables combined and condensed: concatenate, join, reduce, pivot.

Everything here works on whole columns; a group of rows is a stretch of a sorted vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError, suggest
from evenflow.record.axes import PHASES, ROW_KEYS, SITE_COLUMNS, SOURCES, Run

if TYPE_CHECKING:
    from evenflow.record.table import Columns, Table

Vector = NDArray[Any]


def concatenate(tables: Sequence[Table]) -> Table:
    """All rows of all `tables`, in order.

    Runs of equal key, seed and fields become one, with the status and the facts of the last table.

    Raises:
        SpecError: two runs have one key and differ in seed or fields.
    """
    runs: dict[str, Run] = {}
    for run in (run for table in tables for run in table.runs):
        known = runs.get(run.key, run)
        if (known.seed, known.fields) != (run.seed, run.fields):
            raise SpecError(
                f'two runs have the key "{run.key}" and differ in seed or fields; give each its own key'
            )
        runs[run.key] = run
    places = {key: place for place, key in enumerate(runs)}
    sites = {site: None for table in tables for site in table.sites}
    numbers = {site: place for place, site in enumerate(sites)}
    index: dict[str, list[Vector]] = {name: [] for name in ("run", "site", "step", "phase", "source")}
    for table in tables:
        for name, parts in index.items():
            column = table.index[name]
            if name == "run":
                column = np.array([places[run.key] for run in table.runs], dtype=np.int64)[column]
            elif name == "site":
                column = np.array([numbers[site] for site in table.sites], dtype=np.int64)[column]
            parts.append(column)
    names = dict.fromkeys(name for table in tables for name in table.statistics)
    return type(tables[0])(
        tuple(runs.values()),
        tuple(sites),
        {name: np.concatenate(parts) for name, parts in index.items()},
        {
            name: np.concatenate([table.figures.get(name, np.full(len(table), np.nan)) for table in tables])
            for name in names
        },
    )


def join(left: Table, right: Table, on: Sequence[str], suffixes: tuple[str, str]) -> Columns:
    """Every pair of a left and a right row that agree in the columns `on`, as `pandas.merge(how="inner")`.

    The result has the columns `on`, then the other columns of the rows (run, name, kind, depth, units, phase,
    source, step) and the statistics of both; a name that both have gets its side's suffix.
    """
    ours, theirs = _codes_of_two(left, right, on)
    order = np.argsort(theirs, kind="stable")
    first = np.searchsorted(theirs[order], ours, side="left")
    counts = np.searchsorted(theirs[order], ours, side="right") - first
    left_rows = np.repeat(np.arange(len(ours)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    right_rows = order[np.repeat(first, counts) + within]

    columns = {name: left[name][left_rows] for name in on}
    sides = (
        (left, left_rows, suffixes[0], {*ROW_KEYS, *right.statistics}),
        (right, right_rows, suffixes[1], {*ROW_KEYS, *left.statistics}),
    )
    for table, rows, suffix, shared in sides:
        for name in [*ROW_KEYS, *table.statistics]:
            if name not in on:
                columns[name + suffix if name in shared else name] = table[name][rows]
    return columns


def reduce(table: Table, statistic: str, over: Sequence[str], how: str) -> Columns:
    """One figure for each group of rows that agree in every column but those of `over`.

    `over` names columns of the row (`run`, `step`, `name`, `kind`, `depth`, `units`, `phase`, `source`), or
    `site` for name, kind, depth and units together, or `seed`: then runs that differ in nothing but the seed
    (or the key) fall together, and the run's fields stand in the result as columns.

    `how` is mean, std (divisor n − 1, NaN for one figure), min, max, median, sum or count. NaN is left out;
    a group of nothing but NaN gives NaN (count 0, and sum 0).

    Raises:
        SpecError: a column or a way to reduce is not known.
    """
    left_out = {name for word in over for name in (SITE_COLUMNS if word == "site" else (word,))}
    for word in left_out - {*ROW_KEYS, "seed"}:
        known = [*ROW_KEYS, "site", "seed"]
        raise SpecError(f'cannot reduce over "{word}"{suggest(word, known)}; known: {", ".join(known)}')
    keys = {name: table[name] for name in ROW_KEYS if name not in left_out}
    labels = dict(keys)
    if "seed" in left_out and "run" in keys:
        fields = dict.fromkeys(field for run in table.runs for field in run.fields if field != "seed")
        cells = [tuple(repr(run.fields.get(field)) for field in fields) for run in table.runs]
        keys["run"] = _first_seen(cells)[table.index["run"]]
        del labels["run"]
        labels = {_field_column(field): table[f"run.{field}"] for field in fields} | labels
    groups, first = _groups(list(keys.values()), len(table))
    figures = aggregate(table[statistic], groups, len(first), how)
    return {name: values[first] for name, values in labels.items()} | {statistic: figures}


def pivot(
    table: Table, statistic: str, rows: str, columns: str, how: str
) -> tuple[NDArray[np.float64], list[Any], list[Any]]:
    """A statistic as a matrix, ready for a heat map.

    Numbers label rows and columns in ascending order; names stand in the order of the sites, and the key or a
    field of the run in the order of the runs. Figures that fall into one cell are reduced by `how`.
    """
    row_codes, row_labels = _labelled(table, rows)
    column_codes, column_labels = _labelled(table, columns)
    shape = (len(row_labels), len(column_labels))
    cells = row_codes * shape[1] + column_codes
    matrix = aggregate(table[statistic], cells, shape[0] * shape[1], how, empty=np.nan)
    return matrix.reshape(shape), row_labels, column_labels


def aggregate(
    values: NDArray[np.float64], groups: Vector, number: int, how: str, *, empty: float | None = None
) -> NDArray[np.float64]:
    """Reduce `values` by group (0 to `number` − 1), NaN left out; `empty` is what a group without figures gives.

    >>> aggregate(np.array([1.0, 3.0, np.nan]), np.array([0, 0, 1]), 2, "mean")
    array([ 2., nan])
    """
    if how not in _WAYS:
        raise SpecError(f'cannot reduce by "{how}"{suggest(how, _WAYS)}; known: {", ".join(_WAYS)}')
    there = ~np.isnan(values)
    values, groups = values[there], groups[there]
    order = np.lexsort((values, groups))
    values = values[order]
    counts = np.bincount(groups, minlength=number)
    full = counts > 0
    starts = (np.cumsum(counts) - counts)[full]
    if empty is None:
        empty = 0.0 if how in ("sum", "count") else np.nan
    result = np.full(number, empty)
    if len(values):
        with np.errstate(invalid="ignore"):  # ∞ − ∞ in a spread is NaN, as it should be
            result[full] = _WAYS[how](values, starts, counts[full])
    return result


def _mean(values: Vector, starts: Vector, counts: Vector) -> Vector:
    return np.add.reduceat(values, starts) / counts


def _std(values: Vector, starts: Vector, counts: Vector) -> Vector:
    deviations = values - np.repeat(_mean(values, starts, counts), counts)
    squares = np.add.reduceat(deviations**2, starts)
    return np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)


def _median(values: Vector, starts: Vector, counts: Vector) -> Vector:
    low, high = values[starts + (counts - 1) // 2], values[starts + counts // 2]
    return np.where(low == high, low, low / 2 + high / 2)


_WAYS: dict[str, Callable[[Vector, Vector, Vector], Vector]] = {
    "mean": _mean,
    "std": _std,
    "min": lambda values, starts, _: values[starts],  # each group is sorted
    "max": lambda values, starts, counts: values[starts + counts - 1],
    "median": _median,
    "sum": lambda values, starts, _: np.add.reduceat(values, starts),
    "count": lambda _values, _starts, counts: counts.astype(np.float64),
}


def _field_column(field: str) -> str:
    """A field of the run as the name of a column beside those of the row."""
    return f"run.{field}" if field in ROW_KEYS else field


def _first_seen(values: Sequence[Any]) -> NDArray[np.int64]:
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def _codes(column: Vector) -> NDArray[np.int64]:
    if column.dtype == object:
        return _first_seen([repr(value) for value in column])
    return np.unique(column, return_inverse=True)[1].astype(np.int64)


def _groups(columns: Sequence[Vector], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every row its group, and for every group its first row; groups in the order of the columns' values."""
    combined = np.zeros(length, dtype=np.int64)
    for column in columns:
        codes = _codes(column)
        combined = combined * (codes.max(initial=0) + 1) + codes
        combined = np.unique(combined, return_inverse=True)[
            1
        ]  # small again, so that the product cannot overflow
    _, first, groups = np.unique(combined, return_index=True, return_inverse=True)
    return groups, first


def _codes_of_two(left: Table, right: Table, on: Sequence[str]) -> tuple[Vector, Vector]:
    both = [np.concatenate([left[name], right[name]]) for name in on]
    groups, _ = _groups(both, len(left) + len(right))
    return groups[: len(left)], groups[len(left) :]


def _labelled(table: Table, name: str) -> tuple[NDArray[np.int64], list[Any]]:
    if name in ("step", "depth", "units"):
        labels, codes = np.unique(table[name], return_inverse=True)
        return codes.astype(np.int64), labels.tolist()
    if name in ("name", "kind"):
        every, rows = [getattr(site, name) for site in table.sites], table.index["site"]
    elif name in ("phase", "source"):
        labels, codes = np.unique(table.index[name], return_inverse=True)
        words = PHASES if name == "phase" else SOURCES
        return codes.astype(np.int64), [words[label] for label in labels]
    else:
        every = list(range(len(table.runs))) if name == "run" else table.run_values(name)
        rows = table.index["run"]
        if all(isinstance(value, int | float) for value in every):
            labels, codes = np.unique(np.array(every), return_inverse=True)
            return codes.astype(np.int64)[rows], labels.tolist()
    labels = list({repr(value): value for value in every}.values())
    codes = _first_seen([repr(value) for value in every])
    return codes[rows], labels
