"""What stands in front of a model: layers that standardise its inputs, or fill their holes, in training and in use.

Each class is plain PyTorch without a name of this package, since its source is what a user is given to paste.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Standardised(nn.Module):
    """A model that sees (x - mean) / spread in place of x."""

    def __init__(self, model: nn.Module, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, inputs: Any) -> Any:
        return self.model((inputs - self.mean) / self.spread)


class Filled(nn.Module):
    """A model that sees `fill` where an input is NaN or infinite."""

    fill: Tensor

    def __init__(self, model: nn.Module, fill: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("fill", fill)

    def forward(self, inputs: Any) -> Any:
        return self.model(torch.where(inputs.isfinite(), inputs, self.fill))


class InputsStandardised(nn.Module):
    """A model of several inputs that sees (x - mean) / spread of those whose places are given, the others as they are.

    Places count the tensors that it is called with, those inside of lists and mappings too.
    """

    def __init__(self, model: nn.Module, figures: dict[int, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self.places = list(figures)
        for place, (mean, spread) in figures.items():
            self.register_buffer(f"mean_{place}", mean)
            self.register_buffer(f"spread_{place}", spread)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        count = -1

        def changed(value: Any) -> Any:
            nonlocal count
            if isinstance(value, Tensor):
                count += 1
                if count not in self.places:
                    return value
                return (value - getattr(self, f"mean_{count}")) / getattr(self, f"spread_{count}")
            if isinstance(value, dict):
                return {key: changed(one) for key, one in value.items()}
            if isinstance(value, tuple) and hasattr(value, "_fields"):
                return type(value)(*(changed(one) for one in value))
            if isinstance(value, (list, tuple)):
                return type(value)(changed(one) for one in value)
            return value

        inputs = changed(inputs)
        return self.model(*inputs, **changed(named))


class MappingStandardised(InputsStandardised):
    """The same for a model that takes one mapping."""

    def forward(self, inputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(inputs)


def takes_one_mapping(model: nn.Module, inputs: object) -> bool:
    """Whether a mapping goes to the model as it is, not as keywords."""
    if not isinstance(inputs, Mapping):
        return False
    try:
        inspect.signature(model.forward).bind(**inputs)
    except TypeError:
        return True
    return False


def mean_and_spread(tensors: list[Tensor], dimension: int | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature along a dimension, or of all entries; a constant one has spread 1."""
    first = tensors[0]
    if dimension is None:
        rows, shape = torch.cat([one.reshape(-1, 1) for one in tensors]).double(), ()
    else:
        width = first.shape[dimension]
        rows = torch.cat([one.movedim(dimension, -1).reshape(-1, width) for one in tensors]).double()
        shape = [-1 if each == dimension else 1 for each in range(first.ndim)]
    good = rows.isfinite()
    count = good.sum(0).clamp_min(1)
    mean = rows.where(good, 0.0).sum(0) / count
    spread = ((rows - mean).where(good, 0.0).square().sum(0) / count).sqrt()
    spread = spread.where(spread > 1e-7 * (mean.abs() + 1e-30), 1.0)
    return mean.view(shape).to(first.dtype), spread.view(shape).to(first.dtype)
