"""Trainings with a known fault, and prescriptions made by hand, for what tries remedies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from examined_trainings import Batches, digits, mlp
from torch import nn

from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient
from evenflow.doctor.trial import Plan
from evenflow.prescribe.prescription import Code, Prescription, Sign, Training


def training(
    model: nn.Module,
    batches: Batches | None = None,
    rate: float = 1e-2,
    steps: int = 40,
    optimizer: str = "Adam",
) -> Training:
    """A training of a model on digits."""
    kept = [Batch(*one) for one in (digits() if batches is None else batches)]
    own = getattr(torch.optim, optimizer)(model.parameters(), lr=rate)
    return Training(Patient(model, own), Plan(kept, nn.functional.cross_entropy, steps, target="classes"))


def sigmoids(depth: int = 6, seed: int = 0) -> nn.Sequential:
    """A stack that does not learn in a short time."""
    return mlp(64, *[24] * depth, 10, activation=nn.Sigmoid, seed=seed)


def prescription(
    name: str, change: Callable[[Training], Training], sign: Sign = "gradient_ratio", size: int = 2
) -> Prescription:
    """One that is made by hand."""
    remedy, _, choice = name.partition(":")
    return Prescription(
        remedy=remedy,
        choice=choice,
        title=f"Try {name}",
        why="By hand.",
        sign=sign,
        change=change,
        code=lambda: Code(f"model = model  # {name}", "after the model is made"),
        size=size,
    )


def activation(make: Callable[[], nn.Module]) -> Callable[[Training], Training]:
    """Every sigmoid of a Sequential replaced."""

    def change(given: Training) -> Training:
        model = given.patient.model
        assert isinstance(model, nn.Sequential)
        for place, layer in enumerate(model):
            if isinstance(layer, nn.Sigmoid):
                model[place] = make()
        return given

    return change


def rate(factor: float) -> Callable[[Training], Training]:
    """The learning rate times a factor."""

    def change(given: Training) -> Training:
        for group in given.patient.optimizer.param_groups:
            group["lr"] *= factor
        return given

    return change


def nothing(given: Training) -> Training:
    """No change at all."""
    return given


def raising(_: Training) -> Training:
    """A change that cannot be carried out."""
    raise ValueError("no such layer")


def other_loss(given: Training) -> Training:
    """Another loss function."""
    return replace(given, plan=replace(given.plan, loss=nn.functional.multi_margin_loss))


RELU = prescription("change_activation:relu", activation(nn.ReLU))
TANH = prescription("change_activation:tanh", activation(nn.Tanh))
SLOWER = prescription("lower_learning_rate:0.001", rate(1e-3), "loss", size=1)
WILD = prescription("raise_learning_rate:3e39", rate(3e39), "loss", size=1)
NOTHING = prescription("nothing", nothing, "loss", size=1)
BROKEN = prescription("broken", raising)
