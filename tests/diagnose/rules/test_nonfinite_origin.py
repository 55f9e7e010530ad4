"""The operation that made the first value that is not finite, and infinities that do no harm."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diagnosed_trainings import Transformer, adam, chain, digits, sgd, trained, verdict, without
from torch import Tensor, nn

RULE = "nonfinite_origin"


class Apply(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


def with_function(function) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), Apply(function), nn.Linear(32, 10))


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (torch.log, "aten::log"),
        (lambda x: x / x.sum(0, keepdim=True).mul(0), "aten::div"),
        (lambda x: (x - 1e-3).sqrt(), "aten::sqrt"),
    ],
    ids=["logarithm of 0", "division by 0", "root below 0"],
)
def test_an_operation_outside_its_domain_is_named(function, operation):
    found = verdict(RULE, trained(with_function(function), adam(lr=1e-3), digits(), steps=20))
    assert found is not None
    assert found.severity == "fault"
    assert found.sites == ("2",)
    assert found.first_step == 0
    assert operation in found.message


def test_a_gradient_outside_its_domain_is_named():
    # The root of 0 is fine, its derivative is not: 0 · ∞.
    def roots(inputs: Tensor) -> Tensor:
        return inputs + (inputs * 0).sqrt()

    found = verdict(RULE, trained(with_function(roots), adam(lr=1e-3), digits(), steps=20))
    assert found is not None
    assert found.sites == ("2",)


def test_a_training_that_ran_away_says_when():
    case = trained(chain(32, 5, nn.ReLU), sgd(lr=1e4), digits(), steps=60)
    found = verdict(RULE, case)
    assert found is not None
    assert found.first_step is not None
    assert found.first_step > 0
    before = case.loss.steps < found.first_step
    assert np.isfinite(case.loss.values[before]).all()
    assert case.setting.origin_step == found.first_step


def test_nan_in_the_data_is_named():
    batches = [(inputs.clone(), targets) for inputs, targets in digits()]
    batches[3][0][0, 5] = math.nan
    found = verdict(RULE, trained(chain(32, 3, nn.ReLU), adam(lr=1e-3), batches, steps=20))
    assert found is not None
    assert found.first_step == 3
    assert "input" in found.message


def test_without_a_trace_the_first_site_is_named():
    case = trained(with_function(torch.log), adam(lr=1e-3), digits(), steps=20)
    found = verdict(RULE, without(case, setting=False))
    assert found is not None
    assert found.severity == "fault"
    assert found.sites


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Transformer(1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).masked_fill(torch.zeros(10, dtype=torch.bool), -math.inf)


@pytest.mark.parametrize(
    ("model", "batches"),
    [
        (lambda: chain(32, 3, nn.ReLU), digits),
        (Masked, lambda: digits(8, 8)),
        (lambda: with_function(lambda x: (x + 1e-6).log().clamp(min=-4.0)), digits),
    ],
    ids=["all finite", "mask", "guarded logarithm"],
)
def test_what_is_finite(model, batches):
    assert verdict(RULE, trained(model(), adam(lr=1e-3), batches(), steps=30)) is None
