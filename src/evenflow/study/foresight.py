"""What theory says of the networks of a study, written into its store beside their trainings.

A prediction needs no weights and no training, so cells that differ only in these share one. It is for one batch,
the first of the study's first seed.
"""

from __future__ import annotations

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
from evenflow.spec.network import Network
from evenflow.spec.study import GRID_KEYS, Cell
from evenflow.study.forecast import predict
from evenflow.study.machine import versions
from evenflow.study.pool import side_by_side

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Question:
    """A network, its data and its batch; what of a cell decides its prediction.

    Args:
        key: content hash of all the others and of the version of the theory.
        fields: of the cell, but only those that matter: the prediction is that of every cell that has them all.
    """

    key: str
    network: Network
    data: Data
    batch: int
    seed: int
    fields: dict[str, object]


def questions(cells: Sequence[Cell]) -> tuple[Question, ...]:
    """One for every distinct network × data × batch, in the order of the cells."""
    found: dict[str, Question] = {}
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
            found[key] = Question(key, cell.network, cell.data, batch, seed, fields)
    return tuple(found.values())


def foresee(cells: Sequence[Cell], store: Store, jobs: int, told: Told | None = None) -> None:
    """Write a run of source `predicted` for every question that the store has no answer to.

    A run that is not finished when the process is killed is computed again next time. A network that theory refuses
    gets a failed run with the reason as its fact `message`; where the computation itself fails, the reason is noted
    too, but the run stays pending and is tried again.

    Args:
        cells: of the study, its first seed in front.
        store: open to append; its meta value `predictions` becomes the keys.
        jobs: processes; with one the work is done here.
        told: called with how many of how many are known; not at all where none is open.
    """
    asked = questions(cells)
    store.meta["predictions"] = keys = [question.key for question in asked]
    ended = ("finished", "failed")
    known = {run.key for run in store.runs(keys, source="predicted") if run.status in ended}
    waiting = [question for question in asked if question.key not in known]
    done = 0

    def tell() -> None:
        if told and waiting:
            told(len(known) + done, len(asked))

    def note(question: Question, answer: Callable[[], Table | str]) -> None:
        nonlocal done
        _write(store, question, answer)
        done += 1
        tell()

    tell()
    if min(jobs, len(waiting)) <= 1:
        for question in waiting:
            note(question, lambda question=question: answer_to((), question))
        return
    work = [(question, (_custom_activations(question), question)) for question in waiting]
    for question in side_by_side(answer_to, work, min(jobs, len(work)), note, lambda: None):
        # which of them killed the process is found out by asking each alone
        again = [(question, (_custom_activations(question), question))]
        if side_by_side(answer_to, again, 1, note, lambda: None):
            note(question, _killed)


def answer_to(_custom: Sequence[Activation], question: Question) -> Table | str:
    """The prediction, or why theory refuses it.

    The custom activations come first because unpickling makes their names known, which the question then needs.
    """
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(1):
            return predict(question.network, question.data, batch=question.batch, seed=question.seed)
    except SpecError as error:
        return str(error)


def _killed() -> Table | str:
    raise MemoryError("its process was killed, alone too; is there enough memory?")


def _write(store: Store, question: Question, answer: Callable[[], Table | str]) -> None:
    from loky.process_executor import BrokenProcessPool

    try:
        found = answer()
    except (BrokenProcessPool, EvenflowError):
        raise
    except Exception as error:
        run = store.begin(question.key, question.seed, question.fields, "predicted")
        store.update(run, facts={"message": f"{type(error).__name__}: {error}"})
        return
    run = store.begin(question.key, question.seed, question.fields, "predicted")
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


def _custom_activations(question: Question) -> tuple[Activation, ...]:
    names = dict.fromkeys(question.network.activation_names)
    return tuple(function for function in map(activation, names) if function.custom)
