"""Layers whose units are silent for every sample, and sparse ones that work."""

from __future__ import annotations

import pytest
import torch
from diagnosed_trainings import (
    adam,
    chain,
    convolutions,
    digits,
    known,
    redrawn,
    severity,
    sgd,
    trained,
    verdict,
    without,
)
from torch import nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table
from evenflow.spec.setting import Output, Setting

RULE = "dead_units"


def keep(_: torch.Tensor) -> None:
    """Leave the weights as they are."""


def test_a_layer_that_is_born_silent():
    found = verdict(RULE, trained(redrawn(chain(64, 4, nn.ReLU), keep, -5.0), adam(lr=1e-3), digits()))
    assert found is not None
    assert found.severity == "fault"
    assert found.evidence["dead_fraction"] == 1.0
    assert found.first_step == 0
    assert set(found.sites) == {"1", "3", "5"}


def test_a_layer_that_one_step_has_killed_says_since_when():
    found = verdict(RULE, trained(chain(64, 4, nn.ReLU), sgd(lr=1.0, momentum=0.9), digits()))
    assert found is not None
    assert found.severity == "fault"
    assert found.first_step is not None
    assert found.first_step > 0
    assert float(found.evidence["dead_fraction_at_start"]) < 0.5


def test_convolutions_that_are_silent():
    model = redrawn(convolutions(4, nn.ReLU), keep, -4.0)
    assert severity(RULE, trained(model, adam(lr=1e-3), digits(1, 8, 8), steps=60)) == "fault"


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        (lambda: redrawn(chain(64, 3, nn.ReLU), keep, -0.3), adam(lr=3e-3)),
        (lambda: redrawn(chain(64, 4, nn.LeakyReLU), keep, -5.0), adam(lr=1e-3)),
    ],
    ids=["sparse", "leaky"],
)
def test_what_is_not_dead(model, optimizer):
    assert severity(RULE, trained(model(), optimizer, digits())) != "fault"


def test_a_transformer_is_not_dead():
    assert severity(RULE, known("Transformer")) != "fault"


def test_a_deep_network_that_trains_though_half_of_it_was_dead():
    case = known("deep and half born dead")
    assert severity(RULE, case) != "fault"
    assert case.series("dead_fraction", "activation").values[0].max() > 0.35


def test_what_was_not_recorded_is_said():
    case = trained(chain(16, 3, nn.ReLU), sgd(lr=0.1), digits(), steps=12)
    with pytest.raises(MissingError, match="dead_fraction was not recorded"):
        verdict(RULE, without(case, "dead_fraction"))


@pytest.mark.parametrize(("further", "expected"), [(True, "risk"), (False, "fault")])
def test_a_loss_with_a_floor_does_not_tell_what_was_learned(further: bool, expected: str):
    """The same units and the same fall of the loss, on top of a second term that stays."""
    site, loss = Site("relu", "activation", 1, 64), Site("batch", "loss", 0, 0)
    last = Site("last.weight", "weight", 2, 10)
    rows = []
    for step in range(100):
        fall = 2.3 - 0.006 * step
        rows.append((0, step, loss, "", {"loss": fall}))
        rows.append((0, step, site, "", {"dead_fraction": 0.95, "zero_fraction": 0.95}))
        rows.append((0, step, last, "accumulated", {"grad_norm": 1.0}))
    output = Output(loss="mse", operations=("mse_loss", "add") if further else ("mse_loss",))
    run = Run("a", facts=Setting(output=output).to_facts())
    assert severity(RULE, Case(Table.from_rows([run], rows), run)) == expected
