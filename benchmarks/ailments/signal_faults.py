"""Mechanisms that spoil the flow of signals and gradients: activations, scales, starts.

AUTOTRAINER's chains are among them: `sigmoid_stack`, `exponential_chain`, `narrow_uniform`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .models import Network, weights
from .recipe import Mechanism
from .surgery import Function, after_each_block, before_each_activation, each_weight, layers, recipe_with


def _forgetful(model: nn.Module, dose: float) -> nn.Module:
    """Recurrent weights times `dose`, with input weights as they were."""
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "weight_hh" in name:
                nn.init.orthogonal_(one).mul_(dose)
    return model


def _big_head(model: nn.Module, dose: float) -> nn.Module:
    with torch.no_grad():
        weights(model)[-1][1].mul_(dose)
    return model


def _constant_bias(model: nn.Module, dose: float) -> nn.Module:
    """Tiny weights under large biases: what comes in no longer matters."""
    assert isinstance(model, Network)
    with torch.no_grad():
        for one in layers(model):
            assert isinstance(one.linear.weight, Tensor)
            one.linear.weight.mul_(dose)
            assert isinstance(one.linear.bias, Tensor)
            one.linear.bias.normal_(0, 1)
    return model


def _residual_growth(model: nn.Module, dose: float) -> nn.Module:
    for one in layers(model):
        one.activation = nn.Sequential(one.activation, Function(lambda values: values * dose))
    return model


START = ("poor_init",)
MECHANISMS = (
    Mechanism(
        "sigmoid_stack",
        "vanishing_gradient",
        ("correlation_collapse", "saturated_activations", "poor_init"),
        recipe=recipe_with(activation="sigmoid", initialisation="default"),
    ),
    Mechanism(
        "hard_sigmoid_stack",
        "vanishing_gradient",
        ("correlation_collapse", "saturated_activations", "poor_init"),
        recipe=recipe_with(activation="hardsigmoid", initialisation="xavier"),
    ),
    Mechanism(
        "softmax_stack",
        "vanishing_gradient",
        ("correlation_collapse", "saturated_activations", "poor_init"),
        recipe=recipe_with(activation="softmax", initialisation="default"),
    ),
    Mechanism(
        "damped_blocks",
        "vanishing_gradient",
        ("correlation_collapse", "poor_init"),
        doses=(0.1, 0.2, 0.05),
        model=after_each_block(lambda values, dose: values * dose),
    ),
    Mechanism("forgetful_recurrence", "vanishing_gradient", START, doses=(0.2, 0.1, 0.4), model=_forgetful),
    Mechanism(
        "narrow_uniform",
        "poor_init",
        ("vanishing_gradient", "correlation_collapse"),
        doses=(0.05, 0.02),
        model=each_weight(lambda weight, dose: nn.init.uniform_(weight, -dose, dose)),
    ),
    Mechanism(
        "shrunk_weights",
        "poor_init",
        ("vanishing_gradient", "correlation_collapse"),
        doses=(0.1, 0.2, 0.03),
        model=each_weight(Tensor.mul_),
    ),
    Mechanism(
        "grown_weights",
        "poor_init",
        ("exploding_gradient", "exploding_activations", "saturated_activations"),
        ("lr_too_high",),
        doses=(3, 5, 10),
        model=each_weight(Tensor.mul_),
    ),
    Mechanism(
        "normal_weights",
        "poor_init",
        ("exploding_gradient", "exploding_activations", "saturated_activations"),
        doses=(1.0, 0.7),
        model=each_weight(lambda weight, dose: nn.init.normal_(weight, 0, dose)),
    ),
    Mechanism(
        "positive_weights",
        "poor_init",
        ("exploding_activations", "exploding_gradient", "correlation_collapse", "saturated_activations"),
        doses=(1.0, 0.5),
        model=each_weight(lambda weight, dose: nn.init.uniform_(weight, 0, dose)),
    ),
    Mechanism("big_head", "poor_init", ("exploding_gradient",), doses=(100, 300), model=_big_head),
    Mechanism(
        "exponential_chain",
        "exploding_gradient",
        ("exploding_activations", "poor_init"),
        ("nonfinite_origin",),
        recipe=recipe_with(activation="exp", initialisation="he_uniform"),
    ),
    Mechanism(
        "amplified_blocks",
        "exploding_gradient",
        ("exploding_activations",),
        ("nonfinite_origin", "dead_units"),
        doses=(3, 5),
        model=after_each_block(lambda values, dose: values * dose),
    ),
    Mechanism(
        "much_amplified_blocks",
        "exploding_gradient",
        ("exploding_activations",),
        ("nonfinite_origin", "dead_units"),
        doses=(6, 10, 20),
        model=after_each_block(lambda values, dose: values * dose),
    ),
    Mechanism(
        "wild_recurrence",
        "exploding_gradient",
        ("exploding_activations", "poor_init"),
        ("nonfinite_origin",),
        doses=(3, 5),
        model=_forgetful,
    ),
    Mechanism(
        "growing_recurrence",
        "exploding_gradient",
        ("exploding_activations", "poor_init"),
        ("nonfinite_origin",),
        doses=(1.6, 2.0, 2.5),
        model=_forgetful,
    ),
    Mechanism(
        "doubled_residual",
        "exploding_activations",
        ("exploding_gradient",),
        ("nonfinite_origin",),
        doses=(3, 4, 5),
        model=_residual_growth,
    ),
    Mechanism(
        "squared_units",
        "exploding_activations",
        ("exploding_gradient",),
        ("nonfinite_origin",),
        doses=(2, 3),
        model=before_each_activation(lambda values, dose: dose * values * values.abs()),
    ),
    Mechanism(
        "deep_default_start",
        "correlation_collapse",
        ("vanishing_gradient", "poor_init"),
        recipe=recipe_with(initialisation="default"),
    ),
    Mechanism(
        "biases_over_weights",
        "correlation_collapse",
        ("vanishing_gradient", "poor_init"),
        doses=(0.2, 0.3),
        model=_constant_bias,
    ),
)
