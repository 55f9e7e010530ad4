"""A twin with weights drawn anew, where those of the training are no draw that theory would make."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.doctor.examine import examine
from evenflow.doctor.redraw import redraw
from evenflow.spec.setting import Setting


def network(change=lambda weight: weight, bias: float = 0.0) -> nn.Sequential:
    torch.manual_seed(3)
    layers = [nn.Linear(one, two) for one, two in pairwise((4, 16, 16, 3))]
    with torch.no_grad():
        for place, layer in enumerate(layers):
            nn.init.kaiming_normal_(layer.weight)
            change(layer.weight)
            nn.init.constant_(layer.bias, 0.0 if place == 2 else bias)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def twins_of(model, batch, optimizer=None, steps=15):
    table = examine(model, batch, F.cross_entropy, optimizer, steps=steps)
    setting = Setting.from_facts(dict(table.runs[0].facts))
    return setting, {one.change: one for one in setting.twins}


@pytest.mark.parametrize(
    "model",
    [
        lambda: network(lambda weight: weight.mul_(4)),
        lambda: network(lambda weight: weight.mul_(0.05)),
        lambda: network(lambda weight: weight.abs_()),
        lambda: network(nn.init.zeros_),
        lambda: network(bias=-3.0),
    ],
    ids=["large", "small", "one sign", "zero", "sunk by biases"],
)
def test_weights_far_from_theory_have_such_a_twin(model, batch):
    made = model()
    _, twins = twins_of(made, batch)
    assert "weights" in twins
    assert len(twins["weights"].loss) == 15


@pytest.mark.parametrize(
    "model",
    [
        network,
        lambda: network(lambda weight: weight.mul_(1.4)),
        lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)),
        lambda: nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3)),
    ],
    ids=["He", "a little large", "torch's own", "in front of a normalisation"],
)
def test_weights_that_theory_would_draw_have_none(model, batch):
    assert "weights" not in twins_of(model(), batch)[1]


def test_it_differs_in_nothing_but_the_weights(batch):
    model = network(lambda weight: weight.mul_(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    before = copy.deepcopy(model.state_dict())
    setting, twins = twins_of(model, batch, optimizer)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    other = copy.deepcopy(model)
    redraw(other, setting, torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(other.parameters(), lr=0.001)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = F.cross_entropy(other(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert twins["weights"].loss == pytest.approx(losses, rel=1e-5)


def test_what_a_model_has_learned_is_not_given_up_on_a_doubt(batch):
    def begun(factor):
        model = network(lambda weight: weight.mul_(factor))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
        return twins_of(model, batch, optimizer)[1]

    assert "weights" not in begun(2.5)
    assert "weights" in begun(20)
    assert "weights" in twins_of(network(lambda weight: weight.mul_(2.5)), batch)[1]


def test_a_training_that_nothing_can_be_clearly_better_than_has_none(batch):
    model = network(lambda weight: weight.mul_(2.5))
    _, twins = twins_of(model, batch, torch.optim.Adam(model.parameters(), lr=0.02), steps=80)
    assert twins["nothing"].score > 0.9
    assert "weights" not in twins
