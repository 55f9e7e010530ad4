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
