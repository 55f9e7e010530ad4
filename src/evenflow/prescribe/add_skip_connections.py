"""Skip connections around layers whose result has the shape of what they take: plain, scaled, or begun at 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evenflow.prescribe.branches import Span, spans
from evenflow.prescribe.operation import Operation, written
from evenflow.prescribe.placing import blocked, home, runs
from evenflow.prescribe.prescription import Prescription, Remedy, Sign, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import trace_of
from evenflow.wording import number, plural

_SIGNS: dict[str, Sign] = {
    "correlation_collapse": "alike_samples",
    "exploding_gradient": "gradient_growth",
    "exploding_activations": "activation_growth",
    "dead_units": "dead_units",
}


def forms(view: View) -> Sequence[Prescription]:
    """Branches that add a share 1/(2L) of the variance, plain ones, and ones that begin at 0 and grow."""
    if why_not(view):
        return ()
    found = spans(trace_of(view))
    finding = answered(view, REMEDY.answers)
    count = len(found)
    scale = float(f"{1 / math.sqrt(2 * count):.4g}")
    around = f"Add skip connections around {plural(count, 'layer')}"
    result = []
    for choice, options, title, does in (
        (
            "scaled",
            f", {scale}",
            f"{around}, branches times {number(scale)}",
            f"the gradient passes by {count} branches that each add 1/{2 * count} of the variance",
        ),
        ("plain", "", around, "beside every layer the gradient passes by whole"),
        (
            "zero",
            ", 0.0, learned=True",
            f"{around}, branches times a learned number that begins at 0",
            "the network begins as the identity, whatever its depth, and each branch grows as far as it helps",
        ),
    ):
        operation = Operation(_lines(found, options, home(view.training.patient.model)))
        if not runs(view, operation):
            continue
        result.append(
            Prescription(
                remedy=REMEDY.name,
                choice=choice,
                title=title,
                why=because(finding, does),
                sign=_SIGNS.get(finding.rule if finding else "", "gradient_ratio"),
                change=operation,
                code=operation.code,
                size=4,
                measured={"scale": scale},
            )
        )
    return result


def _lines(found: Sequence[Span], options: str, to: str) -> str:
    """Modules of one span go into the place of its first, and nothing into those of the others."""
    to = to if "learned" in options else ""
    alone = [one.names[0] for one in found if len(one.names) == 1]
    lines = []
    if alone:
        lines += [
            f"for name in {written(alone)}:",
            f"    model.set_submodule(name, Residual(model.get_submodule(name){options}){to})",
        ]
    several = [one.names for one in found if len(one.names) > 1]
    if several:
        shown = ",\n".join(f"    {written(names)}" for names in several)
        lines += [
            f"spans = (\n{shown},\n)",
            "for first, *others in spans:",
            "    layers = [model.get_submodule(name) for name in (first, *others)]",
            f"    model.set_submodule(first, Residual(nn.Sequential(*layers){options}){to})",
            "    for name in others:",
            "        model.set_submodule(name, nn.Identity())",
        ]
    return "\n".join(lines) + "\n"


def why_not(view: View) -> str:
    """Why there is nothing to lead a skip connection around."""
    reason = blocked(view.training.patient.model)
    if reason:
        return reason
    if len(spans(trace_of(view))) < 2:
        return "fewer than two layers without a skip connection put out the shape that they take"
    return ""


REMEDY = Remedy(
    name="add_skip_connections",
    title="skip connections around layers of equal shape",
    answers=("vanishing_gradient", "exploding_gradient", "correlation_collapse", "dead_units"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "With x + f(x) in the place of f(x) the gradient has a way back on which no layer multiplies it (He et al. "
        "2016). Plain branches of full size double the variance in every block; a factor 1/√(2L) on each of L branches "
        "keeps the whole within e (Zhang et al. 2019; De and Smith 2020), and a learned factor that begins at 0 lets "
        "the network start as the identity (Bachlechner et al. 2021).\n\n"
        "It needs layers whose result has the shape of what they take, and makes another architecture of the model."
    ),
)
