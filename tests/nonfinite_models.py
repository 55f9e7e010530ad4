"""Small models that hold a fault at a known place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.measure.nonfinite import Origin, tensors_in, trace_nonfinite


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Any, **named: Any) -> Any:
        return self.function(*values, **named)


class Framed(nn.Module):
    """A fault in the middle, two levels deep: "block.fault", with a linear map in front and one behind."""

    def __init__(self, fault: Callable[..., Any], width: int = 4, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.block = nn.Sequential()
        self.block.add_module("fault", Apply(fault))
        self.last = nn.Linear(width, 2)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(width))
            self.first.bias.zero_()
        self.to(dtype)

    def forward(self, values: Tensor) -> Tensor:
        return self.last(self.block(self.first(values)))


def batch(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)


def ones(model: nn.Module, *args: Tensor) -> list[Tensor]:
    return [torch.ones_like(output) for output in tensors_in(model(*args)) if output.requires_grad]


def traced(model: nn.Module, *args: Any, **given: Any) -> Origin:
    origin = trace_nonfinite(model, args, {}, **given)
    assert origin is not None
    return origin
