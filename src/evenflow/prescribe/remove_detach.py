"""Let the gradient through where detach(), .data or no_grad cut it off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from evenflow.prescribe.front import takes_one_mapping
from evenflow.prescribe.lines import Line, lines_of
from evenflow.prescribe.modes import GradientKept, Undetached
from evenflow.prescribe.prescription import Code, Edit, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.wording import listed

_PATTERNS: dict[str, tuple[str, str]] = {
    "detach": (r"\.detach\(\)", ""),
    "detach_": (r"\.detach_\(\)", ""),
    "data": (r"\.data\b(?!\s*=)", ""),
    "new_tensor": (r"\b\w+\.new_tensor\((\w+)\)", r"\1"),
    "tensor": (r"torch\.tensor\((\w+)\)", r"\1"),
    "_set_grad_enabled": (r"torch\.no_grad\(\)", "torch.enable_grad()"),
}
"""What to look for in the line, and what to put there."""
WORDS = {
    "detach": "detach()",
    "detach_": "detach_()",
    "data": ".data",
    "_set_grad_enabled": "no_grad",
    "new_tensor": "new_tensor()",
    "tensor": "torch.tensor()",
}
SHOWN = 3


def forms(view: View) -> Sequence[Prescription]:
    """One, where the model cuts its own graph."""
    cuts = () if why_not(view) else cut_lines(view.training)
    if not cuts:
        return ()
    names = listed(list(dict.fromkeys(WORDS[one.operation] for one in cuts)), SHOWN)
    places = listed(list(dict.fromkeys(one.place for one in cuts if one.place)), SHOWN)
    where = f" ({places})" if places else ""
    return [
        Prescription(
            remedy="remove_detach",
            choice="",
            title=f"Take {names} out of the forward pass{where}",
            why=(
                f"{names} on the way from the first layers to the loss{where} cuts the graph, so that no gradient "
                "comes back through it to what lies before"
            ),
            sign="moving_weights",
            change=kept,
            code=lambda: _code(cuts),
            size=1,
        )
    ]


def why_not(view: View) -> str:
    """The model cuts nothing that can be seen, or takes its input in a way that cannot be handed on."""
    training = view.training
    if takes_one_mapping(training.patient.model, training.plan.batches[0].inputs):
        return "the model takes one mapping: what cuts its graph has to be taken out of its own lines"
    if not cut_lines(training):
        return "no detach(), .data or no_grad was seen on the way of a gradient in the forward pass"
    return ""


def cut_lines(training: Training) -> tuple[Line, ...]:
    """The lines of the forward pass that take a tensor with a gradient out of the graph, or switch it off."""

    def cuts(name: str, _: Any, args: tuple[Any, ...]) -> bool:
        if name == "_set_grad_enabled":
            return bool(args) and not args[0]
        taken = args[name == "new_tensor"] if len(args) > (name == "new_tensor") else None
        return name in _PATTERNS and isinstance(taken, Tensor) and taken.requires_grad

    return tuple(one for one in lines_of(training, cuts, loss=False) if one.file)


def kept(training: Training) -> Training:
    """The same training with its gradient let through."""
    return replace(training, patient=replace(training.patient, model=GradientKept(training.patient.model)))


def _code(cuts: Sequence[Line]) -> Code:
    edits = [one.edit(*_PATTERNS[one.operation]) for one in cuts]
    found: list[Edit] = [one for one in edits if one is not None]
    advice = [f"# {one.place}: {one.text.strip()}" for one in cuts if one.place]
    remark = ["# better, take out what cuts the graph:", *advice, ""] if advice else []
    return Code(
        "\n".join([*remark, source_of(Undetached, GradientKept)]) + "\n\nmodel = GradientKept(model)\n",
        "behind the line that makes the model; or in the lines themselves",
        ("from typing import Any", "import torch", "from torch import nn", _MODE),
        tuple(dict.fromkeys(found)) if len(found) == len(edits) else (),
    )


_MODE = "from torch.overrides import TorchFunctionMode"

REMEDY = Remedy(
    name="remove_detach",
    title="Let the gradient through where it is cut off",
    answers=("frozen_layers",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "detach(), .data and no_grad end the graph: what lies before gets no gradient, whatever the loss says. It is "
        "meant where a target or a statistic is computed, and a slip where the features of a network are. What the "
        "change does is tried by letting the gradient through from outside; the lines that cut are named, where they "
        "can be seen."
    ),
)
