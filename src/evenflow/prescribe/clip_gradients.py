"""Clip gradients: their norm, every entry, or every unit by the size of its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch

from evenflow.prescribe.gradient_norms import after_first_backward, quantile, total_norms
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.prescribe.raise_clip_norm import clipped_to
from evenflow.prescribe.step_rules import ClipAdaptively, ClipValue
from evenflow.wording import number

USUAL = 0.5
"""Quantile of the measured norms that becomes the bound."""
ENTRY = 0.99
"""Quantile of the entries' sizes at the first step that becomes the bound of each."""
SHARE = 0.1
"""λ of adaptive clipping; Brock et al. (2021), section 4.1: 0.01 for batches of 4096, the more the smaller they are."""
WITHOUT = 1.0
"""Bound where nothing was measured: the customary one."""


def forms(view: View) -> Sequence[Prescription]:
    """By norm, by the weights' size, by value."""
    if why_not(view):
        return ()
    return [*_by_norm(view), _adaptively(), *_by_value(view)]


def why_not(view: View) -> str:
    """The optimiser computes gradients inside of its step."""
    if "LBFGS" in type(view.training.patient.optimizer).__name__:
        return "LBFGS computes its gradients inside of a step, where nothing can be done to them"
    return ""


def _by_norm(view: View) -> Sequence[Prescription]:
    norms = total_norms(view)
    measured = quantile(norms, USUAL)
    bound = float(f"{measured if math.isfinite(measured) else WITHOUT:.2g}")
    there = view.training.plan.clip_norm
    if there is not None and there <= bound:
        return ()
    largest = float(norms.max()) if len(norms) else math.nan
    span = f"; it was {number(measured)} at a usual step and {number(largest)} at most" if len(norms) else ""
    return [
        Prescription(
            remedy="clip_gradients",
            choice="norm",
            title=f"Clip the gradient's norm to {bound:g}",
            why=f"one step with a huge gradient undoes many; none goes further than a norm of {bound:g} takes it{span}",
            sign="smaller_updates",
            change=partial(clipped_to, norm=bound),
            code=lambda: Code(
                f"clip_norm = {bound!r}\n",
                f"between loss.backward() and optimizer.step(): clip_grad_norm_(model.parameters(), {bound!r})",
                ("from torch.nn.utils import clip_grad_norm_",),
            ),
            size=2,
            measured={"bound": bound},
        )
    ]


def _adaptively() -> Prescription:
    return Prescription(
        remedy="clip_gradients",
        choice="adaptive",
        title=f"Clip the gradient of each unit to {SHARE:g} of the norm of its weights",
        why=(
            f"a unit whose gradient is beyond {SHARE:g} of its weights is thrown about by a step, and others are not: "
            "each is bounded by its own size"
        ),
        sign="smaller_updates",
        change=partial(hooked, rule=lambda: ClipAdaptively(SHARE)),
        code=lambda: _hook_code(ClipAdaptively, SHARE),
        size=3,
    )


def _by_value(view: View) -> Sequence[Prescription]:
    limit = entry_size(view.training)
    if not (math.isfinite(limit) and limit > 0.0):
        return ()
    limit = float(f"{limit:.2g}")
    return [
        Prescription(
            remedy="clip_gradients",
            choice="value",
            title=f"Cut every entry of the gradient off at ±{limit:g}",
            why=f"99 of 100 entries of the first gradient are below {limit:g}; what is beyond is cut off there",
            sign="smaller_updates",
            change=partial(hooked, rule=lambda: ClipValue(limit)),
            code=lambda: _hook_code(ClipValue, limit),
            size=2,
            measured={"bound": limit},
        )
    ]


def entry_size(training: Training) -> float:
    """The size that 99 of 100 entries of the first gradient keep below; NaN where there is none."""
    copied = after_first_backward(training)
    if copied is None:
        return math.nan
    found = [one.detach().abs().flatten().double().cpu() for one in _gradients(copied)]
    entries = torch.cat(found) if found else torch.zeros(0)
    entries = entries[entries.isfinite()]
    if not len(entries):
        return math.nan
    place = min(int(ENTRY * len(entries)), len(entries) - 1)
    return float(entries.sort().values[place])  # torch's quantile takes 16 million entries at most


def _gradients(training: Training) -> list[torch.Tensor]:
    found = [one.grad for one in training.patient.model.parameters()]
    return [one for one in found if one is not None and not one.is_sparse]


def hooked(training: Training, *, rule: Callable[[], Callable[..., None]]) -> Training:
    """A training whose optimiser first does to its gradients what a rule says."""
    training.patient.optimizer.register_step_pre_hook(rule())
    return training


def _hook_code(rule: type, limit: float) -> Code:
    return Code(
        f"{source_of(rule)}\n\noptimizer.register_step_pre_hook({rule.__name__}({limit!r}))\n",
        "behind the line that makes the optimizer",
        ("from typing import Any", "import torch"),
    )


REMEDY = Remedy(
    name="clip_gradients",
    title="Clip the gradients",
    answers=("exploding_gradient", "lr_too_high", "nonfinite_origin"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Clipping bounds how far one step goes. It helps where a few steps in many have gradients far beyond the "
        "others, as recurrent networks have (Pascanu et al., 2013). It cannot make small gradients larger: against "
        "a gradient that vanishes it is not offered. Under Adam, which divides by the gradient's own size, a bound "
        "on every step changes next to nothing."
    ),
)
