"""What a model has closed over is the copy's in a copy, and the original gets no gradients."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.doctor.closures import rebind
from evenflow.doctor.copying import admit
from evenflow.doctor.examine import examine


class Held(nn.Module):
    """A model whose forward pass is held in a function."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        body = self.body

        def through(inputs):
            return body(inputs)

        def twice(inputs):
            return through(inputs)

        self.calls = {
            "a cell": lambda inputs: body(inputs),
            "a function within": twice,
            "a default": lambda inputs, layer=body: layer(inputs),
            "a keyword's default": lambda inputs, *, layer=body: layer(inputs),
            "a method": body.forward,
            "a partial": partial(F.linear, weight=body.weight, bias=body.bias),
        }
        self.how = how

    def forward(self, inputs):
        return self.head(self.calls[self.how](inputs))


WAYS = list(Held("").calls)


@pytest.mark.parametrize("how", WAYS)
def test_a_copy_calls_its_own_layers(how: str, batch):
    model = Held(how)
    copied = admit(model, None, None).model
    with torch.no_grad():
        for one in copied.get_submodule("body").parameters():
            one.zero_()
    assert torch.equal(copied(batch[0]), copied.get_parameter("head.bias").expand(32, 3))
    assert not torch.equal(model(batch[0]), model.head.bias.expand(32, 3))


def test_an_examination_leaves_no_gradient_in_the_original(batch):
    model = Held("a cell")
    examine(model, batch, F.cross_entropy, steps=3)
    assert all(one.grad is None for one in model.parameters())


def test_hooks_are_bound_anew():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].register_forward_hook(lambda _module, inputs, _output: model[0](inputs[0]))
    copied = admit(model, None, None).model
    assert isinstance(copied, nn.Sequential)
    with torch.no_grad():
        for one in copied[0].parameters():
            one.zero_()
    assert not copied(torch.ones(1, 2)).any()


def test_functions_that_hold_nothing_of_the_model_stay_as_they_are():
    layer = nn.Linear(2, 2)  # of nobody

    def ever(count):
        return ever(count - 1) if count else layer

    model = nn.Sequential(nn.Linear(2, 2))
    vars(model)["ever"] = ever
    memory: dict[int, object] = {}
    copied = copy.deepcopy(model, memory)
    rebind(copied, memory)
    assert copied.ever is ever


def penalty(model: nn.Module, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(output, target) + sum(one.abs().sum() for one in model.parameters())


class Penalised(nn.Module):
    """A loss that holds the model that it punishes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return penalty(self.model, output, target)


@pytest.mark.parametrize("how", ["closure", "partial", "module", "method"])
@pytest.mark.parametrize("made", [True, False], ids=["an optimiser", "a function that makes one"])
def test_a_loss_that_speaks_of_the_model_speaks_of_the_copy(how: str, made: bool, batch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    loss_fn = {
        "closure": lambda output, target: penalty(model, output, target),
        "partial": partial(penalty, model),
        "module": Penalised(model),
        "method": Penalised(model).forward,
    }[how]
    make = partial(torch.optim.SGD, lr=0.01)
    table = examine(model, batch, loss_fn, make(model.parameters()) if made else make, steps=6)
    assert all(one.grad is None for one in model.parameters())
    losses, optimiser = [], make(model.parameters())
    for _ in range(6):
        optimiser.zero_grad()
        loss = penalty(model, model(batch[0]), batch[1])
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert table.select(kind="loss")["loss"].tolist() == pytest.approx(losses, rel=1e-5)
