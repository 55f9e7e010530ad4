"""Mechanisms in the optimiser and in what reaches it: rates, layers that are left out, clipping, decay.

`rate_of_one` and `rate_of_nothing` (1e-7) are the published fault programs; the ways to leave layers out are those
that users of PyTorch report.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from .models import Network, weights
from .recipe import Mechanism, Training
from .surgery import behind_block, hidden_names, keep_only, rate_times, recipe_with


def _freeze_behind_optimiser(training: Training, _dose: float) -> Training:
    hidden = hidden_names(training.model)
    for name, one in training.model.named_parameters():
        if name in hidden:
            one.requires_grad_(False)
    return training


def _left_out(training: Training, _dose: float) -> Training:
    hidden = hidden_names(training.model)
    return keep_only(training, lambda name: name not in hidden)


def _only_biases(training: Training, _dose: float) -> Training:
    return keep_only(training, lambda name: "bias" in name)


def _of_a_copy(training: Training, _dose: float) -> Training:
    """The optimiser was made for the model before it was copied."""
    return replace(training, model=copy.deepcopy(training.model))


def _replaced_layers(training: Training, _dose: float) -> Training:
    """Hidden layers put in after the optimiser was made."""
    head = weights(training.model)[-1][1]
    for parent in list(training.model.modules()):
        for name, child in list(parent.named_children()):
            mapping = isinstance(child, nn.Linear | nn.Conv2d) and child.weight is not head
            if mapping or isinstance(child, nn.RNNBase):
                setattr(parent, name, copy.deepcopy(child))
    return training


def _zero_rate_group(training: Training, _dose: float) -> Training:
    hidden = hidden_names(training.model)
    optimiser = training.optimiser
    group = optimiser.param_groups[0]
    named = dict(training.model.named_parameters())
    first = [one for name, one in named.items() if name in hidden]
    group["params"] = [one for name, one in named.items() if name not in hidden]
    optimiser.add_param_group({"params": first, "lr": 0.0})
    return training


def _no_grad_blocks(model: nn.Module, _dose: float) -> nn.Module:
    assert isinstance(model, Network)
    blocks = model.blocks

    def without(values: Tensor) -> Tensor:
        with torch.no_grad():
            return blocks(values)

    model.blocks = nn.Sequential(_Hidden(blocks, without))
    return model


class _Hidden(nn.Module):
    """Blocks that are called through a function."""

    def __init__(self, blocks: nn.Module, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.blocks, self.call = blocks, call

    def forward(self, inputs: Tensor) -> Tensor:
        return self.call(inputs)


def _half_precision(training: Training, dose: float) -> Training:
    """Weights in bfloat16, moved by less than their rounding by SGD at a rate of `dose`."""
    training.model.bfloat16()
    inner = training.model
    batches = [
        (inputs.bfloat16() if inputs.is_floating_point() else inputs, targets)
        for inputs, targets in training.batches
    ]
    plain = training.loss
    optimiser = torch.optim.SGD(inner.parameters(), lr=dose)
    return replace(
        training,
        batches=batches,
        optimiser=optimiser,
        loss=lambda output, target: plain(output.float(), target),
    )


def _decay(training: Training, dose: float) -> Training:
    """Weight decay that outweighs the loss."""
    optimiser = torch.optim.SGD(training.model.parameters(), lr=0.05, weight_decay=dose)
    return replace(training, optimiser=optimiser)


def _clip(training: Training, dose: float) -> Training:
    return replace(training, clip_norm=dose)


RATE_LEADS = (
    "dead_units",
    "saturated_activations",
    "exploding_activations",
    "exploding_gradient",
    "nonfinite_origin",
)
MECHANISMS = (
    Mechanism("rate_times_many", "lr_too_high", (), RATE_LEADS, (100, 300, 1000), recipe=rate_times),
    Mechanism("rate_beyond_all", "lr_too_high", (), RATE_LEADS, (1000, 3000), recipe=rate_times),
    Mechanism("rate_of_one", "lr_too_high", (), RATE_LEADS, (1.0, 3.0), recipe=recipe_with(rate="DOSE")),
    Mechanism("rate_times_few", "lr_too_low", ("frozen_layers",), (), (1e-3, 1e-4, 3e-3), recipe=rate_times),
    Mechanism(
        "rate_of_nothing", "lr_too_low", ("frozen_layers",), (), (1e-7, 1e-6), recipe=recipe_with(rate="DOSE")
    ),
    Mechanism("frozen_behind_optimiser", "frozen_layers", contested=True, training=_freeze_behind_optimiser),
    Mechanism("left_out_of_optimiser", "frozen_layers", contested=True, training=_left_out),
    Mechanism("only_biases", "frozen_layers", contested=True, training=_only_biases),
    Mechanism("optimiser_of_a_copy", "frozen_layers", contested=True, training=_of_a_copy),
    Mechanism("replaced_layers", "frozen_layers", contested=True, training=_replaced_layers),
    Mechanism("zero_rate_group", "frozen_layers", ("lr_too_low",), contested=True, training=_zero_rate_group),
    Mechanism(
        "detached",
        "frozen_layers",
        contested=True,
        model=behind_block(1.0, lambda values, _: values.detach()),
    ),
    Mechanism(
        "detached_midway",
        "frozen_layers",
        contested=True,
        model=behind_block(0.6, lambda values, _: values.detach()),
    ),
    Mechanism("without_gradient", "frozen_layers", contested=True, model=_no_grad_blocks),
    Mechanism(
        "sign_between",
        "frozen_layers",
        contested=True,
        model=behind_block(1.0, lambda values, _: values.sign()),
    ),
    Mechanism(
        "lost_to_rounding",
        "frozen_layers",
        ("lr_too_low",),
        (),
        (1e-3, 3e-4),
        training=_half_precision,
        contested=True,
    ),
    Mechanism("clipped_to_nothing", "clipping_always_on", ("lr_too_low",), (), (1e-3, 3e-3), training=_clip),
    Mechanism(
        "decay_beyond_loss",
        "loss_plateau",
        ("correlation_collapse", "vanishing_gradient"),
        (),
        (3.0, 1.0),
        training=_decay,
    ),
    Mechanism("nearly_all_dropped", "loss_plateau", (), (), (0.95, 0.9), recipe=recipe_with(dropout="DOSE")),
)
