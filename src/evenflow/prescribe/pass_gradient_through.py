"""Pass the gradient through signs and roundings, whose slope is 0 everywhere.

The straight-through estimator: the forward pass rounds, the backward pass takes the slope of x, or of hardtanh for a
sign (Bengio, Léonard & Courville 2013; Hubara et al. 2016, equation 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evenflow.prescribe.front import takes_one_mapping
from evenflow.prescribe.lines import lines_of, on_gradient
from evenflow.prescribe.modes import SlopeKept, StraightThrough
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.wording import listed

STEPS = ("sign", "sgn", "round", "floor", "ceil", "trunc", "gt", "ge", "lt", "le")
SHOWN = 3


def forms(view: View) -> Sequence[Prescription]:
    """One, where the forward pass rounds."""
    if why_not(view):
        return ()
    found = lines_of(view.training, on_gradient(STEPS), loss=False)
    names = listed(list(dict.fromkeys(f"{one.operation}()" for one in found)), SHOWN)
    places = listed(list(dict.fromkeys(one.place for one in found if one.place)), SHOWN)
    where = f" ({places})" if places else ""
    return [
        Prescription(
            remedy="pass_gradient_through",
            choice="",
            title=f"Pass the gradient through {names}{where}, as if it were not there",
            why=f"the slope of {names}{where} is 0 everywhere, so that no gradient comes to what lies before",
            sign="moving_weights",
            change=passed,
            code=lambda: Code(
                f"{source_of(StraightThrough, SlopeKept)}\n\nmodel = SlopeKept(model)\n",
                f"behind the line that makes the model; or x + ({names.split(' ')[0]} of x - x).detach() in the line",
                ("from typing import Any", "import torch", "from torch import nn", _MODE),
            ),
            size=2,
        )
    ]


def why_not(view: View) -> str:
    """Nothing is rounded on the way of a gradient."""
    training = view.training
    if takes_one_mapping(training.patient.model, training.plan.batches[0].inputs):
        return "the model takes one mapping: the change has to be made in its own lines"
    if not lines_of(training, on_gradient(STEPS), loss=False):
        return "the forward pass rounds nothing that a gradient goes through, and takes no sign"
    return ""


def passed(training: Training) -> Training:
    """The same training with gradients through what rounds."""
    return replace(training, patient=replace(training.patient, model=SlopeKept(training.patient.model)))


_MODE = "from torch.overrides import TorchFunctionMode"

REMEDY = Remedy(
    name="pass_gradient_through",
    title="Pass the gradient through signs and roundings",
    answers=("frozen_layers",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "sign, round and floor are flat wherever they have a slope, so that what lies before them never moves. The "
        "straight-through estimator takes the slope of the identity in its place, which is wrong in size and mostly "
        "right in sign: it is how networks with binary or rounded units are trained."
    ),
)
