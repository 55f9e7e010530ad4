"""Keep operations where they are defined: logarithms and roots off 0, quotients off 0, masked rows in a softmax."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from evenflow.prescribe.front import takes_one_mapping
from evenflow.prescribe.lines import Line, lines_of, on_numbers
from evenflow.prescribe.modes import Guarded, LossGuarded, ModelGuarded
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.wording import listed

RISKY = (
    *("log", "log2", "log10", "sqrt", "rsqrt", "pow", "acos", "asin", "atanh", "logit", "erfinv", "exp"),
    *("div", "true_divide", "divide", "reciprocal", "__rdiv__", "__rtruediv__", "softmax", "log_softmax"),
    "scaled_dot_product_attention",
)
EDGES = (1e-8, 1e-3, 0.1)
"""Distances from the edge: what changes no other value, and what keeps the slope of a logarithm below 1000, or 10."""
SHOWN = 3
_ADVICE = {
    "log": "log_softmax or logsigmoid of the numbers themselves, or x.clamp_min(1e-8).log()",
    "sqrt": "(x + 1e-8).sqrt(), whose slope at 0 is finite",
    "div": "a / (b + 1e-8)",
    "softmax": "a large negative number in the mask in place of -inf",
    "exp": "logsumexp, or x.clamp_max(80).exp()",
}
_LINE = re.compile(r"at (\S+:\d+ in [^;]+)")


def forms(view: View) -> Sequence[Prescription]:
    """Small distances from the edge, and larger ones."""
    return () if why_not(view) else [_form(view, eps) for eps in EDGES]


def why_not(view: View) -> str:
    """Nothing is computed that has an edge."""
    training = view.training
    if takes_one_mapping(training.patient.model, training.plan.batches[0].inputs):
        return "the model takes one mapping: the change has to be made in its own lines"
    if not lines_of(training, on_numbers(RISKY)):
        return "neither model nor loss takes a logarithm, a root or a quotient, in whatever module or line"
    return ""


def _form(view: View, eps: float) -> Prescription:
    training = view.training
    found = lines_of(training, on_numbers(RISKY))
    origin = view.setting.origin
    told = f"the first value that was not finite came of this: {origin.rstrip('.')}" if origin else (
        "an operation outside of where it is defined gives NaN, or an infinite slope"
    )  # fmt: skip
    names = listed(list(dict.fromkeys(one.operation.strip("_") for one in found)), SHOWN)
    return Prescription(
        remedy="guard_operation",
        choice=f"{eps:g}",
        title=f"Keep {names} {eps:g} from where they are not defined",
        why=told,
        sign="finite",
        change=lambda copied: guarded(copied, eps),
        code=lambda: _code(found, origin, eps),
        size=2,
        inference=1,
    )


def guarded(training: Training, eps: float) -> Training:
    """The same training with model and loss guarded."""
    patient, plan = training.patient, training.plan
    return replace(
        training,
        patient=replace(patient, model=ModelGuarded(patient.model, eps)),
        plan=replace(plan, loss=LossGuarded(plan.loss, eps)),
    )


def _code(found: Sequence[Line], origin: str, eps: float) -> Code:
    remarks = [
        f"# {one.place}: {one.text.strip()}: {_ADVICE[one.operation]}"
        for one in found
        if one.place and one.operation in _ADVICE
    ]
    line = _LINE.search(origin)
    where = f"; the line concerned is {line.group(1)}" if line else ""
    head = ["# better, in the lines themselves:", *remarks, ""] if remarks else []
    return Code(
        "\n".join([*head, source_of(Guarded, ModelGuarded, LossGuarded)])
        + f"\n\nmodel = ModelGuarded(model, {eps!r})\nloss_fn = LossGuarded(loss_fn, {eps!r})\n",
        f"behind the line that makes the model{where}",
        (
            *("from typing import Any", "import torch", "from torch import Tensor, nn"),
            "from torch.overrides import TorchFunctionMode",
        ),
    )


REMEDY = Remedy(
    name="guard_operation",
    title="Keep operations where they are defined",
    answers=("nonfinite_origin",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "The logarithm of 0 is infinite, the root of 0 has an infinite slope, 0 / 0 and a softmax of a row that is "
        "masked everywhere are NaN. A small distance from the edge keeps the value and its gradient finite, and log of "
        "softmax or of sigmoid has a form of its own that loses nothing. Where numbers have grown for many steps, "
        "a guard hides what makes them grow."
    ),
)
