"""Faults that the held-back half alone has: nothing was made for them, so they say how far the rules reach.

Most are in taxonomies of real faults (Humbatova et al. 2020, "Taxonomy of real faults in deep learning systems",
ICSE): a missing activation, a loss along the wrong dimension, gradients that are never set to zero, targets that do
not belong to their inputs, a regulariser that is too strong, a schedule that is stepped too often.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from .input_faults import INPUT_LEADS
from .optimiser_faults import RATE_LEADS
from .recipe import Batch, Mechanism, Training
from .surgery import Function, after_each_block, behind_head, layers, recipe_with


class NeverZeroed(torch.optim.SGD):
    """Plain SGD in a loop that forgets to set gradients to zero: every step goes along the sum of all before."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing."""


def _never_zeroed(training: Training, _dose: float) -> Training:
    rate = training.optimiser.param_groups[0]["lr"]
    return replace(training, optimiser=NeverZeroed(training.model.parameters(), lr=rate))


def _scores_over_batch(training: Training, _dose: float) -> Training:
    """−log of a softmax over samples, written out."""
    return replace(training, loss=lambda output, target: F.nll_loss(F.log_softmax(output, dim=0), target))


def _cold(training: Training, dose: float) -> Training:
    """Scores divided by a temperature of 1 / `dose`."""
    plain = training.loss
    return replace(training, loss=lambda output, target: plain(dose * output, target))


def _shifted_targets(batches: list[Batch], dose: float) -> list[Batch]:
    """Every sample has the target of one that stands `dose` places before it."""
    targets = torch.cat([one for _, one in batches]).roll(int(dose), 0)
    size = len(batches[0][1])
    return [(inputs, some) for (inputs, _), some in zip(batches, targets.split(size), strict=True)]


def _no_activation(model: nn.Module, _dose: float) -> nn.Module:
    for one in layers(model):
        one.activation = nn.Identity()
    return model


def _padded(batches: list[Batch], dose: float) -> list[Batch]:
    """So many empty steps behind each signal, of which the last is read."""
    return [
        (torch.cat([inputs, inputs.new_zeros(len(inputs), int(dose), inputs.shape[2])], 1), targets)
        for inputs, targets in batches
    ]


def _outlier(batches: list[Batch], dose: float) -> list[Batch]:
    """One value of one sample is so large."""
    inputs, targets = batches[2]
    inputs = inputs.clone()
    inputs.view(-1)[5] = dose
    return [*batches[:2], (inputs, targets), *batches[3:]]


def _wide_epsilon(training: Training, dose: float) -> Training:
    rate = training.optimiser.param_groups[0]["lr"]
    return replace(training, optimiser=torch.optim.Adam(training.model.parameters(), lr=rate, eps=dose))


def _schedule_by_batches(training: Training, dose: float) -> Training:
    """A decay that was meant for epochs."""
    return replace(training, scheduler=torch.optim.lr_scheduler.ExponentialLR(training.optimiser, gamma=dose))


def _mean_by_class(output: Tensor, target: Tensor) -> Tensor:
    """Mean over classes of the mean loss of each; a class that is absent from the batch has 0 / 0."""
    losses = F.cross_entropy(output, target, reduction="none")
    members = F.one_hot(target, output.shape[1]).to(losses.dtype)
    return ((losses[:, None] * members).sum(0) / members.sum(0)).mean()


MECHANISMS = (
    Mechanism("scores_over_batch", "bad_output_layer", contested=True, training=_scores_over_batch),
    Mechanism(
        "never_zeroed",
        "lr_too_high",
        ("exploding_gradient", "uncleared_gradient"),
        RATE_LEADS,
        training=_never_zeroed,
    ),
    Mechanism("shifted_targets", "loss_plateau", doses=(1, 2), data=_shifted_targets),
    Mechanism("no_activation", "loss_plateau", model=_no_activation),
    Mechanism(
        "cold_softmax",
        "exploding_gradient",
        ("bad_output_layer", "lr_too_high"),
        RATE_LEADS,
        (100, 1000),
        training=_cold,
    ),
    Mechanism(
        "decay_of_adamw",
        "loss_plateau",
        ("correlation_collapse", "vanishing_gradient"),
        (),
        (50, 150),
        recipe=recipe_with(weight_decay="DOSE"),
    ),
    Mechanism("pairs_normalised", "loss_plateau", recipe=lambda recipe, _: replace(recipe, batch=2)),
    Mechanism(
        "padded_last_step",
        "vanishing_gradient",
        ("correlation_collapse", "loss_plateau"),
        (),
        (30, 50),
        data=_padded,
    ),
    Mechanism(
        "weakened_backward",
        "vanishing_gradient",
        ("frozen_layers",),
        (),
        (0.01, 0.003),
        model=after_each_block(lambda values, dose: dose * values + ((1 - dose) * values).detach()),
    ),
    Mechanism(
        "rounded_output",
        "frozen_layers",
        ("bad_output_layer", "vanishing_gradient"),
        model=behind_head(lambda: Function(torch.round)),
    ),
    Mechanism("wide_epsilon", "lr_too_low", ("frozen_layers",), (), (3.0, 100.0), training=_wide_epsilon),
    Mechanism(
        "schedule_by_batches", "lr_too_low", ("frozen_layers",), (), (0.8, 0.6), training=_schedule_by_batches
    ),
    Mechanism(
        "single_outlier",
        "unnormalised_input",
        (),
        (*INPUT_LEADS, "nonfinite_origin"),
        (1e4, 1e6),
        data=_outlier,
    ),
    Mechanism(
        "absent_classes",
        "nonfinite_origin",
        ("bad_output_layer",),
        training=lambda training, _: replace(training, loss=_mean_by_class),
    ),
)
