"""A loop that never sets the gradient to zero, and loops that only look like it."""

from __future__ import annotations

import pytest
import torch
from diagnosed_trainings import chain, digits
from examined_trainings import curve
from torch import nn

import evenflow as ef
from evenflow.diagnose.rules.uncleared_gradient import judge
from evenflow.spec.setting import Trial


def watched(rate: float, steps: int, zero) -> ef.Diagnosis:
    """What is found in a training whose loop calls `zero(optimiser, step)` before each backward pass."""
    torch.manual_seed(0)
    model = chain(32, 3, nn.ReLU)
    optimiser = torch.optim.SGD(model.parameters(), lr=rate)
    batches = digits()
    with ef.Probe(model, optimiser) as probe:
        for step in range(steps):
            inputs, targets = batches[step % len(batches)]
            loss = nn.functional.cross_entropy(model(inputs), targets)
            zero(optimiser, step)
            loss.backward()
            optimiser.step()
    return ef.diagnose(probe.table)


def test_the_sum_of_all_gradients_is_named_first():
    found = watched(0.1, 150, lambda _optimiser, _step: None)
    first = found.findings[0]
    assert first.rule == "uncleared_gradient"
    assert first.severity == "fault"
    assert first.remedies == ("zero_gradients",)
    assert "zero_grad()" in first.advice[0]
    assert first.evidence["steps_seen"] == 8


@pytest.mark.parametrize(
    "zero",
    [
        lambda optimiser, _step: optimiser.zero_grad(),
        lambda optimiser, _step: optimiser.zero_grad(set_to_none=False),
        lambda optimiser, step: optimiser.zero_grad() if step % 2 == 0 else None,
    ],
    ids=["None", "zero", "every second step"],
)
def test_a_gradient_that_is_cleared_says_nothing(zero):
    assert "uncleared_gradient" not in {one.rule for one in watched(0.1, 40, zero).findings}


def test_two_steps_are_too_few():
    found = watched(0.1, 2, lambda _optimiser, _step: None)
    assert "uncleared_gradient" not in {one.rule for one in found.findings}


def test_an_optimiser_of_another_model_clears_nothing_of_this_one_and_moves_nothing():
    model, other = chain(16, 2, nn.ReLU), chain(16, 2, nn.ReLU)
    optimiser = torch.optim.SGD(other.parameters(), lr=0.1)
    found = ef.doctor(model, digits(), nn.functional.cross_entropy, optimiser, steps=20).findings
    assert found[0].rule == "frozen_layers"
    assert "uncleared_gradient" not in {one.rule for one in found}


@pytest.mark.parametrize(("score", "severity"), [(0.88, "fault"), (0.92, "risk")])
def test_where_nothing_can_be_ten_points_better_it_is_a_risk(score, severity):
    loss = (0.7,) * 20 + (0.3,) * 20
    found = judge(
        curve(loss, uncleared=8, twins=(Trial(change="nothing", loss=loss, score=score, chance=0.5),))
    )
    assert found is not None
    assert found.severity == severity
