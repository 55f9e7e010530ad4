"""Small operations on models and trainings, of which the mechanisms are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from .models import Layer, Network, weights
from .recipe import Recipe, Training


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        """Of any shape."""
        return self.function(inputs)


def recipe_with(**changes: object) -> Callable[[Recipe, float], Recipe]:
    """A change of factors; "DOSE" stands for the dose, as an integer where the factor is one."""

    def change(recipe: Recipe, dose: float) -> Recipe:
        return replace(
            recipe, **{name: dose if value == "DOSE" else value for name, value in changes.items()}
        )  # type: ignore[arg-type]

    return change


def rate_times(recipe: Recipe, dose: float) -> Recipe:
    """Another learning rate."""
    return replace(recipe, rate=recipe.rate * dose)


def each_weight(
    change: Callable[[Tensor, float], object], where: slice = slice(None)
) -> Callable[[nn.Module, float], nn.Module]:
    """A change of weight matrices in place, of those in `where` in the order of depth."""

    def changed(model: nn.Module, dose: float) -> nn.Module:
        with torch.no_grad():
            for _, weight in weights(model)[where]:
                change(weight, dose)
        return model

    return changed


def each_bias(change: Callable[[Tensor, float], object]) -> Callable[[nn.Module, float], nn.Module]:
    """A change of the biases of hidden linear layers in place."""

    def changed(model: nn.Module, dose: float) -> nn.Module:
        with torch.no_grad():
            for one in layers(model):
                bias = getattr(one.linear, "bias", None)
                if bias is not None:
                    change(bias, dose)
        return model

    return changed


def layers(model: nn.Module) -> list[Layer]:
    """Hidden layers of a perceptron or a convolutional network."""
    return [one for one in model.modules() if isinstance(one, Layer)]


def after_each_block(function: Callable[[Tensor, float], Tensor]) -> Callable[[nn.Module, float], nn.Module]:
    """An operation behind every block."""

    def changed(model: nn.Module, dose: float) -> nn.Module:
        assert isinstance(model, Network)
        operation = Function(lambda values: function(values, dose))
        model.blocks = nn.Sequential(*(nn.Sequential(block, operation) for block in model.blocks))
        return model

    return changed


def before_each_activation(
    function: Callable[[Tensor, float], Tensor],
) -> Callable[[nn.Module, float], nn.Module]:
    """An operation between every hidden map and its activation."""

    def changed(model: nn.Module, dose: float) -> nn.Module:
        for one in layers(model):
            one.activation = nn.Sequential(Function(lambda values: function(values, dose)), one.activation)
        return model

    return changed


def behind_block(
    place: float, function: Callable[[Tensor, float], Tensor]
) -> Callable[[nn.Module, float], nn.Module]:
    """An operation behind one block: 0 is the first, 1 the last."""

    def changed(model: nn.Module, dose: float) -> nn.Module:
        assert isinstance(model, Network)
        blocks = list(model.blocks)
        index = round(place * (len(blocks) - 1))
        blocks[index] = nn.Sequential(blocks[index], Function(lambda values: function(values, dose)))
        model.blocks = nn.Sequential(*blocks)
        return model

    return changed


def behind_head(operation: Callable[[], nn.Module]) -> Callable[[nn.Module, float], nn.Module]:
    """Something behind the last layer."""

    def changed(model: nn.Module, _dose: float) -> nn.Module:
        assert isinstance(model, Network)
        model.head = nn.Sequential(model.head, operation())
        return model

    return changed


def inputs_through(function: Callable[[Tensor, float], Tensor]) -> Callable[[list, float], list]:
    """Other inputs in every batch."""
    return lambda batches, dose: [(function(inputs, dose), targets) for inputs, targets in batches]


def keep_only(training: Training, chosen: Callable[[str], bool]) -> Training:
    """The optimiser keeps the parameters that are chosen by name."""
    kept = {id(one) for name, one in training.model.named_parameters() if chosen(name)}
    for group in training.optimiser.param_groups:
        group["params"] = [one for one in group["params"] if id(one) in kept]
    return training


def hidden_names(model: nn.Module) -> set[str]:
    """Names of the parameters of all layers but the last."""
    last = weights(model)[-1][0].rsplit(".", 1)[0]
    return {name for name, _ in model.named_parameters() if not name.startswith(f"{last}.")}
