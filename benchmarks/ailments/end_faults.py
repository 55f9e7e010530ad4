"""Mechanisms at the end of the model: what is put on its last layer, and losses that do not fit it.

`softmax_twice`, `relu_on_scores` and `relu_on_regression` are among the published fault programs.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from .models import Network
from .recipe import Mechanism, Training
from .surgery import Function, behind_head, recipe_with


def _broadcast(training: Training, _dose: float) -> Training:
    """Targets of shape (batch,) against outputs of (batch, 1)."""
    batches = [(inputs, targets[:, 0]) for inputs, targets in training.batches]
    return replace(training, batches=batches, loss=_square)


def _square(output: Tensor, target: Tensor) -> Tensor:
    """Mean square of outputs minus targets, which broadcast to a matrix without a warning."""
    return (output - target).square().mean()


def _hidden_softmax(model: nn.Module, _dose: float) -> nn.Module:
    """Softmax written as an operation in the forward pass."""
    assert isinstance(model, Network)
    model.head = nn.Sequential(model.head, Function(lambda values: values.softmax(-1)))
    return model


MECHANISMS = (
    Mechanism("softmax_twice", "bad_output_layer", model=behind_head(lambda: nn.Softmax(dim=-1))),
    Mechanism("hidden_softmax", "bad_output_layer", model=_hidden_softmax),
    Mechanism("sigmoid_on_scores", "bad_output_layer", model=behind_head(nn.Sigmoid)),
    Mechanism("relu_on_scores", "bad_output_layer", leads_to=("dead_units",), model=behind_head(nn.ReLU)),
    Mechanism(
        "wrong_softmax_axis", "bad_output_layer", contested=True, model=behind_head(lambda: nn.Softmax(dim=0))
    ),
    Mechanism("relu_on_regression", "bad_output_layer", leads_to=("dead_units",), model=behind_head(nn.ReLU)),
    Mechanism(
        "tanh_on_regression",
        "bad_output_layer",
        leads_to=("saturated_activations",),
        model=behind_head(nn.Tanh),
    ),
    Mechanism(
        "sigmoid_on_regression",
        "bad_output_layer",
        leads_to=("saturated_activations",),
        model=behind_head(nn.Sigmoid),
    ),
    Mechanism(
        "softmax_of_one",
        "bad_output_layer",
        leads_to=("frozen_layers",),
        recipe=recipe_with(loss="bce"),
        model=behind_head(lambda: nn.Softmax(dim=1)),
    ),
    Mechanism(
        "nll_of_scores",
        "bad_output_layer",
        contested=True,
        leads_to=("exploding_activations", "exploding_gradient"),
        recipe=recipe_with(loss="nll"),
    ),
    Mechanism(
        "nll_of_softmax",
        "bad_output_layer",
        recipe=recipe_with(loss="nll"),
        model=behind_head(lambda: nn.Softmax(dim=-1)),
    ),
    Mechanism("broadcast_targets", "bad_output_layer", training=_broadcast),
)
