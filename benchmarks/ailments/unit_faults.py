"""Mechanisms that spoil units: dead, saturated, or all alike.

`sunk_bias` is AUTOTRAINER's dying ReLU; `constant_weights`, `zero_weights` and `steep_before_activation` are those of
SageMaker's and TheDeepChecker's programs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .models import weights
from .recipe import Mechanism
from .surgery import after_each_block, before_each_activation, each_bias, each_weight, layers


def _double_units(model: nn.Module, dose: float) -> nn.Module:
    """Every hidden layer holds `dose` different units, over and over."""
    with torch.no_grad():
        for one in layers(model):
            weight, bias = one.linear.weight, one.linear.bias
            assert isinstance(weight, Tensor)
            assert isinstance(bias, Tensor)
            order = torch.arange(len(weight)) % int(dose)
            weight.copy_(weight[order])
            bias.copy_(bias[order])
        head = weights(model)[-1][1]
        head.copy_(head.mean(1, keepdim=True).expand_as(head))
    return model


def _alike_units(model: nn.Module, dose: float) -> nn.Module:
    """The units of the last hidden layer share one row of weights, and count alike in the head."""
    with torch.no_grad():
        for name, weight in weights(model)[-2:]:
            rows = weight.mean(tuple(range(1, weight.dim())), keepdim=True) if "head" in name else weight[:1]
            weight.copy_(rows.expand_as(weight) * dose)
    for name, one in model.named_parameters():
        if name == weights(model)[-2][0].replace("weight", "bias"):
            nn.init.zeros_(one)
    return model


def _everything(model: nn.Module, dose: float) -> nn.Module:
    """Weights all `dose`, biases all 0."""
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "norm" not in name:
                one.fill_(dose if one.dim() > 1 else 0.0)
    return model


def _sunk_norms(model: nn.Module, dose: float) -> nn.Module:
    for one in model.modules():
        if (
            isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm)
            and one.bias is not None
        ):
            nn.init.constant_(one.bias, -dose)
    return model


START = ("poor_init",)
MECHANISMS = (
    Mechanism(
        "sunk_bias",
        "dead_units",
        START,
        ("frozen_layers",),
        doses=(3, 6, 12),
        model=each_bias(lambda bias, dose: nn.init.constant_(bias, -dose)),
    ),
    Mechanism("sunk_norm", "dead_units", START, ("frozen_layers",), doses=(4, 6), model=_sunk_norms),
    Mechanism(
        "negative_weights",
        "dead_units",
        START,
        ("frozen_layers",),
        doses=(1.0, 0.5),
        model=each_weight(lambda weight, dose: weight.abs_().mul_(-dose), slice(1, -1)),
    ),
    Mechanism(
        "shifted_relu",
        "dead_units",
        (),
        ("frozen_layers",),
        doses=(4, 8),
        model=before_each_activation(lambda values, dose: values - dose),
    ),
    Mechanism(
        "relu_of_minus_relu",
        "dead_units",
        (),
        ("frozen_layers",),
        doses=(0.0,),
        model=after_each_block(lambda values, dose: (dose - values).relu()),
    ),
    Mechanism(
        "steep_before_activation",
        "saturated_activations",
        (),
        ("vanishing_gradient",),
        doses=(15, 40, 100),
        model=before_each_activation(lambda values, dose: values * dose),
    ),
    Mechanism(
        "saturating_bias",
        "saturated_activations",
        START,
        ("vanishing_gradient", "correlation_collapse"),
        doses=(7, 12),
        model=each_bias(lambda bias, dose: bias.copy_(dose * torch.randn_like(bias).sign())),
    ),
    Mechanism(
        "saturating_weights",
        "saturated_activations",
        START,
        ("vanishing_gradient", "exploding_gradient"),
        doses=(15, 30),
        model=each_weight(Tensor.mul_, slice(0, -1)),
    ),
    Mechanism(
        "zero_weights",
        "symmetric_init",
        START,
        ("frozen_layers", "dead_units"),
        doses=(0.0,),
        model=_everything,
    ),
    Mechanism(
        "constant_weights",
        "symmetric_init",
        START,
        ("exploding_activations", "saturated_activations"),
        doses=(0.02, 0.1, 0.3),
        model=_everything,
    ),
    Mechanism("doubled_units", "symmetric_init", doses=(1, 2), model=_double_units),
    Mechanism("alike_units", "symmetric_init", doses=(1.0,), model=_alike_units),
)
