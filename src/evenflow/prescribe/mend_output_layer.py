"""The end of the model as its loss takes it: what squashes the last layer's numbers is taken off, or put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from evenflow.diagnose.mismatch import activation_name, mismatch
from evenflow.doctor.mended_end import mended_end
from evenflow.prescribe.class_edits import end_edits
from evenflow.prescribe.operation import Operation
from evenflow.prescribe.placing import blocked, home, in_place_of, runs, single
from evenflow.prescribe.prescription import Code, Prescription, Remedy, View
from evenflow.prescribe.reasons import answered, because
from evenflow.prescribe.trace import Call, Trace, trace_of

WANTED = {"nll": "log_softmax", "kl_div": "log_softmax", "binary_cross_entropy": "sigmoid"}
"""What a loss wants the last layer's numbers to have gone through; nothing otherwise."""
MODULES = {"": "nn.Identity()", "log_softmax": "nn.LogSoftmax(dim=1)", "sigmoid": "nn.Sigmoid()"}
_WORDS = {"": "logits or plain numbers", "log_softmax": "log-probabilities", "sigmoid": "probabilities"}


def forms(view: View) -> Sequence[Prescription]:
    """One: more units, another function at the end, or none."""
    output, target = view.setting.output, view.setting.target
    if why_not(view) or output is None:
        return ()
    wanted = WANTED.get(output.loss, "")
    many = wanted != "sigmoid" and output.loss in ("cross_entropy", "nll") and output.units == 1
    classes = target.classes if target is not None else 0
    if many and classes > 1:
        operation, choice = _widened(view, output.layer, classes, wanted), "units"
        title = f'Give the last layer, "{output.layer}", {classes} units, one for each class'
        does = "a softmax over one unit is 1 whatever the unit says"
    else:
        operation, choice = _ended(view, output.layer, wanted), wanted or "raw"
        old = activation_name(output) or "nothing"
        title = (
            f"Take {old} off the end of the model"
            if not wanted
            else f"End the model with {wanted} in the place of {old}"
        )
        does = f"{output.loss or 'the loss'} takes {_WORDS[wanted]} and gets what {old} puts out"
    if operation is None:
        return ()
    return (
        Prescription(
            remedy=REMEDY.name,
            choice=choice,
            title=title,
            why=because(answered(view, REMEDY.answers), does),
            sign="loss",
            change=operation,
            code=partial(_code, operation, view, wanted),
            size=3 if choice == "units" else 2,
            keeps_weights=choice != "units",
        ),
    )


def _code(operation: Operation, view: View, wanted: str) -> Code:
    """With the place in the user's class where the end is one, and the last layer's units stay as many."""
    end = end_of(trace_of(view))
    if end is None or "nn.Linear" in operation.lines:
        return operation.code()
    model = view.training.patient.model
    alone = list(model.get_submodule(end.module).children()) == [] and "set_submodule" in operation.lines
    code = operation.code(end_edits(model, end.module, "" if alone else end.name, wanted))
    if len(code.edits) == 1 and len(code.edits[0].new) == 1:
        edit = code.edits[0]
        instead = f"or, in their place, line {edit.line} of {edit.file.name} as {edit.new[0].strip()}"
        return replace(code, place=f"{code.place}; {instead}")
    return code


def _ended(view: View, layer: str, wanted: str) -> Operation | None:
    """The first way that runs: in the place of what is there, behind it, or around the model."""
    trace = trace_of(view)
    end = end_of(trace)
    if end is not None and end.activation == wanted:
        return None
    tried: list[Operation] = []
    if end is not None:
        module = single(trace, end.module)
        if module is not None and module.ended - module.began == 1 and not list(module.module.parameters()):
            tried.append(Operation(in_place_of({end.module: MODULES[wanted]})))
        tried.append(_instead(trace, end, wanted))
    elif wanted:
        tried.append(Operation(f"model = nn.Sequential(model, {MODULES[wanted]})\n"))
    if layer and mended_end(view.training.patient, view.setting, view.training.plan.batches) is not None:
        tried.append(Operation(f'model = RawEnd(model, "{layer}", {MODULES[wanted]})\n'))
    return next((one for one in tried if runs(view, one)), None)


def _instead(trace: Trace, end: Call, wanted: str) -> Operation:
    calls = {one.ordinal for one in trace.calls if (one.module, one.name) == (end.module, end.name)}
    some = "" if calls == {end.ordinal} else f", calls={{{end.ordinal}}}"
    owner = f'model.get_submodule("{end.module}")' if end.module else "model"
    return Operation(f'Instead({owner}, "{end.name}", "{wanted}"{some})\n')


def _widened(view: View, layer: str, classes: int, wanted: str) -> Operation | None:
    model = view.training.patient.model
    last = dict(model.named_modules()).get(layer)
    if not isinstance(last, nn.Linear):
        return None
    bias = "" if last.bias is not None else ", bias=False"
    new = f"nn.Linear({last.in_features}, {classes}{bias}){home(model)}"
    operation = Operation("torch.manual_seed(0)\n" + in_place_of({layer: new}))
    end = end_of(trace_of(view))
    if end is not None and end.activation != wanted:
        operation = operation.then(_instead(trace_of(view), end, wanted))
    return operation if runs(view, operation, reshaped=True) else None


def end_of(trace: Trace) -> Call | None:
    """The activation that a model applies last to what it puts out; None where there is none."""
    place = trace.source(trace.outputs[0]) if trace.outputs else -2
    one = trace.calls[place] if place >= 0 else None
    return one if one is not None and one.activation and not one.has_weights else None


def why_not(view: View) -> str:
    """Why the end of the model stays as it is."""
    output = view.setting.output
    if output is None or not output.loss:
        return "nothing is known of how the outputs become the loss"
    reason = blocked(view.training.patient.model)
    if reason:
        return reason
    asked = any(REMEDY.name in one.remedies for one in view.diagnosis.findings)
    found = mismatch(view.setting)
    if found is None and not asked:
        return "what the model puts out is what the loss takes"
    if "expand" in output.operations:
        return "outputs and targets differ in shape; it is the loss that compares them wrongly"
    return ""


REMEDY = Remedy(
    name="mend_output_layer",
    title="the end of the model as its loss takes it",
    answers=("bad_output_layer",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Cross-entropy takes a softmax itself: behind another softmax it cannot go below 1.46 for ten classes, and its "
        "gradient is a fraction of what it should be. A ReLU at the end of a regression cannot say a number below 0, "
        "and a unit that is below 0 for every sample gets no gradient. What the model puts out are then the numbers "
        "of its last layer; where probabilities are needed, take the softmax when they are read."
    ),
)
