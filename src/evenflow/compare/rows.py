"""The rows of one run at a time, as plain arrays: cut once, read often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.record.schema import Run
from evenflow.record.table import Table

_PLACES = ("step", "name", "kind", "depth", "units", "phase")
_STATISTICS = ("grad_norm", "dead_fraction", "saturated_fraction", "loss", "accuracy", "recall")


@dataclass(frozen=True, eq=False)
class RunRows:
    """Rows of one run: columns of equal length. A statistic that was never recorded is all NaN."""

    run: Run
    columns: Mapping[str, NDArray]

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __getitem__(self, column: str) -> NDArray:
        return self.columns[column]

    def where(self, **wanted: object) -> RunRows:
        """The rows in which every named column has the value given."""
        mask = np.ones(len(self), dtype=bool)
        for column, value in wanted.items():
            mask &= self.columns[column] == value
        return RunRows(self.run, {name: values[mask] for name, values in self.columns.items()})

    def known(self, column: str) -> RunRows:
        """The rows in which `column` is a number."""
        mask = ~np.isnan(self.columns[column])
        return RunRows(self.run, {name: values[mask] for name, values in self.columns.items()})

    def at_end(self) -> RunRows:
        """The rows of the last recorded step."""
        return self.where(step=self["step"].max()) if len(self) else self

    def in_order(self, column: str) -> RunRows:
        """The rows with `column` rising."""
        order = np.argsort(self[column], kind="stable")
        return RunRows(self.run, {name: values[order] for name, values in self.columns.items()})


def by_run(table: Table) -> tuple[RunRows, ...]:
    """The measured rows of every run of the table, in the order of `table.runs`; a run may have none."""
    measured = np.flatnonzero(table["source"] == "measured")
    index = table["run"][measured]
    order = measured[np.argsort(index, kind="stable")]
    columns = {name: table[name][order] for name in (*_PLACES, *_STATISTICS)}
    ends = np.searchsorted(np.sort(index), np.arange(len(table.runs) + 1))
    return tuple(
        RunRows(run, {name: values[ends[number] : ends[number + 1]] for name, values in columns.items()})
        for number, run in enumerate(table.runs)
    )
