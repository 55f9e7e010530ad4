"""What a first forward pass shows of layers: the sizes of their outputs, and what evaluation alone calls."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn

from evenflow.doctor.batches import take_batches
from evenflow.doctor.first_pass import called_in_evaluation, output_sizes
from evenflow.measure.data_facts import input_facts


class Squares(nn.Module):
    """One layer called twice, its outputs squared between, and one that evaluation alone calls."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.spare = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, values):
        values = self.norm(self.layer(10 * self.layer(values).square()))
        return values if self.training else self.spare(values)


def test_sizes_are_those_of_the_largest_call_and_leave_no_trace():
    model, inputs = Squares(), torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    before = copy.deepcopy(model.state_dict())
    sizes = output_sizes(model, take_batches((inputs, inputs), 1, torch.device("cpu"))[0])
    weight, bias = (one.detach().double().numpy() for one in (model.layer.weight, model.layer.bias))
    once = inputs.double().numpy() @ weight.T + bias
    twice = 10 * once**2 @ weight.T + bias
    assert set(sizes) == {"layer"}
    assert math.isclose(sizes["layer"], np.sqrt(np.square(twice).mean()), rel_tol=1e-5)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert not any(one._forward_hooks for one in model.modules())


def test_what_evaluation_alone_calls():
    model, inputs = Squares(), torch.randn(8, 4)
    batch = take_batches((inputs, inputs), 1, torch.device("cpu"))[0]
    assert "spare" in called_in_evaluation(copy.deepcopy(model), batch)


def test_entries_far_out_are_measured_by_the_middle_half():
    values = np.random.default_rng(0).normal(size=(1000, 2))
    values[7, 1] = -999.0
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    wanted = (np.abs(values - middle).max(0) / ((high - low) / 1.349)).max()
    assert math.isclose(input_facts("input", [torch.tensor(values)]).outlying, wanted, rel_tol=1e-6)
    constant = torch.zeros(10, 2)
    assert math.isnan(input_facts("input", [constant]).outlying)
