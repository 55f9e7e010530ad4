"""A table in other people's formats; each library is imported only when it is asked for."""

from __future__ import annotations

import csv
import html
import json
import math
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import DataError, UnavailableError
from evenflow.record.axes import ROW_KEYS

if TYPE_CHECKING:
    import pandas
    import polars
    import xarray

    from evenflow.record.table import Table

_SHOWN_ROWS = 8


def flat_columns(table: Table) -> dict[str, NDArray[Any]]:
    """Every column: key and seed of the run, its fields, the columns of the row, the statistics.

    A field that is neither a number nor a word is written as JSON; one that has the name of another column,
    such as `depth`, becomes `run.depth`.
    """
    taken = {*ROW_KEYS, "key", "seed", *table.statistics}
    fields = dict.fromkeys(field for run in table.runs for field in run.fields)
    columns: dict[str, NDArray[Any]] = {"key": table["key"], "seed": table["seed"]}
    for field in fields:
        values = _plain([run.fields.get(field) for run in table.runs])
        columns[f"run.{field}" if field in taken else field] = values[table.index["run"]]
    columns |= {name: table[name] for name in ROW_KEYS if name != "run"}
    return columns | {name: table[name] for name in table.statistics}


def _plain(values: list[Any]) -> NDArray[Any]:
    scalars = [value if isinstance(value, str | int | float) else json.dumps(value) for value in values]
    array = np.empty(len(values), dtype=object)
    array[:] = [None if value is None else scalar for value, scalar in zip(values, scalars, strict=True)]
    sorts = {type(value) for value in array}
    if sorts in ({int}, {float}, {str}, {bool}):
        return np.array(array.tolist())
    if sorts == {int, float}:
        return array.astype(np.float64)
    if str in sorts and len(sorts - {type(None)}) > 1:  # polars takes no column of mixed sorts
        array[:] = [None if value is None else str(value) for value in array]
    return array


def to_pandas(table: Table) -> pandas.DataFrame:
    return _library("pandas").DataFrame(flat_columns(table))


def to_polars(table: Table) -> polars.DataFrame:
    columns = flat_columns(table).items()
    return _library("polars").DataFrame({name: c.tolist() if c.dtype == object else c for name, c in columns})


def to_xarray(table: Table) -> xarray.Dataset:
    """Dimensions run, step and place, each statistic a dense array, NaN where there is no row.

    A place is a site in one phase and of one source, so that the array is not mostly empty.
    """
    library = _library("xarray")
    index = table.index
    steps, of_step = np.unique(index["step"], return_inverse=True)
    rows = np.column_stack([index["site"], index["phase"], index["source"]])
    _, first, of_place = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    shape = (len(table.runs), len(steps), len(first))
    coordinates: dict[str, Any] = {"run": [run.key for run in table.runs], "step": steps}
    coordinates["seed"] = ("run", np.array([run.seed for run in table.runs], dtype=np.int64))
    for name in ("name", "kind", "depth", "units", "phase", "source"):
        coordinates[name] = ("place", table[name][first])
    for field in dict.fromkeys(field for run in table.runs for field in run.fields):
        name = f"run.{field}" if field in coordinates or field in table.statistics else field
        coordinates[name] = ("run", _plain([run.fields.get(field) for run in table.runs]))
    data = {}
    for name in table.statistics:
        dense = np.full(shape, np.nan)
        dense[index["run"], of_step, of_place.reshape(-1)] = table[name]
        data[name] = (("run", "step", "place"), dense)
    return library.Dataset(data, coords=coordinates)


def to_csv(table: Table, path: str | PathLike[str]) -> None:
    columns = flat_columns(table)
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(map(_cell, column.tolist()) for column in columns.values()), strict=True))
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror}; choose another path or free space"
        ) from error


def _cell(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def to_html(table: Table) -> str:
    """The summary and the first rows, for notebooks."""
    columns = flat_columns(table)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    shown = [[_text(value) for value in column[:_SHOWN_ROWS].tolist()] for column in columns.values()]
    body = "".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in zip(*shown, strict=True)
    )
    return (
        f"<p>{html.escape(repr(table))}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _text(value: object) -> str:
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(_cell(value)))


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UnavailableError(f"{name} is not installed; run: pip install {name}") from None
