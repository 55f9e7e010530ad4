"""The table on disk: one SQLite file that is appended to, resumed and followed.

WAL and one transaction per recorded step: a process killed at any moment loses at most the step it was about
to write, and others read while it writes. A row has a column per statistic, added when it first appears.
Steps are `moment` rows, whose numbers only grow, so that a reader can ask for what is new. NaN is stored as
NULL (SQLite has no NaN) and read as NaN; every other figure keeps all its bits. WAL needs a local disk: on a
network file system give each machine its own file and concatenate the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from types import TracebackType

from evenflow.errors import SpecError, StoreError
from evenflow.record import reading, writing
from evenflow.record.connection import connect, damage, translated
from evenflow.record.meta import Meta, encoded
from evenflow.record.schema import Run, Site, Statistic
from evenflow.record.table import Table
from evenflow.record.writing import Row


class Store:
    """An open store; use it as a context manager. One object belongs to one process and one thread.

    Attributes:
        path: the file.
        mode: "r" or "a".
        meta: JSON values by name, such as the specification; a mapping that reads and writes the file.
    """

    def __init__(self, path: str | PathLike[str], mode: str = "r") -> None:
        self.path = Path(path)
        self.mode = mode
        self._connection = connect(self.path, mode)
        self._places: dict[tuple[Site, str], int] = {}
        self._columns: set[str] = set()
        self.meta = Meta(self._connection, self.path, self._writing)

    @classmethod
    def open(cls, path: str | PathLike[str], mode: str = "r") -> Store:
        """Open the store at `path` to read ("r") or to append ("a", which makes it where there is none).

        Raises:
            StoreError: no store, another format version, a place that cannot be read or written, a full disk.
        """
        return cls(path, mode)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last to close merges the -wal file into it."""
        self._connection.close()

    def _place(self, connection: sqlite3.Connection, site: Site, phase: str) -> int:
        number = self._places.get((site, phase))
        if number is None:
            number = self._places[site, phase] = writing.place(connection, site, phase)
        return number

    def __repr__(self) -> str:
        return f'Store({str(self.path)!r}, "{self.mode}")'

    def begin(self, key: str, seed: int, fields: Mapping[str, object], source: str = "measured") -> int:
        """The number of the run named `key`; makes it, pending, where the store does not know it yet.

        A run of another `source` is kept apart from the trainings: `runs` and `table` give it only when asked for it.
        """
        text = encoded(dict(fields), f'the fields of run "{key}"')
        with self._writing() as connection:
            try:
                return writing.begin(connection, key, int(seed), text, source)
            except OverflowError:
                raise StoreError(f'seed {seed} of run "{key}" is too large; use at most 2**63 - 1') from None

    def append(
        self,
        run: int,
        step: int,
        rows: Iterable[Row],
        *,
        source: str = "measured",
        checkpoint: bytes | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Record one step of a run in one transaction: rows (site, phase, {statistic: figure}).

        A row that is there already is replaced, so the same step may be written again. `checkpoint`, from which
        the run can go on after this step, replaces the one before. `facts` are added to the run's.

        Raises:
            StoreError: a statistic, phase or source is not registered, the run is not known, a figure is not a
                number, the disk is full. Nothing of this step is then recorded, everything before it is.
        """
        rows = list(rows)
        names, figures = writing.checked_figures(rows, source)
        with self._writing() as connection:
            writing.change_run(connection, run, status="running", steps_done=step, facts=facts)
            if not self._columns.issuperset(names):
                writing.add_columns(connection, names)
                self._columns.update(names)
            places = [self._place(connection, site, phase) for site, phase, _ in rows]
            writing.add_rows(
                connection, writing.moment(connection, run, step, source), places, names, figures
            )
            if checkpoint is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)", (run, step, checkpoint)
                )

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Everything that is written inside is one transaction: recorded whole or not at all, and sooner."""
        with self._writing():
            yield

    def extend(self, run: int, table: Table) -> None:
        """Record all steps of a table of one run in one transaction: much faster than `append` step by step.

        Raises:
            StoreError: the table has several runs, the run is not known, the disk is full. Nothing of the table is
                then recorded.
        """
        if len(table.runs) != 1:
            raise StoreError(
                f"a table of {len(table.runs)} runs cannot be added to run {run}; select one of them"
            )
        if not len(table):
            return
        names = list(table.statistics)
        with self._writing() as connection:
            writing.change_run(connection, run, status="running", steps_done=int(table["step"].max()))
            if not self._columns.issuperset(names):
                writing.add_columns(connection, names)
                self._columns.update(names)
            writing.add_table(
                connection, run, table, lambda site, phase: self._place(connection, site, phase)
            )

    def checkpoint(self, run: int) -> tuple[int, bytes] | None:
        """(step, state) of the run's last checkpoint."""
        with translated(self.path):
            return self._connection.execute(
                "SELECT step, state FROM checkpoint WHERE run = ?", (run,)
            ).fetchone()

    def rewind(self, run: int, step: int) -> None:
        """Forget what the run recorded after `step`, to go on from a checkpoint of that step."""
        with self._writing() as connection:
            writing.rewind(connection, run, step)

    def update(
        self, run: int, *, status: str | None = None, facts: Mapping[str, object] | None = None
    ) -> None:
        """Set the status of a run and add to its facts."""
        with self._writing() as connection:
            writing.change_run(connection, run, status=status, facts=facts)

    def finish(self, run: int, status: str = "finished", facts: Mapping[str, object] | None = None) -> None:
        """Set the last status of a run, add to its facts, drop its checkpoint."""
        with self._writing() as connection:
            writing.change_run(connection, run, status=status, facts=facts)
            connection.execute("DELETE FROM checkpoint WHERE run = ?", (run,))

    def runs(self, keys: Collection[str] | None = None, *, source: str = "measured") -> tuple[Run, ...]:
        """The runs of a source, or those named by `keys`; keys that the store does not know are left out."""
        with self._snapshot() as connection:
            return tuple(reading.runs(connection, keys, source).values())

    def statistics(self) -> tuple[Statistic, ...]:
        """What the columns of this file mean, also those that this process has not registered."""
        with translated(self.path):
            rows = self._connection.execute("SELECT name, meaning, formula, unit, merge, over FROM statistic")
            return tuple(Statistic(*row) for row in rows)

    def table(
        self,
        keys: Collection[str] | None = None,
        *,
        kinds: Collection[str] | None = None,
        since: int | None = None,
        source: str = "measured",
    ) -> Table:
        """The figures as they are at one moment: of the runs `keys`, the site kinds `kinds`, from step `since` on.

        Runs without rows are in the table too. `source = "predicted"` gives, instead of the trainings, what theory
        said of their networks.
        """
        with self._snapshot() as connection:
            return reading.table(connection, keys, kinds, since, source=source)

    @property
    def data_version(self) -> int:
        """A number that differs from the last one read if another connection has changed the file: cheap to ask."""
        with translated(self.path):
            return self._connection.execute("PRAGMA data_version").fetchone()[0]

    def changes(self, after: int = 0) -> tuple[Table, int]:
        """What was recorded since a former call returned the number `after`, and the number for the next call.

        Steps that were recorded again are in it; steps that `rewind` took away and predictions are not told.
        """
        with self._snapshot() as connection:
            last = connection.execute("SELECT coalesce(max(id), 0) FROM moment").fetchone()[0]
            return reading.table(connection, after=after), max(after, last)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self.mode != "a":
            raise StoreError(f'store {self.path} is open for reading only; open it with mode "a" to write')
        with translated(self.path):
            inside = self._connection.in_transaction
        if inside:  # of `at_once`
            yield self._connection
            return
        with translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back where the disk is full
                    self._connection.execute("ROLLBACK")
                self._places.clear()
                self._columns.clear()
                raise

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            except (ValueError, SpecError) as error:  # a word where a number was, text that is no JSON
                raise StoreError(damage(self.path, str(error))) from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
