"""Where signals can be read in a model: what a module is, how its parameters and outputs are called."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Optimizer

CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_ACTIVATIONS: frozenset[type[nn.Module]] = frozenset(
    (
        *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
        *(nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Tanh, nn.Hardtanh, nn.Tanhshrink, nn.Softshrink),
        *(nn.Hardshrink, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Threshold, nn.RReLU),
    )
)


def stepped_by(*optimisers: Optimizer) -> set[int]:
    """The identities of the parameters that optimisers have.

    >>> linear = nn.Linear(2, 2)
    >>> stepped_by(torch.optim.SGD([linear.bias], lr=0.1)) == {id(linear.bias)}
    True
    """
    return set(rates_of(*optimisers))


def rates_of(*optimisers: Optimizer) -> dict[int, float]:
    """The learning rates, before any schedule, by the identities of the parameters that optimisers have.

    >>> linear = nn.Linear(2, 2)
    >>> rates_of(torch.optim.SGD([linear.bias], lr=0.1)) == {id(linear.bias): 0.1}
    True
    """
    return {
        id(one): rate_of(group)
        for each in optimisers
        for group in each.param_groups
        for one in group["params"]
    }


def rate_of(group: Mapping[str, Any]) -> float:
    """The learning rate of a parameter group, before any schedule."""
    return float(group.get("initial_lr", group.get("lr", math.nan)))


def wrappings(model: nn.Module) -> Iterator[nn.Module]:
    """A model, the one inside it, and so on: what torch.compile and the parallel wrappers put around each other."""
    inner: object = model
    while isinstance(inner, nn.Module):
        yield inner
        if isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = inner.module
        else:
            inner = inner.__dict__.get("_modules", {}).get("_orig_mod")


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside torch.compile, DataParallel and DistributedDataParallel.

    >>> linear = nn.Linear(2, 2)
    >>> unwrapped(nn.DataParallel(linear)) is linear
    True
    """
    *_, innermost = wrappings(model)
    return innermost


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an elementwise activation: one of torch's, or one that holds ours.

    >>> is_activation(nn.GELU()), is_activation(nn.Softmax(-1))
    (True, False)
    """
    from evenflow.spec.activation import Activation

    return type(module) in _ACTIVATIONS or isinstance(getattr(module, "function", None), Activation)


def is_weight_layer(module: nn.Module) -> bool:
    """Whether a module has weights of its own, of two dimensions or more: such modules count the depth.

    >>> is_weight_layer(nn.Linear(2, 2)), is_weight_layer(nn.LayerNorm(2))
    (True, False)
    """
    return any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))


def weight_layers(module: nn.Module) -> int:
    """By how much a module that is called counts the depth; one that is scripted also counts what it holds.

    >>> weight_layers(nn.Linear(2, 2)), weight_layers(nn.Sequential(nn.Linear(2, 2)))
    (1, 0)
    """
    if isinstance(module, torch.jit.ScriptModule):
        return sum(map(is_weight_layer, module.modules()))
    return int(is_weight_layer(module))


def parameter_kind(module: nn.Module, name: str, parameter: Tensor) -> str:
    """The kind of a site for the parameter `name` of `module`.

    >>> norm, recurrent = nn.LayerNorm(2), nn.GRU(2, 2)
    >>> parameter_kind(norm, "weight", norm.weight), parameter_kind(recurrent, "bias_ih_l0", recurrent.bias_ih_l0)
    ('scale', 'bias')
    """
    if isinstance(module, nn.PReLU):
        return "slope"
    if "Norm" in type(module).__name__:
        return "shift" if name == "bias" else "scale"
    if parameter.ndim > 1:
        return "weight"
    return "bias" if "bias" in name else "scale"


def registered_depths(model: nn.Module) -> dict[nn.Module, int]:
    """For every module the weight layers registered up to it: its depth where no forward pass has been seen."""
    depths: dict[nn.Module, int] = {}
    depth = 0
    for module in model.modules():
        depth += is_weight_layer(module)
        depths[module] = max(depth, 1)
    return depths


def stacked_blocks(model: nn.Module) -> set[nn.Module]:
    """Modules with children of their own that stand in a list one behind the other, such as residual blocks."""
    return {
        block
        for module in model.modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and module is not model
        for block in module
        if len(list(block.children())) > 1 and not isinstance(block, nn.Sequential | nn.ModuleList)
    }


def tensors_of(value: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every floating-point tensor inside nested outputs, with where it stands.

    >>> [name for name, _ in tensors_of((torch.zeros(1), {"logits": torch.zeros(1)}))]
    ['[0]', '[1].logits']
    """
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_complex():
            yield name, value
    elif isinstance(value, PackedSequence):
        yield from tensors_of(value.data, name)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from tensors_of(part, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from tensors_of(part, f"{name}[{place}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name), f"{name}.{field.name}")
