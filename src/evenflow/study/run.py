"""Run every cell of a study, resume what was begun, and leave everything in one store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from evenflow.errors import EvenflowError
from evenflow.record.axes import Run
from evenflow.record.lock import lock
from evenflow.record.store import Store
from evenflow.spec.activation import Activation, activation
from evenflow.spec.data import Data
from evenflow.spec.files import study_to_text
from evenflow.spec.study import Cell, Study
from evenflow.study.data import DataSet, digest, load
from evenflow.study.energy import EnergyMeter
from evenflow.study.flops import flops_per_step
from evenflow.study.foresight import Told, foresee
from evenflow.study.machine import machine, usable_cores, versions
from evenflow.study.pool import side_by_side

# A killed training repeats at most this much work; its records are never lost.
_SECONDS_BETWEEN_SNAPSHOTS = 10.0
_SECONDS_BETWEEN_NEWS = 0.5

Progress = Callable[[tuple[Run, ...]], None]


@dataclass(frozen=True)
class Outcome:
    """What a call of `run_study` did: keys of all cells, of those it trained now, and the failures."""

    keys: tuple[str, ...]
    trained: tuple[str, ...]
    failed: Mapping[str, str]


def plan(study: Study) -> tuple[Cell, ...]:
    """Every cell of the study; reads the data sets once, so that a wrong file is named before anything runs.

    Raises:
        DataError: a data set cannot be loaded.
        SpecError: a combination is repeated.
    """
    digests: dict[Data, str] = {}
    for cell in study.cells():
        if cell.data not in digests:
            _load(cell.data)
            digests[cell.data] = digest(cell.data)
    return study.cells(digests)


def run_study(
    study: Study,
    path: str | Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    predicting: Told | None = None,
) -> Outcome:
    """Predict, then train, every cell that the store at `path` does not hold yet.

    Args:
        study: the specification.
        path: the store; made when missing. Cells of other studies in it stay.
        jobs: processes, each with one thread; when left out, the number of cores.
        progress: called about twice a second with the runs of all cells.
        predicting: called before, with how many of how many networks are predicted.

    Raises:
        StoreError: the store is in use, not a store, read-only, or the disk is full. Nothing recorded is lost.
        DataError: a data set cannot be loaded.
    """
    path = Path(path)
    cells = plan(study)
    jobs = jobs or usable_cores()
    with lock(path), Store.open(path, "a") as store:
        store.meta["study"] = study_to_text(study)
        store.meta["machine"] = machine()
        store.meta["versions"] = versions()
        keys = tuple(cell.key for cell in cells)
        store.meta["keys"] = keys
        for cell in cells:
            store.begin(cell.key, cell.seed, cell.fields)
        foresee(cells, store, jobs, predicting)
        ended = {run.key for run in store.runs(keys) if run.status in ("finished", "diverged")}
        pending = [cell for cell in cells if cell.key not in ended]
        watch = _Watch(store, keys, progress)
        watch()
        if min(jobs, len(pending)) <= 1:
            failed = _run_here(pending, path, watch)
        else:
            failed = _run_in_processes(pending, path, jobs, watch)
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
        with _failures(cell, path, failed):
            train_cell(cell, path, 1, watch.after_record)
        watch()
    return failed


def _run_in_processes(cells: Sequence[Cell], path: Path, jobs: int, watch: _Watch) -> dict[str, str]:
    """Train cells side by side; where a process is killed, find out by which cell, and go on with the others."""
    failed: dict[str, str] = {}
    waiting = list(cells)
    while waiting:
        broken = _run_pool(waiting, path, jobs, watch, failed)
        with Store.open(path) as store:
            begun = {run.key for run in store.runs() if run.status == "running"}
        suspects = [cell for cell in broken if cell.key in begun]
        if broken and not suspects:
            raise EvenflowError("the processes of --jobs are killed as soon as they start; try --jobs 1")
        for cell in suspects:
            if _run_pool([cell], path, 1, watch, failed):
                _note_failure(
                    cell, path, failed, "its process was killed, alone too; is there enough memory?"
                )
        waiting = [cell for cell in broken if cell not in suspects]
    return failed


def _run_pool(
    cells: Sequence[Cell], path: Path, jobs: int, watch: _Watch, failed: dict[str, str]
) -> list[Cell]:
    """Train cells in processes; returns those that were not done when a process was killed from outside."""
    jobs = min(jobs, len(cells))

    def note(cell: Cell, result: Callable[[], None]) -> None:
        with _failures(cell, path, failed):
            result()

    arguments = [(cell, (_custom_activations(cell), cell, path, jobs)) for cell in cells]
    return side_by_side(work, arguments, jobs, note, watch)


def work(_custom: Sequence[Activation], cell: Cell, path: Path, jobs: int) -> None:
    """Train one cell in a process of its own.

    The custom activations come first because unpickling makes their names known, which the cell then needs.
    """
    train_cell(cell, path, jobs, lambda: None)


def train_cell(cell: Cell, path: Path, jobs: int, after_record: Callable[[], None]) -> None:
    """Train one cell into the store, from its last snapshot where there is one."""
    from evenflow.study.engines.torch import Stopwatch, train

    data = _load(cell.data)
    stopwatch = Stopwatch()
    samples, inputs = data.train_inputs.shape
    batch = min(cell.training.batch, samples)
    facts: dict[str, object] = {
        "flops_per_step": flops_per_step(cell.network, inputs, data.classes, batch),
        "classes": data.classes,
        "diverged_at": None,
    }
    with _one_thread(), Store.open(path, "a") as store, EnergyMeter(shared_by=jobs) as energy:
        run = store.begin(cell.key, cell.seed, cell.fields)
        store.update(run, status="running")
        kept = store.checkpoint(run)
        spent = store.runs([cell.key])[0].facts.get("joules") if kept else None
        last_snapshot = time.monotonic()
        for moment in train(cell, data, stopwatch, kept[1] if kept else None):
            if time.monotonic() - last_snapshot > _SECONDS_BETWEEN_SNAPSHOTS:
                so_far = {"joules": _sum(spent, energy.joules)}
                store.append(run, moment.step, moment.rows, checkpoint=moment.snapshot(), facts=so_far)
                last_snapshot = time.monotonic()
            else:
                store.append(run, moment.step, moment.rows)
            if moment.diverged:
                facts["diverged_at"] = moment.step
            after_record()
        facts |= {"seconds_per_step": stopwatch.seconds_per_step, "joules": _sum(spent, energy.joules)}
        store.finish(run, "finished" if facts["diverged_at"] is None else "diverged", facts)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread adds up in one order, whatever the number of processes; the caller's torch is left as it was."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def _sum(before: object, now: float | None) -> float | None:
    return now + before if now is not None and isinstance(before, float) else now


@contextmanager
def _failures(cell: Cell, path: Path, failed: dict[str, str]) -> Iterator[None]:
    """A cell that cannot be trained is a result: noted in the store, and the others go on."""
    from loky.process_executor import BrokenProcessPool

    try:
        yield
    except (EvenflowError, BrokenProcessPool):
        raise
    except Exception as error:
        _note_failure(cell, path, failed, f"{type(error).__name__}: {error}")


def _note_failure(cell: Cell, path: Path, failed: dict[str, str], message: str) -> None:
    failed[cell.key] = message
    with Store.open(path, "a") as store:
        store.finish(store.begin(cell.key, cell.seed, cell.fields), "failed", {"message": message})


def _custom_activations(cell: Cell) -> tuple[Activation, ...]:
    names = dict.fromkeys(cell.network.activation_names)
    return tuple(function for function in map(activation, names) if function.custom)


@lru_cache(maxsize=2)
def _load(data: Data) -> DataSet:
    return load(data)
