"""The table in memory: rows (run, step, site, phase, source), one float64 column per statistic.

What belongs to a run or to a site is kept once and looked up, so that 200,000 rows stay small and a
selection by activation function looks at a few runs instead of at every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError, suggest
from evenflow.record import arrange, difference, export, selection
from evenflow.record.axes import PHASES, ROW_KEYS, SITE_COLUMNS, SOURCES, Run, Site
from evenflow.record.schema import STATISTICS
from evenflow.record.selection import vector

if TYPE_CHECKING:
    import pandas
    import polars
    import xarray

Columns = dict[str, NDArray[Any]]

_RUN_COLUMNS = ("key", "seed", "status", "steps_done")


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Figures of many runs, steps and sites; frozen, its arrays cannot be written to.

    Make one with `Table.from_rows` or read it from a store. NaN means *not measured*, or measured and not a
    number; the table does not tell these two apart (`nonfinite_count` does).

    Args:
        runs: the runs; some may have no rows.
        sites: the sites.
        index: for every row its `run` (place in `runs`), `site` (place in `sites`), `step`, `phase` (place in
            `PHASES`) and `source` (place in `SOURCES`), each an integer vector.
        figures: the statistics, each a float64 vector; those that are NaN in every row are left out.
    """

    runs: tuple[Run, ...]
    sites: tuple[Site, ...]
    index: Mapping[str, NDArray[np.int64]]
    figures: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        index = {
            name: _frozen(self.index[name], np.int64) for name in ("run", "site", "step", "phase", "source")
        }
        figures = {name: _frozen(values, np.float64) for name, values in self.figures.items()}
        if len({len(values) for values in (*index.values(), *figures.values())}) > 1:
            raise SpecError("the columns of a table must be of one length")
        object.__setattr__(self, "index", index)
        measured = {name: values for name, values in figures.items() if not np.isnan(values).all()}
        object.__setattr__(self, "figures", measured)

    @classmethod
    def from_rows(
        cls,
        runs: Sequence[Run],
        rows: Iterable[tuple[int, int, Site, str, Mapping[str, float]]],
        *,
        source: str = "measured",
    ) -> Table:
        """A table from rows (place of the run in `runs`, step, site, phase, {statistic: figure}).

        >>> site = Site("hidden_1.weight", "weight", 1, 8)
        >>> Table.from_rows([Run("a")], [(0, 0, site, "accumulated", {"grad_norm": 2.0})])["grad_norm"]
        array([2.])
        """
        rows = list(rows)
        sites = {site: place for place, site in enumerate(dict.fromkeys(row[2] for row in rows))}
        for name in dict.fromkeys(name for row in rows for name in row[4]):
            if name not in STATISTICS:
                raise SpecError(f'statistic "{name}" is not registered{suggest(name, STATISTICS)}')
        for word in {row[3] for row in rows} - set(PHASES):
            raise SpecError(f'phase "{word}" is not known{suggest(word, PHASES)}')
        if source not in SOURCES:
            raise SpecError(f'source "{source}" is not known{suggest(source, SOURCES)}')
        index = {
            "run": [row[0] for row in rows],
            "step": [row[1] for row in rows],
            "site": [sites[row[2]] for row in rows],
            "phase": [PHASES.index(row[3]) for row in rows],
            "source": [SOURCES.index(source)] * len(rows),
        }
        names = dict.fromkeys(name for row in rows for name in row[4])
        figures = {name: [row[4].get(name, np.nan) for row in rows] for name in names}
        return cls(
            tuple(runs),
            tuple(sites),
            {name: np.array(values, dtype=np.int64) for name, values in index.items()},
            {name: np.array(values, dtype=np.float64) for name, values in figures.items()},
        )

    def __len__(self) -> int:
        return len(self.index["run"])

    def __repr__(self) -> str:
        steps = self.index["step"]
        span = f", steps {steps.min()} to {steps.max()}" if len(self) else ""
        return (
            f"Table({len(self):,} rows, {len(self.runs)} runs, {len(self.sites)} sites{span}; "
            f"{', '.join(self.statistics) or 'no statistics'})"
        )

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the statistics of which at least one figure is present."""
        return tuple(self.figures)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One column: of the row (`ROW_KEYS`), a statistic, or of the row's run (key, seed, status, or a field).

        A registered statistic that nothing measured is all NaN. A field of the run that has the name of another
        column, such as the depth of the network, is `run.depth`.

        Raises:
            SpecError: there is no such column.
        """
        if name in ("run", "step"):
            return self.index[name]
        if name in ("phase", "source"):
            return np.array(PHASES if name == "phase" else SOURCES)[self.index[name]]
        if name in SITE_COLUMNS:
            values = [getattr(site, name) for site in self.sites]
            kind = np.int64 if name in ("depth", "units") else np.str_
            return np.array(values, dtype=kind)[self.index["site"]]
        if name in self.figures:
            return self.figures[name]
        if name in STATISTICS:
            return np.full(len(self), np.nan)
        return vector(self.run_values(name))[self.index["run"]]

    def run_values(self, name: str) -> list[object]:
        """For every run its key, seed, status, steps_done, or a field (`run.NAME` or, where it is clear, `NAME`)."""
        if name in _RUN_COLUMNS:
            return [getattr(run, name) for run in self.runs]
        name = name.removeprefix("run.")
        fields = dict.fromkeys(field for run in self.runs for field in run.fields)
        if name not in fields:
            known = [*ROW_KEYS, *_RUN_COLUMNS, *STATISTICS, *self.figures, *fields]
            raise SpecError(f'the table has no column "{name}"{suggest(name, known)}')
        return [run.fields.get(name) for run in self.runs]

    def select(self, **conditions: object) -> Table:
        """The rows that meet every condition: a value, a list or tuple of which it is one, or a function.

        A function gets the whole column (as `table[name]` gives it) and returns a vector of booleans. Conditions
        on runs leave out the other runs; conditions on rows keep every run, so that a run without rows still
        counts.

        >>> table = Table.from_rows([Run("a"), Run("b", seed=1)], [])
        >>> [run.key for run in table.select(seed=1).runs], len(table.select(kind="weight").runs)
        (['b'], 2)
        """
        return selection.select(self, conditions)

    def concatenate(self, *others: Table) -> Table:
        """All rows of all tables; runs of equal key become one, rows are not compared."""
        return arrange.concatenate([self, *others])

    def join(
        self,
        other: Table,
        on: Sequence[str] = ("step", "name", "kind", "phase"),
        suffixes: tuple[str, str] = ("_left", "_right"),
    ) -> Columns:
        """Every pair of rows that agree in the columns `on`; other columns that both have get a suffix."""
        return arrange.join(self, other, on, suffixes)

    def reduce(self, statistic: str, over: Sequence[str] = ("run",), how: str = "mean") -> Columns:
        """One figure for each group of rows that agree in every column but `over`: see `arrange.reduce`."""
        return arrange.reduce(self, statistic, over, how)

    def pivot(
        self, statistic: str, rows: str = "depth", columns: str = "step", how: str = "mean"
    ) -> tuple[NDArray[np.float64], list[Any], list[Any]]:
        """(matrix, row labels, column labels) of a statistic; NaN where nothing was measured: `arrange.pivot`."""
        return arrange.pivot(self, statistic, rows, columns, how)

    def equals(self, other: Table) -> bool:
        """Whether both hold the same runs and the same figures, in whatever order."""
        return not self.difference(other)

    def difference(self, other: Table) -> str:
        """The first place where the two differ, in words, or "" where they do not."""
        return difference.difference(self, other)

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame of all columns, the run's fields included."""
        return export.to_pandas(self)

    def to_polars(self) -> polars.DataFrame:
        """A DataFrame of all columns, the run's fields included."""
        return export.to_polars(self)

    def to_xarray(self) -> xarray.Dataset:
        """A Dataset with dimensions run, step and place (a site in one phase and of one source)."""
        return export.to_xarray(self)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write all columns as CSV, figures with every digit, "not measured" as an empty cell."""
        export.to_csv(self, path)

    def _repr_html_(self) -> str:
        return export.to_html(self)


def _frozen(values: NDArray[Any], kind: type[np.generic]) -> NDArray[Any]:
    array = np.array(values, dtype=kind)
    array.setflags(write=False)
    return array
