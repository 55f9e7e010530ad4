"""Train one cell with the torch engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from evenflow.spec.activation import Activation, activation
from evenflow.spec.study import Cell
from evenflow.study.data import DataSet
from evenflow.study.energy import EnergyMeter
from evenflow.study.engines.moment import Stopwatch
from evenflow.study.engines.snapshot import of_jax
from evenflow.study.flops import flops_per_step
from evenflow.study.ledger import Ledger

# A killed training repeats at most this much work; its records are never lost.
_SECONDS_BETWEEN_SNAPSHOTS = 10.0


def training(cell: Cell, data: DataSet, store: Ledger, jobs: int) -> Iterator[None]:
    """Train one cell, from its last snapshot where there is one, and yield after every record."""
    from evenflow.study.engines.torch import train

    stopwatch = Stopwatch()
    batch = min(cell.training.batch, len(data.train_inputs))
    facts: dict[str, object] = {
        "flops_per_step": flops_per_step(cell.network, data.shape, data.classes, batch),
        "classes": data.classes,
        "diverged_at": None,
        "engine": "torch",
    }
    with _one_thread(), EnergyMeter(shared_by=jobs) as energy:
        run = store.begin(cell.key, cell.seed, cell.fields)
        store.update(run, status="running")
        kept = store.checkpoint(run)
        if kept is not None and of_jax(kept[1]):  # of the other engine: begun anew
            kept = None
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
            yield
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


def custom_activations(cell: Cell) -> tuple[Activation, ...]:
    """The activations of a cell that the user has registered, which a process elsewhere does not know."""
    names = dict.fromkeys(cell.network.activation_names)
    return tuple(function for function in map(activation, names) if function.custom)
