"""Mechanisms in the data: scale and place of the inputs, and data that hold nothing to learn.

`raw_bytes` is the fault program of AUTOTRAINER, UMLAUT and TheDeepChecker.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .recipe import Batch, Mechanism
from .surgery import inputs_through


def _raw_bytes(inputs: Tensor, dose: float) -> Tensor:
    """From one deviation about 0 to 0..255."""
    lowest, highest = inputs.min(), inputs.max()
    return (inputs - lowest) / (highest - lowest) * dose


def _one_wide(inputs: Tensor, dose: float) -> Tensor:
    found = inputs.clone()
    found[..., 0] *= dose
    return found


def _calendar(inputs: Tensor, dose: float) -> Tensor:
    """The first column looks like a year."""
    found = inputs.clone()
    found[..., 0] = dose + 10 * found[..., 0]
    return found


def _shuffled(batches: list[Batch], _dose: float) -> list[Batch]:
    """Targets that belong to other inputs."""
    return [(inputs, targets[torch.randperm(len(targets))]) for inputs, targets in batches]


INPUT_LEADS = (
    "saturated_activations",
    "exploding_activations",
    "exploding_gradient",
    "dead_units",
    "lr_too_high",
)
MECHANISMS = (
    Mechanism(
        "raw_bytes", "unnormalised_input", (), INPUT_LEADS, (255, 1000), data=inputs_through(_raw_bytes)
    ),
    Mechanism(
        "wide_column", "unnormalised_input", (), INPUT_LEADS, (300, 1000), data=inputs_through(_one_wide)
    ),
    Mechanism(
        "calendar_column",
        "unnormalised_input",
        (),
        INPUT_LEADS,
        (2000, 10000),
        data=inputs_through(_calendar),
    ),
    Mechanism(
        "far_from_zero",
        "unnormalised_input",
        (),
        INPUT_LEADS,
        (30, 100, 300),
        data=inputs_through(lambda inputs, dose: inputs + dose),
    ),
    Mechanism(
        "tiny_inputs",
        "unnormalised_input",
        (),
        ("vanishing_gradient", "correlation_collapse", "lr_too_low"),
        (1e-3, 1e-4),
        data=inputs_through(lambda inputs, dose: inputs * dose),
    ),
    Mechanism(
        "wide_inputs",
        "unnormalised_input",
        (),
        INPUT_LEADS,
        (100, 1000),
        data=inputs_through(lambda inputs, dose: inputs * dose),
    ),
    Mechanism("targets_of_others", "loss_plateau", data=_shuffled),
    Mechanism(
        "inputs_without_content",
        "loss_plateau",
        (),
        ("unnormalised_input", "correlation_collapse"),
        data=inputs_through(lambda inputs, _: torch.randn_like(inputs)),
    ),
)
