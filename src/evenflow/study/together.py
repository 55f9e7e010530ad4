"""Train groups of cells with the fast engine, in a process of their own, into the store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from evenflow.record.store import Store
from evenflow.spec.activation import Activation
from evenflow.spec.study import Cell
from evenflow.study.data import DataSet, load
from evenflow.study.energy import EnergyMeter
from evenflow.study.engines.grouping import Piece
from evenflow.study.engines.moment import Stopwatch
from evenflow.study.engines.snapshot import of_jax
from evenflow.study.engines.start import one_thread
from evenflow.study.flops import flops_per_step
from evenflow.study.ledger import Ledger

_SECONDS_BETWEEN_SNAPSHOTS = 10.0
_ENDED = ("finished", "diverged")


def work_piece(_custom: Sequence[Activation], piece: Piece, path: Path, jobs: int) -> None:
    """Train groups of one kind one after another, so that what is compiled for the first serves all.

    The custom activations come first because unpickling makes their names known, which the cells then need.
    """
    with Store.open(path, "a") as store:
        for _ in training_of_piece(piece, load(piece.cells[0].data), store, jobs):
            pass


def training_of_piece(piece: Piece, data: DataSet, store: Ledger, jobs: int) -> Iterator[None]:
    """The same, yielding after every record."""
    one_thread()
    from threadpoolctl import threadpool_limits

    from evenflow.study.engines.compiled.kept import keep_programs

    keep_programs()
    with threadpool_limits(1):
        for group in piece.groups:
            yield from training_together(group, piece.size, data, store, jobs)
    import jax

    jax.clear_caches()  # the next piece is of another kind: nothing of it is compiled yet


def train_together(cells: Sequence[Cell], size: int, data: DataSet, path: Path, jobs: int) -> None:
    """Train cells of one kind into the store."""
    with Store.open(path, "a") as store:
        for _ in training_together(cells, size, data, store, jobs):
            pass


def training_together(
    cells: Sequence[Cell], size: int, data: DataSet, store: Ledger, jobs: int
) -> Iterator[None]:
    """Train cells of one kind, from their last snapshots where there are any, and yield after every record.

    Cells that were killed at different steps are trained apart, each with the others of its step. Where there are
    fewer than `size`, the last is trained several times over and written once.
    """
    by_step: dict[int, list[tuple[Cell, int, bytes | None]]] = {}
    status = {run.key: run.status for run in store.runs([cell.key for cell in cells])}
    for cell in cells:
        run = store.begin(cell.key, cell.seed, cell.fields)
        if status.get(cell.key) in _ENDED:
            continue
        step, kept = store.checkpoint(run) or (-1, None)
        if kept is not None and not of_jax(kept):  # of the other engine: begun anew
            step, kept = -1, None
        by_step.setdefault(step, []).append((cell, run, kept))
    for members in by_step.values():
        yield from _train(members, size, data, store, jobs)


def _train(
    members: Sequence[tuple[Cell, int, bytes | None]], size: int, data: DataSet, store: Ledger, jobs: int
) -> Iterator[None]:
    from evenflow.study.engines.jax import train

    filled = [*members, *[members[-1]] * (size - len(members))]
    cells = [cell for cell, _, _ in filled]
    resume = [kept for _, _, kept in filled]
    first = cells[0]
    samples, inputs = data.train_inputs.shape
    stopwatch = Stopwatch()
    operations = flops_per_step(first.network, inputs, data.classes, min(first.training.batch, samples))
    facts = {"flops_per_step": operations, "classes": data.classes, "diverged_at": None, "engine": "jax"}
    spent = [store.runs([cell.key])[0].facts.get("joules") if kept else None for cell, _, kept in members]
    for _, run, _ in members:
        store.update(run, status="running")
    last_snapshot = time.monotonic()
    with EnergyMeter(shared_by=jobs * len(members)) as energy:
        for moments in train(cells, data, stopwatch, resume):
            keep = time.monotonic() - last_snapshot > _SECONDS_BETWEEN_SNAPSHOTS
            here = [(place, moments[place]) for place in range(len(members)) if place in moments]
            snapshots = {place: moment.snapshot() for place, moment in here} if keep else {}
            with store.at_once():  # one transaction a step of the group, not one a network
                for place, moment in here:
                    cell, run, _ = members[place]
                    joules = {"joules": _sum(spent[place], energy.joules)}
                    facts_so_far = joules if keep else None
                    store.append(
                        run, moment.step, moment.rows, checkpoint=snapshots.get(place), facts=facts_so_far
                    )
                    if moment.diverged or moment.step == cell.training.steps:
                        ended = {"seconds_per_step": stopwatch.seconds_per_step, **joules}
                        if moment.diverged:
                            ended["diverged_at"] = moment.step
                        store.finish(run, "diverged" if moment.diverged else "finished", facts | ended)
            if keep:
                last_snapshot = time.monotonic()
            yield


def _sum(before: object, now: float | None) -> float | None:
    return now + before if now is not None and isinstance(before, float) else now
