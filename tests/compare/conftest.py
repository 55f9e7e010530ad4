"""Small tables written by hand, in the form in which a study records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from evenflow.record.schema import Run, Site
from evenflow.record.table import Table

Row = tuple[int, int, Site, str, Mapping[str, float]]
CLASS_SIZES = (30, 35, 35)


def run_rows(
    number: int,
    *,
    accuracies: Mapping[int, float],
    norms: Mapping[int, Sequence[float]] | None = None,
    recalls: Sequence[float] = (0.5, 0.6, 0.7),
    dead: Sequence[float] = (0.0, 0.25),
    losses: Mapping[int, float] | None = None,
) -> list[Row]:
    """Rows of one run: step -> test accuracy, step -> gradient norm of each weight, figures at the end."""
    rows: list[Row] = []
    last = max(accuracies)
    for step, accuracy in accuracies.items():
        loss = (losses or {}).get(step, 1.0 - accuracy)
        rows.append((number, step, Site("test", "loss", 0, 100), "", {"loss": loss, "accuracy": accuracy}))
        training = {"loss": loss / 2, "accuracy": min(1.0, accuracy + 0.01)}
        rows.append((number, step, Site("train", "loss", 0, 400), "", training))
        for label, recall in enumerate(recalls):
            site = Site(f"test class {label}", "class", 0, CLASS_SIZES[label])
            rows.append((number, step, site, "", {"recall": recall if step == last else 0.0}))
        for layer, share in enumerate(dead, start=1):
            site = Site(f"activation_{layer}", "activation", layer, 8)
            figures = {"dead_fraction": share if step == last else 0.9, "saturated_fraction": share / 2}
            rows.append((number, step, site, "", figures))
    for step, layers in (norms or {0: (1e-3, 1e-2, 1e-1), last: (0.5, 0.5, 0.5)}).items():
        for layer, norm in reversed(list(enumerate(layers, start=1))):
            name = f"hidden_{layer}.weight" if layer < len(layers) else "output.weight"
            rows.append((number, step, Site(name, "weight", layer, 8), "accumulated", {"grad_norm": norm}))
            rows.append((number, step, Site(name, "weight", layer, 8), "clipped", {"grad_norm": 7.0}))
            bias = Site(name.replace("weight", "bias"), "bias", layer, 8)
            rows.append((number, step, bias, "accumulated", {"grad_norm": 99.0}))
    return rows


def make_run(
    seed: int = 0, status: str = "finished", facts: Mapping[str, object] | None = None, **fields: Any
) -> Run:
    key = f"{sorted(fields.items())} {seed}"
    known = {"flops_per_step": 1e6, "seconds_per_step": 0.01, "joules": None, "classes": 3}
    return Run(key, seed, fields, status, 20, known | dict(facts or {}))


@pytest.fixture
def study() -> Callable[..., Table]:
    """A table from (run, final accuracy) pairs, or (run, what `run_rows` takes) pairs."""

    def build(*entries: tuple[Run, float | Mapping[str, Any]]) -> Table:
        rows: list[Row] = []
        for number, (_, content) in enumerate(entries):
            given = (
                content if isinstance(content, Mapping) else {"accuracies": {0: 0.3, 10: 0.5, 20: content}}
            )
            if given:
                rows += run_rows(number, **given)
        return Table.from_rows([run for run, _ in entries], rows)

    return build


@pytest.fixture
def run() -> Callable[..., Run]:
    """`run(seed, status, facts, **fields)`: a run with the facts that a study gives."""
    return make_run
