"""What theory says of the networks of a study, written into its store beside their trainings.

A prediction needs no weights and no training, so cells that differ only in these share one. It is for one batch,
the first of the study's first seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evenflow.errors import EvenflowError, SpecError
from evenflow.record.axes import PHASES
from evenflow.record.store import Store
from evenflow.record.table import Table
from evenflow.record.writing import Row
from evenflow.spec.activation import Activation, activation
from evenflow.spec.content import content_hash
from evenflow.spec.data import Data
from evenflow.spec.families import AnyNetwork
from evenflow.spec.specification import GRID_KEYS
from evenflow.spec.study import Cell
from evenflow.study.forecast import predict
from evenflow.study.machine import versions
from evenflow.study.pool import side_by_side

Told = Callable[[int, int], None]

_FEW = 12  # predictions that are made sooner than processes for them have started


@dataclass(frozen=True)
class Topic:
    """A network, its data and its batch; what of a cell decides its prediction.

    Args:
        key: content hash of all the others and of the version of the theory.
        fields: of the cell, but only those that matter: the prediction is that of every cell that has them all.
    """

    key: str
    network: AnyNetwork
    data: Data
    batch: int
    seed: int
    fields: dict[str, object]


def topics(cells: Sequence[Cell]) -> tuple[Topic, ...]:
    """One for every distinct network × data × batch, in the order of the cells."""
    found: dict[str, Topic] = {}
    version = versions()["evenflow"]
    for cell in cells:
        seed, batch = cells[0].seed, cell.training.batch
        parts = [cell.network.hash, cell.data.plain, batch, seed, cell.digest, version]
        key = content_hash(["prediction", *parts])
        if key not in found:
            fields = {
                name: value
                for name, value in cell.fields.items()
                if GRID_KEYS[name][0] != "training" or name == "batch"
            }
            found[key] = Topic(key, cell.network, cell.data, batch, seed, fields)
    return tuple(found.values())


def foresee(cells: Sequence[Cell], store: Store, jobs: int, told: Told | None = None) -> None:
    """Write a run of source `predicted` for every topic that the store has none of.

    A run that is not finished when the process is killed is computed again next time. A network that theory refuses
    gets a failed run with the reason as its fact `message`; where the computation itself fails, the reason is noted
    too, but the run stays pending and is tried again.

    Args:
        cells: of the study, its first seed in front.
        store: open to append; its meta value `predictions` becomes the keys.
        jobs: processes; with one, and for a few predictions, the work is done here.
        told: called with how many of how many are known; not at all where none is open.
    """
    asked = topics(cells)
    store.meta["predictions"] = keys = [topic.key for topic in asked]
    ended = ("finished", "failed")
    known = {run.key for run in store.runs(keys, source="predicted") if run.status in ended}
    waiting = [topic for topic in asked if topic.key not in known]
    done = 0

    def tell() -> None:
        if told and waiting:
            told(len(known) + done, len(asked))

    def note(topic: Topic, answer: Callable[[], Table | str]) -> None:
        nonlocal done
        _write(store, topic, answer)
        done += 1
        tell()

    tell()
    if jobs <= 1 or len(waiting) <= _FEW:
        for topic in waiting:
            note(topic, lambda topic=topic: answer_to((), topic))
        return
    work = [(topic, (_custom_activations(topic), topic)) for topic in waiting]
    for topic in side_by_side(answer_to, work, min(jobs, len(work)), note, lambda: None):
        # which of them killed the process is found out by asking each alone
        again = [(topic, (_custom_activations(topic), topic))]
        if side_by_side(answer_to, again, 1, note, lambda: None):
            note(topic, _killed)


def answer_to(_custom: Sequence[Activation], topic: Topic) -> Table | str:
    """The prediction, or why theory refuses it.

    The custom activations come first because unpickling makes their names known, which the topic then needs.
    """
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are facts of the run
            return predict(topic.network, topic.data, batch=topic.batch, seed=topic.seed)
    except SpecError as error:
        return str(error)


def _killed() -> Table | str:
    raise MemoryError("its process was killed, alone too; is there enough memory?")


def _write(store: Store, topic: Topic, answer: Callable[[], Table | str]) -> None:
    from loky.process_executor import BrokenProcessPool

    try:
        found = answer()
    except (BrokenProcessPool, EvenflowError):
        raise
    except Exception as error:
        run = store.begin(topic.key, topic.seed, topic.fields, "predicted")
        store.update(run, facts={"message": f"{type(error).__name__}: {error}"})
        return
    run = store.begin(topic.key, topic.seed, topic.fields, "predicted")
    if isinstance(found, str):
        store.finish(run, "failed", {"message": found})
    else:
        store.append(run, 0, _rows(found), source="predicted")
        store.finish(run, "finished", {"message": None, **found.runs[0].facts})


def _rows(table: Table) -> list[Row]:
    columns = {name: table[name] for name in table.statistics}
    return [
        (
            table.sites[table.index["site"][place]],
            PHASES[table.index["phase"][place]],
            {name: float(values[place]) for name, values in columns.items() if not np.isnan(values[place])},
        )
        for place in range(len(table))
    ]


def _custom_activations(topic: Topic) -> tuple[Activation, ...]:
    names = dict.fromkeys(topic.network.activation_names)
    return tuple(function for function in map(activation, names) if function.custom)
