"""Activations as modules: those of `torch.nn` by the names of the catalogue, and the user's own."""

from __future__ import annotations

import torch
from torch import nn

from evenflow.spec.activation import Activation


class Elementwise(nn.Module):
    """A registered activation as a module."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.function(inputs)

    def extra_repr(self) -> str:
        return self.function.name


def activation_module(function: Activation, units: int) -> nn.Module:
    """The module of `torch.nn` for a catalogue activation; `Elementwise` for a registered one."""
    if function.custom:
        return Elementwise(function)
    parameter = 0.0 if function.parameter is None else function.parameter
    match function.name.partition(":")[0]:
        case "leaky_relu":
            return nn.LeakyReLU(parameter)
        case "prelu":
            return nn.PReLU(units, init=parameter)
        case "elu":
            return nn.ELU(parameter)
        case "gelu_tanh":
            return nn.GELU(approximate="tanh")
        case name:
            return _PLAIN[name]()


_PLAIN: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "softsign": nn.Softsign,
    "identity": nn.Identity,
}
