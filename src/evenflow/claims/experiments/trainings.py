"""Trainings: those of the study's engine, without a store, and a plain loop for models that no study can express."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from evenflow.claims.experiments.start import data
from evenflow.compare.figures import FIGURES
from evenflow.compare.summary import CellSummary, Summary, summarise
from evenflow.record.axes import Run
from evenflow.record.table import Table
from evenflow.spec.study import Study

if TYPE_CHECKING:
    import torch


def trained(study: Study, target_accuracy: float = 0.9) -> Summary:
    """Train every cell of a study here and now, and summarise it."""
    return summarise(recorded(study), target_accuracy, list(study.grid))


def recorded(study: Study) -> Table:
    """Train every cell of a study here and now; the table of all that was recorded."""
    from evenflow.study.data import load
    from evenflow.study.engines.moment import Stopwatch
    from evenflow.study.engines.torch import train
    from evenflow.study.flops import flops_per_step

    runs: list[Run] = []
    rows: list[tuple[int, int, Any, str, Any]] = []
    sets = {}
    for place, cell in enumerate(study.cells()):
        if cell.data not in sets:
            sets[cell.data] = load(cell.data)
        samples = sets[cell.data]
        stopwatch, diverged, last = Stopwatch(), None, 0
        for moment in train(cell, samples, stopwatch):
            rows += [(place, moment.step, *row) for row in moment.rows]
            diverged, last = (moment.step if moment.diverged else None), moment.step
        batch = min(cell.training.batch, len(samples.train_labels))
        facts = {
            "classes": samples.classes,
            "diverged_at": diverged,
            "flops_per_step": flops_per_step(
                cell.network, samples.train_inputs.shape[1], samples.classes, batch
            ),
            "seconds_per_step": stopwatch.seconds_per_step,
        }
        status = "finished" if diverged is None else "diverged"
        runs.append(Run(cell.key, cell.seed, cell.fields, status, last, facts))
    return Table.from_rows(runs, rows)


def cell_of(summary: Summary, **settings: object) -> CellSummary:
    """The cell of a summary with these settings of the grid."""
    found = [
        one for one in summary.cells if all(one.settings[name] == value for name, value in settings.items())
    ]
    assert len(found) == 1, f"{len(found)} cells with {settings}"
    return found[0]


def per_seed(cell: CellSummary, figure: str) -> list[float]:
    """One figure of every run of a cell, seeds rising."""
    read = FIGURES[figure].read
    return [read(result) for result in sorted(cell.results, key=lambda result: result.run.seed)]


def plainly(
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    steps: int,
    seed: int,
    batch: int = 64,
    each_step: Callable[[float], None] | None = None,
) -> torch.nn.Module:
    """Train a classifier of the digits with a plain loop; the batches belong to the seed."""
    import torch

    from evenflow.study.draws import batch_indices

    digits = data()
    inputs, labels = torch.from_numpy(digits.train_inputs), torch.from_numpy(digits.train_labels)
    for step in range(steps):
        chosen = torch.from_numpy(batch_indices(step, len(labels), batch, seed))
        loss = torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if each_step:
            each_step(float(loss.detach()))
    return model


def accuracy(model: torch.nn.Module) -> float:
    """Share of the digits' test part that a classifier recognises."""
    import torch

    digits = data()
    with torch.no_grad():
        told = model(torch.from_numpy(digits.test_inputs)).argmax(dim=1).numpy()
    return float(np.mean(told == digits.test_labels))
