"""Gradients set to zero behind every step, where nothing else does."""

from __future__ import annotations

from collections.abc import Sequence

from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.step_rules import cleared

_RULE = "uncleared_gradient"


def forms(view: View) -> Sequence[Prescription]:
    """One, where gradients were seen to be kept."""
    if why_not(view):
        return ()
    return [
        Prescription(
            remedy=REMEDY.name,
            choice="",
            title="Set the gradients to zero behind every step",
            why=(
                "every backward pass adds to the gradients of all steps before it, since what should set them to "
                "zero does not"
            ),
            sign="loss",
            change=_clearing,
            code=lambda: Code(
                "optimizer.register_step_post_hook(lambda one, *_: torch.optim.Optimizer.zero_grad(one))\n",
                "behind the line that makes the optimizer; or optimizer.zero_grad() in front of every "
                "loss.backward()",
                ("import torch",),
            ),
            size=2,
        )
    ]


def _clearing(training: Training) -> Training:
    training.patient.optimizer.register_step_post_hook(cleared)
    return training


def why_not(view: View) -> str:
    """They are set to zero."""
    if any(one.rule == _RULE for one in view.diagnosis.findings):
        return ""
    return "the gradients are set to zero between steps"


REMEDY = Remedy(
    name="zero_gradients",
    title="Set the gradients to zero",
    answers=(_RULE,),
    forms=forms,
    why_not=why_not,
    explanation=(
        "PyTorch adds every backward pass to `.grad`. A loop calls `optimizer.zero_grad()` before each of them; where "
        "it does and gradients are kept all the same, the optimiser's own `zero_grad` does not do what it should. A "
        "hook behind the step does it in its place."
    ),
)
