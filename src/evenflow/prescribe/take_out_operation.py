"""Take out the part of the model that makes the first value that is not finite, where it is a part by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evenflow.prescribe.mend_output_layer import MODULES, WANTED
from evenflow.prescribe.operation import Operation
from evenflow.prescribe.placing import blocked, in_place_of, runs, single
from evenflow.prescribe.prescription import Prescription, Remedy, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import trace_of

_ORIGIN = re.compile(r'^forward: (\S+) in "([^"]+)"')


def forms(view: View) -> Sequence[Prescription]:
    """One: the identity in its place, or at the end of the model what the loss takes."""
    found = _origin(view)
    if why_not(view) or found is None:
        return ()
    name, module = found
    trace, output = trace_of(view), view.setting.output
    place = trace.source(trace.outputs[0]) if trace.outputs else -1
    at_end = place >= 0 and trace.calls[place].module == module
    wanted = WANTED.get(output.loss, "") if at_end and output is not None else ""
    operation = Operation(in_place_of({module: MODULES[wanted]}))
    if not runs(view, operation):
        return ()
    kind = type(view.training.patient.model.get_submodule(module)).__name__
    instead = f", with {wanted} in its place" if wanted else ""
    return [
        Prescription(
            remedy=REMEDY.name,
            choice=wanted,
            title=f'Take "{module}" ({kind}) out of the model{instead}',
            why=because(
                answered(view, REMEDY.answers),
                f'"{module}" has no weights, and its {name} gives what is not finite; what comes before it may serve',
            ),
            sign="finite",
            change=operation,
            code=operation.code,
            size=3,
        )
    ]


def why_not(view: View) -> str:
    """What makes the first value that is not finite is no part by itself, or it is one with weights, or of torch's."""
    found = _origin(view)
    if found is None:
        return "no module's own operation is known to make the first value that is not finite"
    model, module = view.training.patient.model, found[1]
    reason = blocked(model)
    if reason:
        return reason
    if single(trace_of(view), module) is None:
        return f'"{module}" has several names or runs several times'
    one = model.get_submodule(module)
    if [*one.parameters(), *one.buffers(), *one.children()]:
        return f'"{module}" has weights or parts of its own, so that it does more than this operation'
    if type(one).__module__.startswith("torch."):
        return f'"{module}" is one of torch\'s own modules; what comes in is what is wrong'
    return ""


def _origin(view: View) -> tuple[str, str] | None:
    """Operation and module of the first value that was not finite."""
    found = _ORIGIN.match(view.setting.origin)
    if found is None or found[2] not in dict(view.training.patient.model.named_modules()):
        return None
    return found[1].removeprefix("aten::"), found[2]


REMEDY = Remedy(
    name="take_out_operation",
    title="Take out the part that makes the first value that is not finite",
    answers=("nonfinite_origin",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "An operation that is not defined everywhere, in a module of its own without weights, often does nothing that "
        "the layers around it could not: with the identity in its place the values are finite, and the trial says "
        "whether anything is lost. It is a change of the model, and goes last of the remedies for a NaN."
    ),
)
