"""Activation functions that are called as functions: F.relu(x), torch.sigmoid(x), x.tanh(), x.clamp(min=0)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows it by
from torch import Tensor

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation, elementwise

_NAMED: dict[str, str] = {
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "selu": "selu",
    "silu": "silu",
    "mish": "mish",
    "hardswish": "hardswish",
    "softsign": "softsign",
}
_OTHERS = (
    *("leaky_relu", "elu", "gelu", "softplus", "relu6", "hardtanh", "hardsigmoid", "celu", "logsigmoid"),
    *("threshold", "softshrink", "hardshrink", "tanhshrink", "prelu"),
)
_CLAMPS = (torch.clamp, torch.clamp_min, Tensor.clamp, Tensor.clamp_min, Tensor.clamp_, Tensor.clamp_min_)


def _functions(names: Sequence[str]) -> dict[Any, str]:
    """Every callable of torch that goes by one of the names, in place or not."""
    homes = (torch, F, Tensor, torch.nn.functional)
    found: dict[Any, str] = {}
    for name in names:
        for home in homes:
            for spelling in (name, f"{name}_"):
                function = getattr(home, spelling, None)
                if function is not None:
                    found[function] = name
    return found


FUNCTIONS: Mapping[Any, str] = {
    **_functions([*_NAMED, *_OTHERS]),
    **dict.fromkeys(_CLAMPS, "clamp"),
}
"""What is looked out for, and its name."""

SOFTMAXES = frozenset((torch.softmax, F.softmax, Tensor.softmax))
CONVOLUTIONS = frozenset((torch.conv1d, torch.conv2d, torch.conv3d, F.conv1d, F.conv2d, F.conv3d))
"""Behind these the units are the second dimension."""


def called_activation(
    function: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any]
) -> Activation | None:
    """The activation function that a call applies to its first argument, or None where it is none.

    >>> called_activation(F.leaky_relu, (torch.zeros(2), 0.3), {})
    activation("leaky_relu:0.3")
    >>> called_activation(torch.clamp, (torch.zeros(2),), {"min": 0, "max": 5}) is None
    True
    """
    name = FUNCTIONS.get(function)
    rest = tuple(value for value in arguments[1:] if not isinstance(value, bool))  # whether it works in place
    if name is None or name == "prelu":
        return None  # the slopes of PReLU are learned: the module is read, or none
    if name in _NAMED:
        return activation(_NAMED[name])
    if name == "clamp":
        bounds = (*rest, options.get("min"), options.get("max"))
        given = [bound for bound in bounds if bound is not None]
        if any(isinstance(bound, Tensor) for bound in given):
            return None  # a bound for every entry
        return activation("relu") if given == [0] and options.get("max") is None else None
    try:
        key = tuple(
            sorted((word, value) for word, value in options.items() if word not in ("inplace", "input"))
        )
        return _parametrised(name, rest, key)
    except TypeError:  # an argument that cannot be hashed, such as a tensor
        return None


@functools.lru_cache(maxsize=256)
def _parametrised(
    name: str, rest: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
) -> Activation | None:
    given = dict(options)
    if name == "leaky_relu":
        return activation(f"leaky_relu:{float(rest[0] if rest else given.get('negative_slope', 0.01))!r}")
    if name == "elu":
        return activation(f"elu:{float(rest[0] if rest else given.get('alpha', 1.0))!r}")
    if name == "gelu":
        return activation("gelu_tanh" if given.get("approximate", "none") == "tanh" else "gelu")
    try:
        return elementwise(name, lambda z: getattr(F, name)(z, *rest, **given))
    except SpecError:
        return None
