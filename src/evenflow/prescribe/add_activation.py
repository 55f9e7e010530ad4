"""Activations between the layers of a model that has none: linear maps one behind the other are one linear map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenflow.measure.sites import CONVOLUTIONS
from evenflow.prescribe.activations import hidden_activations
from evenflow.prescribe.add_normalisation import NORMALISING
from evenflow.prescribe.operation import Operation
from evenflow.prescribe.placing import blocked, in_place_of, runs, single
from evenflow.prescribe.prescription import Prescription, Remedy, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import Call, Trace, trace_of
from evenflow.wording import plural

_KINDS = {"relu": ("ReLU", "nn.ReLU()"), "tanh": ("tanh", "nn.Tanh()")}
_LINEAR = frozenset(("linear", "conv1d", "conv2d", "conv3d"))


def forms(view: View) -> Sequence[Prescription]:
    """ReLU, and tanh."""
    if why_not(view):
        return ()
    finding, places = answered(view, REMEDY.answers), _places(view)
    found = []
    for choice, (title, expression) in _KINDS.items():
        operation = Operation(in_place_of(dict.fromkeys(places, f"nn.Sequential(old, {expression})")))
        if not runs(view, operation):
            continue
        found.append(
            Prescription(
                remedy=REMEDY.name,
                choice=choice,
                title=f"Put {title} behind {plural(len(places), 'layer')}",
                why=because(
                    finding,
                    "there is no activation between the layers, so that all of them together are one linear map",
                ),
                sign="loss",
                change=operation,
                code=operation.code,
                size=3,
                inference=1,
            )
        )
    return found


def _places(view: View) -> list[str]:
    """The modules behind which there is none: layers in front of others, or their normalisations."""
    model, trace = view.training.patient.model, trace_of(view)
    found: dict[str, None] = {}
    for one in trace.calls:
        if not one.has_weights or not trace.is_hidden(one.place):
            continue
        name = _last(trace, one).module
        if single(trace, one.module) is None or single(trace, name) is None:
            return []
        if not isinstance(model.get_submodule(one.module), (nn.Linear, *CONVOLUTIONS)):
            return []
        found[name] = None
    return list(found)


def _last(trace: Trace, one: Call) -> Call:
    """The normalisation behind a layer, or itself."""
    behind = list(trace.consumers(one.place))
    return behind[0] if len(behind) == 1 and behind[0].name in NORMALISING else one


def why_not(view: View) -> str:
    """There are activations, or no layers that one could stand between."""
    model = view.training.patient.model
    reason = blocked(model)
    if reason:
        return reason
    trace = trace_of(view)
    bent = any(one.activation and trace.is_hidden(one.place) for one in trace.calls)
    others = any(one.has_weights and one.name not in _LINEAR for one in trace.calls)
    if bent or others or hidden_activations(trace, model):
        return "there are activations between the layers"
    return (
        ""
        if _places(view)
        else "there are no two layers, one behind the other, between which one could stand"
    )


REMEDY = Remedy(
    name="add_activation",
    title="an activation function between layers that have none",
    answers=("loss_plateau", "lr_too_low", "lr_too_high", "vanishing_gradient"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Without a function between them, layers are a product of matrices: whatever their number, the model draws "
        "straight lines. It is offered only where no activation stands between any two layers."
    ),
)
