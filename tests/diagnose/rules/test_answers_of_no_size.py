"""Signals that grow with depth where many answers are right all the same, and the loss is that of none."""

from __future__ import annotations

import numpy as np
import pytest

from evenflow.diagnose.case import Case
from evenflow.diagnose.rules.exploding_activations import judge
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table
from evenflow.spec.setting import Output, Setting, Target, Trial


def grown(end: float, better: float, start: float = 500.0) -> Case:
    """Six layers of ten times the last one's signal each; 82 % of ten classes right."""
    loss = (*np.geomspace(start, end, 150).tolist(), *[end] * 50)
    own = Trial(change="nothing", loss=loss, score=0.82, chance=0.1)
    inputs = Trial(change="inputs", loss=loss, score=0.82 + better, chance=0.1)
    sites = [Site(f"relu_{depth}", "activation", depth, 24) for depth in range(1, 7)]
    last = Site("head.weight", "weight", 7, 10)
    rows: list[tuple[int, int, Site, str, dict[str, float]]] = []
    for step, value in enumerate(loss):
        rows.append((0, step, Site("batch", "loss", 0, 0), "", {"loss": value}))
        rows.append((0, step, last, "accumulated", {"grad_norm": 1.0}))
        rows += [(0, step, site, "", {"rms": 10.0**site.depth}) for site in sites]
    setting = Setting(
        output=Output(units=10, loss="cross_entropy"),
        target=Target(kind="classes", classes=10, shape=(32,), mean=4.5, minimum=0.0, maximum=9.0),
        batch=32,
        twins=(own, inputs),
    )
    run = Run("a", facts=setting.to_facts())
    return Case(Table.from_rows([run], rows), run)


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        (grown(2.5, 0.14), True),
        (grown(2.5, 0.05), False),
        (grown(0.6, 0.14), False),
        (grown(2.5, 0.14, start=2.6), False),
    ],
    ids=["a twin shows it", "no twin does", "better than a guess", "an ordinary start"],
)
def test_a_loss_no_better_than_a_guess_beside_a_twin_that_is(case: Case, fault: bool):
    verdict = judge(case)
    assert (verdict is not None) is fault
