"""The statistics themselves: pure functions from a tensor to a float64 scalar tensor.

Sums of squares are accumulated in float64. A float32 `.norm()` squares in float32, so that a hundred
entries of 1e-23 come out as exactly 0 although the gradient is there:

>>> import torch
>>> tiny = torch.full((100,), 1e-23)
>>> tiny.norm().item(), round(norm(tiny).item() / 1e-22, 6)
(0.0, 1.0)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def norm(values: Tensor) -> Tensor:
    """√Σv², over the whole tensor.

    >>> norm(torch.tensor([3.0, 4.0])).item()
    5.0
    """
    return torch.linalg.vector_norm(values, dtype=torch.float64)


def rms(values: Tensor) -> Tensor:
    """√(mean v²), over the whole tensor.

    >>> rms(torch.tensor([1.0, -1.0, 1.0])).item()
    1.0
    """
    return norm(values) / math.sqrt(values.numel())


def mean(values: Tensor) -> Tensor:
    """Mean over the whole tensor.

    >>> mean(torch.tensor([1.0, 2.0])).item()
    1.5
    """
    return values.mean(dtype=torch.float64)


def std(values: Tensor) -> Tensor:
    """Standard deviation over the whole tensor, of the population (divisor n).

    >>> std(torch.tensor([1.0, 3.0])).item()
    1.0
    """
    return values.to(torch.float64).std(correction=0)


def max_abs(values: Tensor) -> Tensor:
    """Largest |v|.

    >>> max_abs(torch.tensor([1.0, -3.0])).item()
    3.0
    """
    return values.abs().max().to(torch.float64)


def zero_fraction(values: Tensor) -> Tensor:
    """Share of entries that are exactly 0.

    >>> zero_fraction(torch.tensor([0.0, 1.0])).item()
    0.5
    """
    return (values == 0).sum() / torch.tensor(values.numel(), dtype=torch.float64)


def nonfinite_count(values: Tensor) -> Tensor:
    """Number of entries that are NaN or infinite.

    >>> nonfinite_count(torch.tensor([1.0, float("nan"), float("inf")])).item()
    2.0
    """
    return (~values.isfinite()).sum().to(torch.float64)


def saturated_fraction(slope: Tensor, max_slope: float) -> Tensor:
    """Share of entries where |f'(z)| is below 1 % of the activation's largest slope.

    `slope` holds f'(z) at every entry, as `elementwise_slope` gives it.

    >>> saturated_fraction(torch.tensor([0.001, 0.2]), 0.25).item()
    0.5
    """
    return (slope.abs() < 0.01 * max_slope).sum() / torch.tensor(slope.numel(), dtype=torch.float64)


def live_units(slope: Tensor) -> Tensor:
    """Which units pass a gradient for at least one sample: shape (units,) from f'(z) of shape (samples, units).

    A unit is *dead* over a window of data when its slope is exactly 0 for every sample of the window; two
    windows merge by "or" of what is live.

    >>> live_units(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).tolist()
    [True, False]
    """
    return (slope != 0).flatten(0, -2).any(0)


def elementwise_slope(module: nn.Module, inputs: Tensor) -> Tensor:
    """f'(z) at every entry of `inputs`, by automatic differentiation, so that learned slopes count as they are.

    `module` acts on every entry by itself. Its hooks are not called.
    """
    with torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        outputs = module.forward(leaf)
        (slope,) = torch.autograd.grad(outputs, leaf, torch.ones_like(outputs))
    return slope
