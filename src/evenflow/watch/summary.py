"""What is said of a watched script that has ended: a table a training, where the figures are, how to read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.engine import diagnose
from evenflow.record.table import Table
from evenflow.report.wording import plural

if TYPE_CHECKING:
    from rich.console import Console

    from evenflow.watch.book import Book
    from evenflow.watch.probe import Probe


_JUDGED = 1000
"""Recorded steps of a training that are judged at its end, of more some are left out."""


@dataclass(frozen=True, eq=False)
class Ended:
    """A training that was watched.

    Args:
        model: the class of the model.
        key, number: of the run in the store; None and 0 if nothing was written.
        steps: of the optimiser.
        table: what the summary shows.
        origin: the operation that made the first value that is not finite, in words; "" if there is none.
        failure: what stopped the probe; "" if nothing did.
        diagnosis: what the rules say of it.
    """

    model: str
    key: str | None
    number: int
    steps: int
    table: Table
    origin: str
    failure: str
    diagnosis: Diagnosis


def ended(probe: Probe, book: Book, steps: int, *, judged: bool = True) -> Ended:
    """What is kept of a probe that has been detached, `judged` or not; nothing of the model."""
    origin, failure = probe.origin, probe.failure
    diagnosis = diagnose(probe.excerpt(_JUDGED)) if judged else Diagnosis()
    return Ended(
        type(probe.model).__name__,
        None if book.number is None else book.key,
        book.number or 0,
        steps,
        probe.table,
        "" if origin is None else f"step {origin[0]:,}, {origin[1]}",
        "" if failure is None else f"{type(failure).__name__}: {failure}",
        replace(diagnosis, run=book.key),
    )


def show(trainings: Sequence[Ended], path: Path, seconds: float, console: Console) -> None:
    """Print the flow of every training and the closing lines."""
    from evenflow.report.flow_terminal import flow_summary

    for training in trainings:
        console.print(f"evenflow: {training.model}, {plural(training.steps, 'step')}", markup=False)
        console.print(flow_summary(training.table))
        if training.origin:
            console.print(f" first value that is not finite at {training.origin}", markup=False)
        if training.failure:
            console.print(f" the probe stopped early: {training.failure}", markup=False)
        console.print(training.diagnosis)
    for line in _closing(trainings, path, seconds):
        console.print(line, markup=False, soft_wrap=True)


def _closing(trainings: Sequence[Ended], path: Path, seconds: float) -> Iterator[str]:
    keys = [training.key for training in trainings if training.key is not None]
    if keys:
        what = "run" if len(keys) == 1 else "runs"
        yield f"evenflow: {_time(seconds)}; {what} {', '.join(keys)} in {path}"
        yield f"evenflow: to judge it again: evenflow diagnose {path}"
        yield f"evenflow: to read it: ef.Store.open({str(path)!r}).table({keys!r})"
    else:
        yield f"evenflow: {_time(seconds)}; nothing was stored"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
