"""The loss that a probe finds by itself is the one that the training computes; one that is handed over goes first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

import evenflow as ef
from evenflow.measure import clock

PLAIN = torch.autograd.backward, GradScaler.scale


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    yield
    assert (torch.autograd.backward, GradScaler.scale) == PLAIN
    assert clock._watchers == []


def parts(kind: type[torch.optim.Optimizer] = torch.optim.SGD):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, kind(model.parameters(), lr=0.1)  # pyright: ignore[reportCallIssue]


def losses(table):
    return table["loss"][~np.isnan(table["loss"])].tolist()


def train(model, optimizer, steps=4, parts=1, each=lambda _loss: None):
    said = []
    for step in range(steps):
        optimizer.zero_grad()
        total = 0.0
        for part in range(parts):
            loss = (model(torch.full((3, 4), 0.1 * (step + part))) - 1.0).square().mean() / parts
            loss.backward()
            each(loss)
            total += loss.item()
        optimizer.step()
        said.append(total)
    return said


@pytest.mark.parametrize("count", [1, 3])
def test_it_is_the_scalar_that_backward_is_called_of_and_of_several_their_sum(count):
    model, optimizer = parts()
    with ef.Probe(model, optimizer) as probe:
        said = train(model, optimizer, parts=count)
    assert losses(probe.table) == pytest.approx(said, rel=1e-6)
    assert len(set(said)) == 4


def test_the_end_of_the_model_is_read_from_it():
    model, optimizer = parts()
    with ef.Probe(model, optimizer) as probe:
        train(model, optimizer)
    assert probe.setting.output is not None
    assert probe.setting.output.loss == "mse"


def test_only_recorded_steps_have_one():
    model, optimizer = parts()
    with ef.Probe(model, optimizer, every=3) as probe:
        said = train(model, optimizer, steps=7)
    assert losses(probe.table) == pytest.approx(said[::3], rel=1e-6)


def test_a_loss_that_is_handed_over_is_the_one():
    model, optimizer = parts()
    with ef.Probe(model, optimizer) as probe:
        said = train(model, optimizer, each=lambda loss: probe.loss(2.0 * loss))
        assert torch.autograd.backward is PLAIN[0]  # nothing is listened to any more
    assert losses(probe.table) == pytest.approx([2.0 * value for value in said], rel=1e-6)


def test_an_optimiser_that_evaluates_the_loss_by_itself():
    model, optimizer = parts(torch.optim.LBFGS)
    said = []

    def closure():
        optimizer.zero_grad()
        loss = (model(torch.ones(3, 4)) - 1.0).square().mean()
        loss.backward()
        said.append(loss.item())
        return loss

    with ef.Probe(model, optimizer) as probe:
        optimizer.step(closure)
    assert losses(probe.table) == pytest.approx(said[:1])


def test_two_probes_of_two_models_that_train_in_turn_hear_their_own():
    first, second = parts(), parts()
    with ef.Probe(*first) as one, ef.Probe(*second) as other:
        here, there = [], []
        for _ in range(3):
            here += train(*first, steps=1)
            there += train(*second, steps=1, parts=2)
    assert losses(one.table) == pytest.approx(here)
    assert losses(other.table) == pytest.approx(there)


def test_a_diagnosis_of_it_judges_what_needs_the_loss():
    model, optimizer = parts()
    with ef.Probe(model, optimizer) as probe:
        train(model, optimizer, steps=60)
    diagnosis = ef.diagnose(probe)
    assert {"lr_too_high", "lr_too_low", "exploding_gradient"} <= set(diagnosis.judged)
    assert not any("the loss was not recorded" in one.why for one in diagnosis.unjudged)
