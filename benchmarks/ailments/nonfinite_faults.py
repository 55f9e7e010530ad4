"""Mechanisms that make the first value that is not finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from .models import Network
from .recipe import Batch, Mechanism, Training
from .surgery import Function, behind_block, behind_head, recipe_with


class LogOfSoftmax:
    """−log p of a softmax that is written out and underflows."""

    def __init__(self, steepness: float) -> None:
        self.steepness = steepness

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Scores (batch, classes), classes (batch,)."""
        chances = torch.softmax(self.steepness * output, dim=-1)
        return -torch.log(chances)[torch.arange(len(target)), target].mean()


class EntropyWithZero:
    """p log p summed over classes: 0 · −∞ once a chance underflows."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Scores (batch, classes), classes (batch,)."""
        chances = torch.softmax(40 * output, dim=-1)
        fit = nn.functional.cross_entropy(output, target)
        return fit - 0.01 * (chances * chances.log()).sum(-1).mean()


class RootOfError:
    """√ of each sample's square error, whose slope is infinite at an error of 0."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Real numbers of one shape; targets that are met exactly occur."""
        error = (output - target) * (target > target.median())
        return error.square().sum(-1).sqrt().mean()


def _with_loss(
    loss: Callable[[float], Callable[[Tensor, Tensor], Tensor]],
) -> Callable[[Training, float], Training]:
    return lambda training, dose: replace(training, loss=loss(dose))


def _hole_in_data(batches: list[Batch], dose: float) -> list[Batch]:
    """One missing value in one batch."""
    place = int(dose) % len(batches)
    inputs, targets = batches[place]
    inputs = inputs.clone()
    inputs.view(-1)[7] = float("nan")
    return [*batches[:place], (inputs, targets), *batches[place + 1 :]]


def _hole_in_targets(batches: list[Batch], dose: float) -> list[Batch]:
    place = int(dose) % len(batches)
    inputs, targets = batches[place]
    targets = targets.clone()
    targets.view(-1)[3] = float("inf")
    return [*batches[:place], (inputs, targets), *batches[place + 1 :]]


def _zero_by_zero(batches: list[Batch], _dose: float) -> list[Batch]:
    """Standardised column by column, of which one is constant."""
    every = torch.cat([inputs for inputs, _ in batches])
    constant = every.clone()
    constant[:, 0] = 0
    mean, spread = constant.mean(0), constant.std(0)
    found = []
    for inputs, targets in batches:
        inputs = inputs.clone()
        inputs[:, 0] = 0
        found.append(((inputs - mean) / spread, targets))
    return found


def _masked_attention(model: nn.Module, _dose: float) -> nn.Module:
    """A softmax over a row that is masked everywhere."""
    assert isinstance(model, Network)
    model.blocks = nn.Sequential(Function(_attend_to_few), *model.blocks)
    return model


def _attend_to_few(values: Tensor) -> Tensor:
    """Attention to steps that are positive in their first number; to none if none is."""
    marks = values[..., 0] > values[..., 0].mean() + 1.2 * values[..., 0].std()
    logits = (values @ values.transpose(1, 2)).masked_fill(~marks[:, None, :], float("-inf"))
    return values + logits.softmax(-1) @ values


def _half(training: Training, _dose: float) -> Training:
    """Adam in float16: ε = 1e-8 rounds to 0, and 0 is divided by 0."""
    training.model.half()
    batches = [
        (inputs.half() if inputs.is_floating_point() else inputs, targets)
        for inputs, targets in training.batches
    ]
    plain = training.loss
    rate = training.optimiser.param_groups[0]["lr"]
    optimiser = torch.optim.Adam(training.model.parameters(), lr=rate)
    return replace(
        training,
        batches=batches,
        optimiser=optimiser,
        loss=lambda output, target: plain(output.float(), target),
    )


MECHANISMS = (
    Mechanism(
        "log_of_softmax",
        "nonfinite_origin",
        ("bad_output_layer",),
        (),
        (30, 100),
        training=_with_loss(LogOfSoftmax),
    ),
    Mechanism(
        "entropy_with_zero",
        "nonfinite_origin",
        ("bad_output_layer",),
        training=_with_loss(lambda _: EntropyWithZero()),
    ),
    Mechanism(
        "root_of_error",
        "nonfinite_origin",
        ("bad_output_layer",),
        training=_with_loss(lambda _: RootOfError()),
    ),
    Mechanism(
        "hole_in_data", "nonfinite_origin", ("unnormalised_input",), (), (0, 5, 13), data=_hole_in_data
    ),
    Mechanism("hole_in_targets", "nonfinite_origin", (), (), (2, 9), data=_hole_in_targets),
    Mechanism("zero_by_zero", "nonfinite_origin", ("unnormalised_input",), data=_zero_by_zero),
    Mechanism("masked_everywhere", "nonfinite_origin", model=_masked_attention),
    Mechanism("half_adam", "nonfinite_origin", training=_half),
    Mechanism(
        "root_at_zero",
        "nonfinite_origin",
        model=behind_block(0.5, lambda values, _: (values * values).sqrt()),
    ),
    Mechanism(
        "log_of_relu",
        "nonfinite_origin",
        model=behind_block(0.5, lambda values, _: values.relu().log()),
    ),
    Mechanism(
        "unit_length",
        "nonfinite_origin",
        doses=(1.0,),
        model=behind_block(
            0.5,
            lambda values, _: (values - 2.5).relu() / (values - 2.5).relu().norm(dim=-1, keepdim=True),
        ),
    ),
    Mechanism(
        "divided_by_spread",
        "nonfinite_origin",
        model=behind_block(
            1.0, lambda values, _: (values - values.mean(0)) / values.relu().std(0).sub(0.05).relu()
        ),
    ),
    Mechanism(
        "log_of_sigmoid",
        "nonfinite_origin",
        ("bad_output_layer",),
        recipe=recipe_with(loss="nll"),
        model=behind_head(lambda: Function(lambda values: torch.log(torch.sigmoid(200 * values)))),
    ),
)
