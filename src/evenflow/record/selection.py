"""Choosing rows: conditions on runs and sites look at the few runs and sites, not at every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError, suggest
from evenflow.record.axes import KINDS, PHASES, ROW_KEYS, SITE_COLUMNS, SOURCES, STATUSES
from evenflow.record.schema import STATISTICS

if TYPE_CHECKING:
    from evenflow.record.table import Table

_VOCABULARY = {"kind": KINDS, "phase": PHASES, "source": SOURCES, "status": STATUSES}


def select(table: Table, conditions: Mapping[str, object]) -> Table:
    """The rows of `table` that meet every condition; see `Table.select`."""
    rows = np.ones(len(table), dtype=bool)
    runs = np.ones(len(table.runs), dtype=bool)
    for name, condition in conditions.items():
        _check_words(name, condition)
        if name in SITE_COLUMNS and not callable(condition):
            rows &= _meets([getattr(site, name) for site in table.sites], condition)[table.index["site"]]
        elif name in ROW_KEYS[1:] or name in table.figures or name in STATISTICS:
            rows &= _mask(table[name], condition)
        else:
            values = list(range(len(table.runs))) if name == "run" else table.run_values(name)
            runs &= _mask(vector(values), condition) if callable(condition) else _meets(values, condition)
    return _taken(table, np.flatnonzero(rows & runs[table.index["run"]]), np.flatnonzero(runs))


def vector(values: Sequence[object]) -> NDArray[Any]:
    """A vector of numbers or of words where all are of one sort, else of objects."""
    if {type(value) for value in values} in ({int}, {float}, {str}, {bool}):
        return np.array(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _taken(table: Table, rows: NDArray[np.int64], runs: NDArray[np.int64]) -> Table:
    index = {name: values[rows] for name, values in table.index.items()}
    sites, index["site"] = np.unique(index["site"], return_inverse=True)
    index["run"] = np.searchsorted(runs, index["run"])
    return type(table)(
        tuple(table.runs[place] for place in runs),
        tuple(table.sites[place] for place in sites),
        index,
        {name: values[rows] for name, values in table.figures.items()},
    )


def _mask(column: NDArray[Any], condition: Any) -> NDArray[np.bool_]:
    if callable(condition):
        return np.asarray(condition(column), dtype=bool)
    return np.isin(column, np.array(_listed(condition)))


def _meets(values: Sequence[object], condition: object) -> NDArray[np.bool_]:
    wanted = _listed(condition)
    return np.array([value in wanted for value in values], dtype=bool)


def _listed(condition: object) -> list[Any]:
    return list(condition) if isinstance(condition, list | tuple | set | frozenset | range) else [condition]


def _check_words(name: str, condition: object) -> None:
    """A misspelt kind would select nothing and be taken for "nothing was measured"."""
    if name not in _VOCABULARY or callable(condition):
        return
    known = _VOCABULARY[name]
    for word in _listed(condition):
        if word not in known:
            words = ", ".join(f'"{each}"' for each in known)
            raise SpecError(f'{name} "{word}" is not known{suggest(str(word), known)}; known: {words}')
