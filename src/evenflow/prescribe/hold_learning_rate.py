"""The learning rate held where it is, in place of a schedule that takes next to all of it away too early."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from evenflow.doctor.copying import untouched_randomness
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.rates import largest_rate, shown
from evenflow.wording import decimal

LEFT = 1 / 3
"""Share of Σ η over the trial that a schedule leaves, below which it counts; a cosine or a line down to 0 leaves ½."""


def forms(view: View) -> Sequence[Prescription]:
    """One: the rate that the optimiser was made with, throughout."""
    if why_not(view):
        return ()
    training = view.training
    rate, name = shown(largest_rate(training)), type(training.patient.scheduler).__name__
    share = decimal(100.0 * share_left(training), 1)
    line = "LambdaLR(optimizer, lambda _: 1.0)"
    return [
        Prescription(
            remedy=REMEDY.name,
            choice="",
            title=f"Keep the learning rate at {rate}, without {name}",
            why=(
                f"{name} leaves {share} % of {rate} on the mean of {training.plan.steps} steps; a schedule that is "
                "made for epochs ends early where it is stepped after every batch"
            ),
            sign="larger_updates",
            change=held,
            code=lambda: Code(
                f"scheduler = {line}  # the rate stays as it is\n",
                "in place of the line that makes the scheduler; or step that one once an epoch, if it counts epochs",
                ("from torch.optim.lr_scheduler import LambdaLR",),
            ),
            size=2,
        )
    ]


def held(training: Training) -> Training:
    """The same training without its schedule."""
    patient = training.patient
    for group in patient.optimizer.param_groups:
        if "initial_lr" in group:
            group["lr"] = group["initial_lr"]
    return replace(training, patient=replace(patient, scheduler=LambdaLR(patient.optimizer, _same)))


def _same(_: int) -> float:
    return 1.0


def share_left(training: Training) -> float:
    """Σ η_t over the trial, as a share of what the rates that the schedule begins with come to; 1 without a schedule.

    Of the group that keeps most.
    """
    scheduler = training.patient.scheduler
    if not isinstance(scheduler, LRScheduler) or type(scheduler).__name__ == "ReduceLROnPlateau":
        return 1.0
    patient = training.patient.copied()
    sums = [0.0 for _ in patient.optimizer.param_groups]
    with untouched_randomness(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimiser is not stepped
        for _ in range(training.plan.steps):
            for place, group in enumerate(patient.optimizer.param_groups):
                sums[place] += float(group["lr"])
            try:
                patient.scheduler.step()
            except (ValueError, TypeError):  # one that counts its steps, such as OneCycleLR
                break
    full = [float(group.get("initial_lr", 0.0)) for group in training.patient.optimizer.param_groups]
    shares = [
        one / (whole * training.plan.steps) for one, whole in zip(sums, full, strict=True) if whole > 0.0
    ]
    return max(shares, default=1.0)


def why_not(view: View) -> str:
    """There is no schedule, or it leaves what is usual."""
    training = view.training
    if training.patient.scheduler is None:
        return "the learning rate is not scheduled"
    share = share_left(training)
    if share >= LEFT:
        return f"the schedule leaves {decimal(100.0 * share, 0)} % of the learning rate over the trial"
    return ""


REMEDY = Remedy(
    name="hold_learning_rate",
    title="Hold the learning rate where it is",
    answers=("lr_too_low", "loss_plateau", "frozen_layers", "lr_too_high"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A schedule multiplies the rate down, or up from next to nothing. One that was made for epochs and is stepped "
        "after every batch is through before the training has begun. Held means: the rate that the optimiser was "
        "made with, at every step. It is offered only where a schedule leaves less than a third of that on the mean, "
        "which a cosine or a line down to 0 over the same steps does not."
    ),
)
