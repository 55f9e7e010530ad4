"""Layers that a plain list holds train like no others: not at all."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows it by

from evenflow.doctor.consult import doctor
from evenflow.measure.unregistered import unregistered_parameters


class Chain(nn.Module):
    """Two hidden layers held as they are given: by `nn.ModuleList`, or by a list."""

    def __init__(self, hold):
        super().__init__()
        self.layers = hold([nn.Linear(8, 16), nn.Linear(16, 16)])
        self.head = nn.Linear(16, 2)

    def forward(self, inputs):
        for layer in self.layers:
            inputs = torch.tanh(layer(inputs))
        return self.head(inputs)


@pytest.fixture
def parity():
    """The sign of a product of three inputs, which random features do not tell."""
    inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, :3].prod(1) > 0).long()


def examined(model, data, *more):
    optimizer = torch.optim.Adam([*model.parameters(), *more], lr=0.02)
    return doctor(model, data, F.cross_entropy, optimizer, steps=120)


@pytest.mark.parametrize("hold", [list, tuple])
def test_layers_of_a_list_are_named(parity, hold):
    torch.manual_seed(1)
    model = Chain(hold)
    diagnosis = examined(model, parity)
    first = diagnosis.findings[0]
    assert (first.rule, first.severity) == ("frozen_layers", "fault")
    assert first.sites == ("layers[0].weight", "layers[1].weight")
    assert "nn.ModuleList" in first.message
    assert first.remedies[0] == "register_modules"


def test_registered_layers_are_not(parity):
    torch.manual_seed(1)
    diagnosis = examined(Chain(nn.ModuleList), parity)
    assert "frozen_layers" not in [one.rule for one in diagnosis.findings]


def test_layers_of_a_list_that_the_optimiser_has_are_not(parity):
    torch.manual_seed(1)
    model = Chain(list)
    diagnosis = examined(model, parity, *(one for _, one in unregistered_parameters(model)))
    assert "frozen_layers" not in [one.rule for one in diagnosis.findings]


def test_a_teacher_hidden_in_a_list_is_not(parity):
    class Distilled(nn.Module):
        def __init__(self):
            super().__init__()
            self.teacher = [nn.Linear(8, 16)]
            self.body = nn.Sequential(nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, 2))

        def forward(self, inputs):
            with torch.no_grad():
                taught = self.teacher[0](inputs)
            return self.body(torch.cat([inputs, taught], 1))

    torch.manual_seed(1)
    diagnosis = examined(Distilled(), parity)
    assert "frozen_layers" not in [one.rule for one in diagnosis.findings]
