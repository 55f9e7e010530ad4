"""Other starts keep what a fault can lie in, and are other draws all the same."""

from __future__ import annotations

import pytest
import torch
from examined_trainings import mlp
from torch import nn
from verify_trainings import training

from evenflow.verify.starts import other_start


def weights(given):
    return dict(given.patient.model.named_parameters())


def test_the_same_seed_gives_the_same_start_and_another_one_another():
    given = training(mlp(64, 32, 10))
    one, same, other = (other_start(given, seed) for seed in (1, 1, 2))
    assert one.redrawn == ("0.weight", "2.weight")
    assert torch.equal(weights(one.training)["0.weight"], weights(same.training)["0.weight"])
    assert not torch.equal(weights(one.training)["0.weight"], weights(other.training)["0.weight"])
    assert [id(batch) for batch in one.training.plan.batches] == [
        id(batch) for batch in same.training.plan.batches
    ]
    assert [id(batch) for batch in one.training.plan.batches] != [
        id(batch) for batch in other.training.plan.batches
    ]


def test_the_original_stays_as_it_is():
    given = training(mlp(64, 32, 10))
    before, batches = {name: one.clone() for name, one in weights(given).items()}, list(given.plan.batches)
    other_start(given, 1)
    assert all(torch.equal(before[name], one) for name, one in weights(given).items())
    assert given.plan.batches == batches


@pytest.mark.parametrize("fault", ["scale", "bias", "alike", "orthogonal"])
def test_what_a_fault_lies_in_is_kept(fault):
    model = mlp(64, 32, 32, 10)
    with torch.no_grad():
        first = model[2]
        assert isinstance(first, nn.Linear)
        if fault == "scale":
            first.weight.mul_(1e-3)
        if fault == "bias":
            first.bias.fill_(-10.0)
        if fault == "alike":
            first.weight[1:] = first.weight[:1].clone()
        if fault == "orthogonal":
            nn.init.orthogonal_(first.weight)
    given = training(model)
    own, other = weights(given)["2.weight"], weights(other_start(given, 3).training)["2.weight"]
    assert torch.allclose(torch.linalg.svdvals(own), torch.linalg.svdvals(other), atol=1e-6)
    assert torch.equal(weights(given)["2.bias"], weights(other_start(given, 3).training)["2.bias"])
    if fault == "alike":
        assert bool((other == other[:1]).all())


def test_what_is_trained_is_left_as_it_is():
    model = mlp(64, 32, 32, 10)
    with torch.no_grad():
        layer = model[2]
        assert isinstance(layer, nn.Linear)
        layer.weight += 0.2 * torch.outer(torch.randn(32), torch.randn(32))  # a direction that was learned
    assert other_start(training(model), 1).redrawn == ("0.weight", "4.weight")
    stepped = training(mlp(64, 32, 10))
    stepped.patient.model(torch.randn(4, 64)).sum().backward()
    stepped.patient.optimizer.step()
    assert other_start(stepped, 1).redrawn == ()


def test_filters_stay_whole():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 10))
    given = training(model)
    own, other = weights(given)["0.weight"], weights(other_start(given, 5).training)["0.weight"]
    for channel in range(3):
        assert any(torch.equal(own[:, channel], other[:, place]) for place in range(3))
