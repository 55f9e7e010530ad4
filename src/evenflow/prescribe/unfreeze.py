"""Train what has been frozen: all of it, or what the optimiser has without being able to move it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from evenflow.diagnose.twins import compared
from evenflow.measure.sites import stepped_by
from evenflow.prescribe.add_to_optimiser import join, join_code
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.wording import listed, plural

SHOWN = 3
"""Names that a title gives."""


def forms(view: View) -> Sequence[Prescription]:
    """What the optimiser has; all."""
    frozen = frozen_parameters(view.training)
    stepped = stepped_by(view.training.patient.optimizer)
    held = [name for name in frozen if id(view.training.patient.model.get_parameter(name)) in stepped]
    found = [_form(view, held, "held")] if held and len(held) < len(frozen) else []
    return [*found, _form(view, frozen, "all")] if frozen else found


def why_not(view: View) -> str:
    """Nothing is frozen."""
    return "" if frozen_parameters(view.training) else "every parameter requires a gradient"


def frozen_parameters(training: Training) -> list[str]:
    """Names of those that could have a gradient and ask for none."""
    return [
        name
        for name, one in training.patient.model.named_parameters()
        if not one.requires_grad and one.is_floating_point()
    ]


def _form(view: View, names: Sequence[str], choice: str) -> Prescription:
    twin = next(iter(compared(view.setting, "unfrozen")), None)
    seen = (
        f"; with all weights trained the same training was {twin.points:.0f} points better"
        if twin is not None and twin.points >= 0.5
        else ""
    )
    why = {
        "held": "the optimiser has them, but requires_grad is off, so that they never move",
        "all": "requires_grad is off, so that they stay as they were drawn or trained before",
    }[choice]
    return Prescription(
        remedy="unfreeze",
        choice=choice,
        title=f"Train {listed(list(names), SHOWN)}, {plural(len(names), 'parameter')} now frozen",
        why=why + seen,
        sign="moving_weights",
        change=partial(thaw, names=tuple(names)),
        code=lambda: _code(view.training, names),
        size=1 if choice == "held" else 2,
    )


def thaw(training: Training, *, names: Sequence[str]) -> Training:
    """Ask for gradients of these parameters, and let the optimiser have them."""
    model = training.patient.model
    for name in names:
        model.get_parameter(name).requires_grad_(True)
    join(model, training.patient.optimizer, names)
    return training


def _code(training: Training, names: Sequence[str]) -> Code:
    model, optimizer = training.patient.model, training.patient.optimizer
    stepped = stepped_by(optimizer)
    out = [name for name in names if id(model.get_parameter(name)) not in stepped]
    lines = (
        "for parameter in model.parameters():\n    parameter.requires_grad_(True)\n"
        if len(names) == len(frozen_parameters(training))
        and all(one.is_floating_point() for one in model.parameters())
        else "".join(f"model.get_parameter({name!r}).requires_grad_(True)\n" for name in names)
    )
    if out:
        more = join_code(training, out)
        return Code(
            lines + more.snippet,
            "behind the line that makes the optimizer; and leave out the lines that set requires_grad to False",
        )
    return Code(lines, "in front of the training; or leave out the lines that set requires_grad to False")


REMEDY = Remedy(
    name="unfreeze",
    title="Train what is frozen",
    answers=("frozen_layers",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Layers whose requires_grad is off hand gradients on and do not move. In front of a new head that is often "
        "meant, and cheaper; with weights that were never trained, or for another task, what they cannot learn is "
        "lost. Trained weights stay as a start."
    ),
)
