"""A replay leaves nothing behind, and draws the random numbers of the step that it repeats."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from nonfinite_models import Apply, traced
from torch import Tensor, nn


class Stateful(nn.Module):
    """Everything that a replay could change."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Dropout(0.5).eval()
        self.dropout = nn.Dropout(0.5)
        self.generator = torch.Generator().manual_seed(3)
        self.memory = torch.zeros(4)
        self.cache = {"keys": [torch.zeros(2)]}
        self.calls = 0
        self.history: list[float] = [1.0]
        self.fails = False

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        self.history.append(float(values.detach().sum()))
        values.mul_(2)
        self.memory.add_(values.detach().sum(0))
        self.cache["keys"][0][1] += 1
        with torch.no_grad():
            self.linear.bias.add_(1)
            if self.linear.weight.grad is not None:
                self.linear.weight.grad.mul_(2)
        self.linear.bias.grad = None
        self.frozen.train()
        drawn = random.random() + float(np.random.rand()) + torch.rand((), generator=self.generator)
        hidden = self.dropout(self.norm(self.linear(values))) * drawn
        if self.fails:
            raise RuntimeError("no more")
        return (hidden - hidden).sqrt() + self.memory.sum()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_the_training_is_changed(fails: bool) -> None:
    model = Stateful()
    model.register_forward_hook(lambda *_: None)
    values = torch.ones(8, 4)
    model(values.clone()).sum().backward()
    model.fails = fails
    model.frozen.eval()
    model.linear.bias.grad = torch.randn(4)
    model.norm.weight.grad = torch.full((4,), float("nan"))

    def everything() -> list[Any]:
        parts: list[Any] = [
            bytes(t.detach().contiguous().numpy().tobytes()) for t in model.state_dict().values()
        ]
        parts += [None if p.grad is None else p.grad.numpy().tobytes() for p in model.parameters()]
        parts += [(id(t), t.data_ptr()) for t in (*model.parameters(), *model.buffers())]
        parts += [id(p.grad) for p in model.parameters()]
        parts += [b._version for b in model.buffers()]
        parts += [m.training for m in model.modules()]
        for m in model.modules():
            parts += [{k: len(v) for k, v in vars(m).items() if "hooks" in k and v is not None}]
        parts += [torch.get_rng_state().tolist(), model.generator.get_state().tolist()]
        parts += [random.getstate(), str(np.random.get_state())]
        parts += [
            model.memory.tolist(),
            model.calls,
            list(model.history),
            values.tolist(),
            torch.is_grad_enabled(),
        ]
        return parts

    before = everything()
    origin = traced(model, values, gradients=[torch.ones(8, 4)], generator_state=torch.get_rng_state())
    assert origin.direction == ("unknown" if fails else "backward")
    assert everything() == before
    model.fails = False
    model(values)  # and this comparison can fail
    assert sum(a != b for a, b in zip(everything(), before, strict=True)) > 10


def test_dropout_repeats() -> None:
    """Of 64 units, dropout leaves one pattern, and the fault is at those that it drops."""
    model = nn.Sequential(nn.Dropout(0.5), Apply(torch.log))
    values = torch.ones(64)
    state = torch.get_rng_state()
    dropped = int((~model(values).isfinite()).sum())
    assert 0 < dropped < 64
    for _ in range(3):
        torch.rand(5)
        origin = traced(model, values, generator_state={"cpu": state})
        assert origin.operands[0].zeros == dropped
        assert origin.produced is not None
        assert origin.produced.nonfinite == dropped
        assert traced(model, values, generator_state=state) == origin
