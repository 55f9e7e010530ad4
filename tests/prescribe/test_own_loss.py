"""A loss that speaks of the user's model speaks of the copy wherever a copy is tried, and leaves the model alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from changed_trainings import run, training_of
from torch import nn
from torch.nn.functional import cross_entropy

import evenflow as ef
from evenflow.prescribe.flow import flow_of
from evenflow.prescribe.gradient_norms import after_first_backward
from evenflow.prescribe.guard_operation import guarded
from evenflow.prescribe.range_test import LOWER, range_test

PULL = 0.3


def batches(count=6):
    draw = torch.Generator().manual_seed(3)
    inputs = [torch.randn(32, 4, generator=draw) for _ in range(count)]
    return [(one, one[:, :3].argmax(1)) for one in inputs]


def penalised() -> Any:
    """A model, and its loss with a penalty on the model's own weights."""
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    return model, lambda output, target: cross_entropy(output, target) + PULL * model[0].weight.square().sum()


def untouched(model):
    return all(one.grad is None for one in model.parameters())


@pytest.mark.parametrize(
    "look",
    [
        lambda training: range_test(training, LOWER),
        lambda training: flow_of(training.copied()),
        after_first_backward,
        lambda training: run(guarded(training.copied(), 1e-8)),
    ],
    ids=["range test", "flow", "first backward", "guarded loss"],
)
def test_a_look_at_a_copy_sends_no_gradient_to_the_original(look):
    model, loss_fn = penalised()
    before = copy.deepcopy(model.state_dict())
    look(training_of(model, batches(), loss_fn).copied())
    assert untouched(model)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_the_first_gradient_has_the_penalty_in_it():
    model, loss_fn = penalised()
    found: Any = after_first_backward(training_of(model, batches(), loss_fn).copied())
    assert found is not None
    inputs, target = batches()[0]
    other = copy.deepcopy(model)
    loss = cross_entropy(other(inputs), target) + PULL * other[0].weight.square().sum()
    loss.backward()
    assert torch.allclose(found.patient.model[0].weight.grad, other[0].weight.grad)


def test_a_range_test_moves_the_weights_that_it_penalises():
    """Alone, a penalty falls with every step, if it is that of the weights that step; of others it stands still."""
    model: Any = nn.Linear(4, 3)
    training = training_of(model, batches(), lambda *_: model.weight.square().sum()).copied()
    losses = range_test(training, (0.1, 1.0), steps=20).losses
    assert losses[-1] < 0.9 * losses[0]


def test_a_repair_leaves_the_gradients_of_the_original_alone():
    model, loss_fn = penalised()
    with torch.no_grad():
        model[0].bias.fill_(30.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=20.0)
    ef.fix(model, batches(), loss_fn, optimizer, steps=30)
    assert untouched(model)
