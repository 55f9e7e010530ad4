"""A batch whose input is a mapping: keywords where the model has these names, one argument otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evenflow.doctor.examine import examine
from evenflow.doctor.trial import call


class Layered(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)


class Keywords(Layered):
    def forward(self, a, b=0):
        return self.layer(a) + b


class Anything(Layered):
    def forward(self, **named):
        return self.layer(named["a"])


class Whole(Layered):
    def forward(self, inputs):
        return self.layer(inputs["a"])


@pytest.mark.parametrize("make", [Keywords, Anything, Whole])
def test_mapping_reaches_the_model_as_it_takes_it(make, batch):
    model = make()
    inputs, classes = batch
    torch.testing.assert_close(call(model, {"a": inputs}), model.layer(inputs))
    assert (
        examine(model, ({"a": inputs}, classes), nn.functional.cross_entropy, steps=3).runs[0].status
        == "finished"
    )


def test_error_of_the_model_itself_stays_one():
    with pytest.raises(TypeError, match="not subscriptable"):
        call(Whole(), {"inputs": 3})
