"""Residual branches made smaller, so that a deep sum of them does not outgrow what it began with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evenflow.prescribe.branches import Branch, branches
from evenflow.prescribe.operation import Operation, written
from evenflow.prescribe.placing import blocked, home, runs
from evenflow.prescribe.prescription import Prescription, Remedy, Sign, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import trace_of
from evenflow.wording import number, plural

_SIGNS: dict[str, Sign] = {"exploding_gradient": "gradient_growth", "vanishing_gradient": "gradient_ratio"}


def forms(view: View) -> Sequence[Prescription]:
    """Times 1/√(2L), and times a learned number that begins at 0."""
    if why_not(view):
        return ()
    model = view.training.patient.model
    found = branches(trace_of(view))
    finding = answered(view, REMEDY.answers)
    count = len(found)
    scale = float(f"{1 / math.sqrt(2 * count):.4g}")
    does = f"each of {count} branches adds 1/{2 * count} of the variance, so that the sum grows by e^½ and no more"
    result = []
    for choice, options, title, reason in (
        ("scaled", f", {scale}", f"times {number(scale)}", does),
        (
            "zero",
            ", 0.0, learned=True",
            "times a learned number that begins at 0",
            "the sum begins at its first term",
        ),
    ):
        operation = Operation(_lines(found, options, home(model) if "learned" in options else ""))
        if choice == "zero" and not all(one.module for one in found):
            continue
        if choice == "scaled":
            operation = Operation(
                _lines([one for one in found if one.module], options, "") + _weights(found, scale)
            )
        if not runs(view, operation):
            continue
        result.append(
            Prescription(
                remedy=REMEDY.name,
                choice=choice,
                title=f"Take {plural(count, 'residual branch', 'residual branches')} {title}",
                why=because(finding, reason),
                sign=_SIGNS.get(finding.rule if finding else "", "activation_growth"),
                change=operation,
                code=operation.code,
                size=3,
                measured={"scale": scale},
            )
        )
    return result


def _lines(found: Sequence[Branch], options: str, to: str) -> str:
    names = list(dict.fromkeys(one.module for one in found))
    if not names:
        return ""
    return (
        f"for name in {written(names)}:\n"
        f"    model.set_submodule(name, Scaled(model.get_submodule(name){options}){to})\n"
    )


def _weights(found: Sequence[Branch], scale: float) -> str:
    """Where code puts out a branch, its last layer is what can be made smaller."""
    names = list(dict.fromkeys(one.layer for one in found if not one.module))
    if not names:
        return ""
    return (
        f"with torch.no_grad():\n    for name in {written(names)}:\n".replace("\n)", "\n    )")
        + "        for parameter in model.get_submodule(name).parameters(recurse=False):\n"
        f"            parameter *= {scale}\n"
    )


def why_not(view: View) -> str:
    """Why there is no branch to make smaller."""
    reason = blocked(view.training.patient.model)
    if reason:
        return reason
    if not branches(trace_of(view)):
        return "the model has no skip connection"
    return ""


REMEDY = Remedy(
    name="scale_residual_branches",
    title="smaller residual branches",
    answers=("exploding_activations", "exploding_gradient", "lr_too_high"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A sum of L branches as large as what they are added to doubles in variance at every block. With each branch "
        "times 1/√(2L) the whole grows by a factor that does not depend on depth (Zhang et al. 2019; GPT-2 draws the "
        "last weights of its branches so). Where a normalisation stands in front of every branch the growth is linear "
        "and does little harm."
    ),
)
