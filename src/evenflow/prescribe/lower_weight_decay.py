"""Weight decay lowered, where it pulls harder than the loss."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from evenflow.prescribe.literals import optimiser_edits
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.rates import shown
from evenflow.wording import decimal

DECOUPLED = ("AdamW", "SGD", "ASGD", "Adafactor", "Muon", "Lion")
"""Optimisers whose step takes η λ of a weight away; the others divide it by the gradient's size with the rest."""
FORGOTTEN = 0.5
"""Share of a weight that decay alone takes away over the trial, from which on it counts."""
LARGE = 0.05
"""The same, of λ itself, where the step divides it out again: 1e-4 to 1e-2 is usual."""
FACTORS = (0.0, 0.01)


def forms(view: View) -> Sequence[Prescription]:
    """None, or a hundredth."""
    if why_not(view):
        return ()
    return [_form(view, factor) for factor in FACTORS]


def largest_decay(training: Training) -> float:
    """The largest weight decay of all groups."""
    return max(
        (float(group.get("weight_decay") or 0.0) for group in training.patient.optimizer.param_groups),
        default=0.0,
    )


def forgotten(training: Training) -> float:
    """1 − Π (1 − η λ): the share of a weight that decay alone takes away over the trial."""
    share = 0.0
    for group in training.patient.optimizer.param_groups:
        pull = float(group.get("lr", 0.0)) * float(group.get("weight_decay") or 0.0)
        share = max(share, 1.0 - max(1.0 - pull, 0.0) ** training.plan.steps)
    return share


def why_not(view: View) -> str:
    """There is none, or it takes next to nothing away."""
    training = view.training
    decay = largest_decay(training)
    if not decay:
        return "the optimiser has no weight decay"
    name = type(training.patient.optimizer).__name__
    if name in DECOUPLED and forgotten(training) < FORGOTTEN:
        share = decimal(100.0 * forgotten(training), 1)
        return f"a weight decay of {shown(decay)} takes {share} % of a weight away over the trial, which is little"
    if name not in DECOUPLED and decay < LARGE:
        return f"a weight decay of {shown(decay)} is within what is usual"
    return ""


def _form(view: View, factor: float) -> Prescription:
    training = view.training
    decay = largest_decay(training)
    share = decimal(100.0 * forgotten(training), 0)
    how = (
        f"takes {share} % of a weight away over {training.plan.steps} steps, whatever the loss says"
        if type(training.patient.optimizer).__name__ in DECOUPLED
        else "adds so much of the weight itself to its gradient that the loss hardly counts"
    )
    return Prescription(
        remedy="lower_weight_decay",
        choice=f"{factor:g}",
        title=f"Lower the weight decay from {shown(decay)} to {shown(decay * factor)}",
        why=f"a weight decay of {shown(decay)} {how}",
        sign="loss",
        change=partial(decayed, factor=factor),
        code=lambda: Code(
            "for group in optimizer.param_groups:\n"
            f'    group["weight_decay"] = group.get("weight_decay", 0.0) * {factor:g}\n',
            f"behind the line that makes the optimizer; or weight_decay={shown(decay * factor)} in that line",
            edits=optimiser_edits(training, "weight_decay", decay, shown(decay * factor)),
        ),
        size=1,
    )


def decayed(training: Training, *, factor: float) -> Training:
    """The same training with less weight decay in every group."""
    for group in training.patient.optimizer.param_groups:
        group["weight_decay"] = group.get("weight_decay", 0.0) * factor
    return training


REMEDY = Remedy(
    name="lower_weight_decay",
    title="Lower the weight decay",
    answers=(
        *(
            "loss_plateau",
            "vanishing_gradient",
            "correlation_collapse",
            "dead_units",
            "lr_too_high",
            "lr_too_low",
        ),
    ),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Weight decay takes the share η λ of a weight away at every step. Where that is more than what the gradient "
        "puts back, all weights go to 0 and with them the signal. 1e-4 with gradient descent and 1e-2 with AdamW are "
        "usual; it is not offered where it is no more than that."
    ),
)
