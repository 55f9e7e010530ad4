"""Run every cell of a study, resume what was begun, and leave everything in one store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from evenflow.errors import EvenflowError, SpecError
from evenflow.record.axes import Run
from evenflow.record.lock import lock
from evenflow.record.store import Store
from evenflow.spec.activation import Activation
from evenflow.spec.data import Data
from evenflow.spec.families import AnyNetwork
from evenflow.spec.files import study_to_text
from evenflow.spec.network import Network
from evenflow.spec.study import Cell, Study
from evenflow.study.alone import custom_activations, training
from evenflow.study.data import DataSet, digest, load
from evenflow.study.engines.choice import Choice, Engine, choices
from evenflow.study.engines.grouping import Alike, Piece, alike, group_size, pieces
from evenflow.study.foresight import Told, foresee
from evenflow.study.machine import machine, usable_cores, versions
from evenflow.study.places.place import Where, connect, where
from evenflow.study.pool import side_by_side

_SECONDS_BETWEEN_NEWS = 0.5
_ENDED = ("finished", "diverged")

Progress = Callable[[tuple[Run, ...]], None]


@dataclass(frozen=True)
class Outcome:
    """What a call of `run_study` did: keys of all cells, of those it trained now, and the failures."""

    keys: tuple[str, ...]
    trained: tuple[str, ...]
    failed: Mapping[str, str]


def plan(study: Study) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """Every cell of the study's grid, and those that its remedies add.

    Reads the data sets once, so that a wrong file is named before anything runs.

    Raises:
        DataError: a data set cannot be loaded.
        SpecError: a combination is repeated, or a network cannot read its data.
    """
    digests: dict[Data, str] = {}
    for cell in (*study.cells(), *study.remedied_cells()):
        if cell.data not in digests:
            _load(cell.data)
            digests[cell.data] = digest(cell.data)
        _check_readable(cell.network, cell.data)
    return study.cells(digests), study.remedied_cells(digests)


def _check_readable(network: AnyNetwork, data: Data) -> None:
    """Raise SpecError where the network cannot read samples of this shape; a fully connected one reads any."""
    if isinstance(network, Network):
        return
    try:
        network.sample(_load(data).shape)
    except SpecError as error:
        raise SpecError(f'data set "{data.name}": {error}') from None


def run_study(
    study: Study,
    path: str | Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    predicting: Told | None = None,
    engine: Engine = "auto",
    on: str = "local",
    tell: Callable[[str], None] | None = None,
) -> Outcome:
    """Predict, then train, every cell that the store at `path` does not hold yet, those of its remedies too.

    Args:
        study: the specification.
        path: the store; made when missing. Cells of other studies in it stay.
        jobs: processes, each with one thread; when left out, the number of cores. Elsewhere: tasks at once.
        progress: called about twice a second with the runs of all cells.
        predicting: called before, with how many of how many networks are predicted.
        engine: `torch`, one network at a time; `jax`, networks of one shape together, as far as it can; or `auto`, the
            second where it is installed, can and pays. Both give the same figures to rounding.
        on: `local`; `ray`, or `ray=HOST:PORT`, a Ray cluster; `slurm`, or `slurm=FOLDER`, with a folder that all
            machines see. The store stays here, and this process alone writes into it.
        tell: given sentences about where the networks are trained, and what became of workers that were lost.

    Raises:
        StoreError: the store is in use, not a store, read-only, or the disk is full. Nothing recorded is lost.
        UnavailableError: jax, Ray or Slurm is asked for and not installed.
        DataError: a data set cannot be loaded.
        EvenflowError: a cluster does not answer, or dies. Nothing recorded is lost.
    """
    path, place = Path(path), where(on)
    originals, remedied = plan(study)
    cells = (*originals, *remedied)
    here = jobs or usable_cores() if place.kind == "local" else usable_cores()
    found = choices(cells, engine)
    with lock(path), Store.open(path, "a") as store:
        store.meta["study"] = study_to_text(study)
        store.meta["machine"] = machine()
        store.meta["versions"] = versions()
        keys = tuple(cell.key for cell in cells)
        store.meta["keys"] = keys[: len(originals)]
        store.meta["remedied"] = keys[len(originals) :]
        for cell in cells:
            store.begin(cell.key, cell.seed, cell.fields)
        ended = {run.key for run in store.runs(keys) if run.status in _ENDED}
        pending = [cell for cell in cells if cell.key not in ended]
        watch = _Watch(store, keys, progress)
        foreseen = partial(foresee, originals, store, here, predicting)
        if pending and place.kind != "local":
            failed = _run_away(place, jobs, found, pending, foreseen, watch, tell or _unheard)
        else:
            foreseen()
            watch()
            work = _pieces(found, pending, here)
            if min(here, len(work)) <= 1 and not any(piece.size for piece in work):
                failed = _run_here(pending, path, watch)
            else:
                failed = _run_in_processes(work, path, here, watch)
        watch()
    return Outcome(keys, tuple(cell.key for cell in pending), failed)


class _Watch:
    """Reads from the store how far every cell is, and tells the progress callback."""

    def __init__(self, store: Store, keys: Sequence[str], progress: Progress | None) -> None:
        self.store, self.keys, self.progress = store, keys, progress
        self.last = -math.inf

    def __call__(self) -> None:
        if self.progress:
            self.progress(self.store.runs(self.keys))
            self.last = time.monotonic()

    def after_record(self) -> None:
        """The same, unless it was told a moment ago."""
        if time.monotonic() - self.last > _SECONDS_BETWEEN_NEWS:
            self()


def _run_here(cells: Sequence[Cell], path: Path, watch: _Watch) -> dict[str, str]:
    failed: dict[str, str] = {}
    for cell in cells:
        with _failures((cell,), path, failed):
            train_cell(cell, path, 1, watch.after_record)
        watch()
    return failed


def _run_away(
    place: Where,
    jobs: int | None,
    found: Sequence[Choice],
    pending: Sequence[Cell],
    foreseen: Callable[[], None],
    watch: _Watch,
    tell: Callable[[str], None],
) -> dict[str, str]:
    """Train cells at another place, which is connected to before anything is computed."""
    from evenflow.study.places.driver import Driver, check_portable

    check_portable(dict.fromkeys(one for cell in pending for one in custom_activations(cell)))
    with closing(connect(place, watch.store.path, jobs)) as away:
        tell(f"trained on {away.words}")
        foreseen()
        watch()
        return Driver(away, watch.store, _load, tell).run(
            _pieces(found, pending, away.slots), watch.after_record
        )


def _unheard(_text: str) -> None:
    """For who does not want to be told."""


def _pieces(found: Sequence[Choice], pending: Sequence[Cell], jobs: int) -> list[Piece]:
    """What is still to do, divided for `jobs` processes."""
    waiting = {cell.key for cell in pending}
    kinds: dict[Alike, list[Cell]] = {}
    alone: list[Piece] = []
    for choice in found:
        for cell in choice.cells:
            if choice.engine == "jax":
                kinds.setdefault(alike(cell), []).append(cell)
            elif cell.key in waiting:
                alone.append(Piece(((cell,),)))
    together: dict[Alike, tuple[list[Cell], int]] = {}
    for kind, cells in kinds.items():
        data = _load(kind.data)
        size = group_size(kind, len(cells), data.train_inputs.shape[1], data.classes)
        if left := [cell for cell in cells if cell.key in waiting]:
            together[kind] = (left, size)
    return [*pieces(together, jobs), *alone]


def _run_in_processes(work: Sequence[Piece], path: Path, jobs: int, watch: _Watch) -> dict[str, str]:
    """Train cells side by side; where a process is killed, find out by which cells, and go on with the others."""
    failed: dict[str, str] = {}
    waiting = list(work)
    while waiting:
        broken = _run_pool(waiting, path, jobs, watch, failed)
        with Store.open(path) as store:
            begun = {run.key for run in store.runs() if run.status == "running"}
        suspects = [piece for piece in broken if any(cell.key in begun for cell in piece.cells)]
        if broken and not suspects:
            raise EvenflowError("the processes of --jobs are killed as soon as they start; try --jobs 1")
        for piece in (group for suspect in suspects for group in suspect.apart()):
            if _run_pool([piece], path, 1, watch, failed):
                _note_failure(
                    piece.cells, path, failed, "its process was killed, alone too; is there enough memory?"
                )
        waiting = [piece for piece in broken if piece not in suspects]
    return failed


def _run_pool(
    work: Sequence[Piece], path: Path, jobs: int, watch: _Watch, failed: dict[str, str]
) -> list[Piece]:
    """Do pieces of work in processes; returns those not done when a process was killed from outside."""
    jobs = min(jobs, len(work))

    def note(piece: Piece, result: Callable[[], None]) -> None:
        with _failures(piece.cells, path, failed):
            result()

    arguments = [(piece, (custom_activations(piece.cells[0]), piece, path, jobs)) for piece in work]
    return side_by_side(do, arguments, jobs, note, watch)


def do(custom: Sequence[Activation], piece: Piece, path: Path, jobs: int) -> None:
    """One piece of work in a process of its own; the custom activations are known once they are unpickled."""
    if piece.size:
        from evenflow.study.together import work_piece

        work_piece(custom, piece, path, jobs)
    else:
        train_cell(piece.cells[0], path, jobs, lambda: None)


def train_cell(cell: Cell, path: Path, jobs: int, after_record: Callable[[], None]) -> None:
    """Train one cell into the store."""
    with Store.open(path, "a") as store:
        for _ in training(cell, _load(cell.data), store, jobs):
            after_record()


@contextmanager
def _failures(cells: Sequence[Cell], path: Path, failed: dict[str, str]) -> Iterator[None]:
    """Cells that cannot be trained are a result: noted in the store, and the others go on."""
    from loky.process_executor import BrokenProcessPool

    try:
        yield
    except (EvenflowError, BrokenProcessPool):
        raise
    except Exception as error:
        _note_failure(cells, path, failed, f"{type(error).__name__}: {error}")


def _note_failure(cells: Sequence[Cell], path: Path, failed: dict[str, str], message: str) -> None:
    """Note it for those of the cells that have not ended."""
    with Store.open(path, "a") as store:
        ended = {run.key for run in store.runs([cell.key for cell in cells]) if run.status in _ENDED}
        for cell in cells:
            if cell.key not in ended:
                failed[cell.key] = message
                store.finish(store.begin(cell.key, cell.seed, cell.fields), "failed", {"message": message})


@lru_cache(maxsize=2)
def _load(data: Data) -> DataSet:
    return load(data)
