"""Raise the norm that gradients are clipped to, or clip them no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from evenflow.prescribe.gradient_norms import quantile, total_norms
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.wording import number

RARE = 0.9
"""Share of the steps that the new norm leaves as they are."""
DIGITS = 2


def forms(view: View) -> Sequence[Prescription]:
    """The norm that nine steps of ten keep to, and no clipping."""
    norm = view.training.plan.clip_norm
    if norm is None:
        return ()
    usual = quantile(total_norms(view), RARE)
    found = []
    if usual > norm:
        higher = float(f"{usual:.{DIGITS}g}")
        found.append(
            _form(
                f"{higher:g}",
                f"Clip the gradient's norm to {higher:g} in place of {norm:g}",
                f"the gradient's norm stays below {number(usual)} at nine steps of ten, so that {norm:g} cuts down "
                f"nearly every step; {higher:g} cuts down the outliers alone",
                higher,
            )
        )
    found.append(
        _form(
            "none",
            f"Clip the gradient no more, in place of to the norm {norm:g}",
            f"at a norm of {norm:g} it is clipping that sets how far a step goes",
            None,
        )
    )
    return found


def _form(choice: str, title: str, why: str, norm: float | None) -> Prescription:
    return Prescription(
        remedy="raise_clip_norm",
        choice=choice,
        title=title,
        why=why,
        sign="larger_updates",
        change=partial(clipped_to, norm=norm),
        code=lambda: Code(
            f"clip_norm = {norm!r}\n",
            "where clip_grad_norm_ is called: "
            + ("leave the call out" if norm is None else f"clip_grad_norm_(model.parameters(), {norm!r})"),
        ),
        size=1,
    )


def clipped_to(training: Training, *, norm: float | None) -> Training:
    """The same training with another clip norm."""
    return replace(training, plan=replace(training.plan, clip_norm=norm))


def why_not(view: View) -> str:
    """Nothing is clipped."""
    return "" if view.training.plan.clip_norm is not None else "the training does not clip its gradients"


REMEDY = Remedy(
    name="raise_clip_norm",
    title="Raise the norm that gradients are clipped to",
    answers=("clipping_always_on", "lr_too_low"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Clipping is for the one step in many whose gradient is far larger than the others. A norm that every step "
        "is cut down to makes the direction of the gradient count and its length not, with steps that get smaller "
        "with the norm; Adam and its kin divide that factor out again."
    ),
)
