"""Costs are ratios of times: wide margins, and a slow function that must show."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from evenflow.measure.activation_cost import ActivationCost, activation_costs


class Sleeping(torch.autograd.Function):
    """1 ms forward, 3 ms backward: far above any ReLU on 4096 elements."""

    @staticmethod
    def forward(ctx, z):  # noqa: ARG004
        time.sleep(0.001)
        return z.clone()

    @staticmethod
    def backward(ctx, *gradient):  # noqa: ARG004
        time.sleep(0.003)
        return gradient[0]


class Slow(nn.Module):
    def forward(self, z):
        return Sleeping.apply(z)


def test_a_slow_function_costs_more_and_relu_costs_one():
    found = activation_costs({"slow": Slow(), "relu": nn.ReLU()}, rows=64, width=64, rounds=9)
    assert list(found) == ["slow", "relu"]
    assert 1 / 4 < found["relu"].forward < 4
    assert 1 / 4 < found["relu"].backward < 4
    assert found["slow"].forward > 10
    assert found["slow"].backward > 10


class Learning(torch.autograd.Function):
    """A slope whose own gradient takes long."""

    @staticmethod
    def forward(ctx, z, slope):
        ctx.save_for_backward(slope)
        return z * slope

    @staticmethod
    def backward(ctx, *gradients):
        if ctx.needs_input_grad[1]:
            time.sleep(0.003)
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, gradients[0].sum()[None]


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(1))

    def forward(self, z):
        return Learning.apply(z, self.slope)


def test_learned_slopes_are_part_of_the_backward_pass():
    modules = {"learned": Learned(), "frozen": Learned().requires_grad_(False)}
    found = activation_costs(modules, rows=64, width=64, rounds=9)
    assert found["learned"].backward > 5 * found["frozen"].backward


def test_threads_are_given_back_and_no_gradient_is_left():
    threads = torch.get_num_threads()
    module = nn.PReLU(8)
    costs = activation_costs({"prelu": module}, rows=8, width=8, rounds=1)
    assert torch.get_num_threads() == threads
    assert module.weight.grad is None
    assert isinstance(costs["prelu"], ActivationCost)


def test_threads_are_given_back_after_a_failure():
    class Failing(nn.Module):
        calls = 0

        def forward(self, z):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("no more")
            return z * 2

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="no more"):
            activation_costs({"failing": Failing()}, rows=8, width=8, rounds=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
