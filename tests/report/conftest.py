"""Studies that nobody trained: tables from formulas, so that every figure is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from evenflow.record.schema import Run, Site
from evenflow.record.table import Table
from evenflow.spec.network import Network
from evenflow.spec.study import Cell, Study
from evenflow.spec.training import Training

STEPS = (0, 10, 20)
CLASSES = 3


def norm(cell: Cell, step: int, layer: int) -> float:  # noqa: ARG001 - a test's own formula may need the step
    """Sigmoid loses a decade a layer, all others nothing; seeds differ by a tenth of a decade."""
    layers = cell.network.layers
    lost = layers + 1 - layer if cell.network.activation == "sigmoid" else 0
    return 10.0 ** (-lost + cell.seed / 10)


def accuracy(cell: Cell, step: int) -> float:
    """Sigmoid guesses; the others rise to 0.91 and a hundredth a seed."""
    if cell.network.activation == "sigmoid":
        return 1 / CLASSES
    return 1 / CLASSES + (0.91 + cell.seed / 100 - 1 / CLASSES) * step / STEPS[-1]


def rows_of(number: int, cell: Cell, steps: Sequence[int], formulas: Mapping[str, Any]) -> list[Any]:
    rows: list[Any] = []
    for step in steps:
        share = formulas.get("accuracy", accuracy)(cell, step)
        loss = formulas.get("loss", lambda _cell, step: 2.0 * math.exp(-step / 10))(cell, step)
        for name, samples in (("train", 400), ("test", 300)):
            rows.append((number, step, Site(name, "loss", 0, samples), "", {"loss": loss, "accuracy": share}))
        for label in range(CLASSES):
            rows.append((number, step, Site(f"test class {label}", "class", 0, 100), "", {"recall": share}))
        for layer in range(1, cell.network.layers + 2):
            size = formulas.get("norm", norm)(cell, step, layer)
            site = Site(f"layer_{layer}.weight", "weight", layer, 8)
            rows.append((number, step, site, "accumulated", {"grad_norm": size}))
            if layer <= cell.network.layers:
                dead = formulas.get("dead", lambda *_: 0.0)(cell, step, layer)
                site = Site(f"activation_{layer}", "activation", layer, 8)
                rows.append((number, step, site, "", {"dead_fraction": dead, "saturated_fraction": dead / 2}))
    return rows


def make_table(study: Study, remedied: bool = False, **formulas: Any) -> Table:
    """A table of the study's cells, and where it is said of those that its remedies add.

    `status(cell)` and `steps(cell)` say how far a run is; `norm`, `accuracy`, `loss`, `dead` and `facts` give
    its figures.
    """
    runs, rows = [], []
    for number, cell in enumerate((*study.cells(), *(study.remedied_cells() if remedied else ()))):
        status = formulas.get("status", lambda _: "finished")(cell)
        steps = formulas.get("steps", lambda _: STEPS)(cell)
        facts = {"flops_per_step": 1e6, "seconds_per_step": 0.01, "joules": None, "classes": CLASSES}
        facts |= formulas.get("facts", lambda _: {})(cell)
        runs.append(Run(cell.key, cell.seed, cell.fields, status, steps[-1] if steps else 0, facts))
        rows += rows_of(number, cell, steps, formulas)
    return Table.from_rows(runs, rows)


def make_study(**changes: Any) -> Study:
    known: dict[str, Any] = {
        "name": "small",
        "seeds": 3,
        "network": Network(depth=4, width=8),
        "training": Training(steps=20),
        "grid": {"activation": ("sigmoid", "relu"), "initialisation": ("torch", "gain")},
    }
    return Study(**(known | changes))


@pytest.fixture
def study() -> Callable[..., Study]:
    """`study(**changes)`: two activations × two initialisations, three seeds, four layers."""
    return make_study


@pytest.fixture
def table() -> Callable[..., Table]:
    """`table(study, **formulas)`: see `make_table`."""
    return make_table
