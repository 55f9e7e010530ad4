"""Modules in a plain list or mapping made known to the model, by `nn.ModuleList` and `nn.ModuleDict` in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from evenflow.diagnose.twins import compared
from evenflow.prescribe.operation import Operation
from evenflow.prescribe.placing import blocked, runs
from evenflow.prescribe.prescription import Prescription, Remedy, View
from evenflow.wording import listed, plural

SHOWN = 3
"""Names that a title gives."""


def forms(view: View) -> Sequence[Prescription]:
    """One, with all that can be held by a container of torch's."""
    found = () if why_not(view) else tuple(held(view.training.patient.model))
    operation = Operation("\n".join(_line(*one) for one in found) + "\n")
    if not found or not runs(view, operation):
        return ()
    names = [f"{path}.{attribute}" if path else attribute for path, attribute, _ in found]
    twin = next(iter(compared(view.setting, "unfrozen")), None)
    seen = (
        f"; with all weights trained the same training was {twin.points:.0f} points better"
        if twin is not None and twin.points >= 0.5
        else ""
    )
    return [
        Prescription(
            remedy=REMEDY.name,
            choice="",
            title=f"Hold the modules of {listed(names, SHOWN)} in {listed(sorted({one[2] for one in found}), SHOWN)}",
            why=(
                f"{plural(len(found), 'plain container')} of modules, which model.parameters() does not look into, so "
                f"that no optimiser is given their weights{seen}"
            ),
            sign="moving_weights",
            change=operation,
            code=operation.code,
            size=1,
        )
    ]


def why_not(view: View) -> str:
    """Nothing is held that the model does not know."""
    reason = blocked(view.training.patient.model)
    if reason:
        return reason
    if not any(held(view.training.patient.model)):
        return "no plain list or mapping of the model's holds modules alone"
    return ""


def held(model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Owner's path, attribute, and the container that can take its place, of plain containers of unknown modules.

    >>> model = nn.Module()
    >>> model.layers = [nn.Linear(2, 3)]
    >>> list(held(model))
    [('', 'layers', 'nn.ModuleList')]
    """
    known = set(map(id, model.modules()))
    for path, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute.startswith("_") or not isinstance(value, list | tuple | Mapping) or not value:
                continue
            mapping = isinstance(value, Mapping)
            inside = list(value.values()) if mapping else list(value)
            if not all(isinstance(one, nn.Module) for one in inside) or {*map(id, inside)} <= known:
                continue
            if not mapping:
                yield path, attribute, "nn.ModuleList"
            elif all(isinstance(key, str) and key and "." not in key for key in value):
                yield path, attribute, "nn.ModuleDict"


def _line(path: str, attribute: str, container: str) -> str:
    owner = f'model.get_submodule("{path}")' if path else "model"
    return f"{owner}.{attribute} = {container}({owner}.{attribute})"


REMEDY = Remedy(
    name="register_modules",
    title="Let the model know all of its modules",
    answers=(),
    forms=forms,
    why_not=why_not,
    explanation=(
        "A module registers what is assigned to its attributes, and does not look into a list, a tuple or a dict: what "
        "is in there is computed with, and never trained, saved or moved to another device. `nn.ModuleList` and "
        "`nn.ModuleDict` are used as the plain ones are. The optimiser has to be made behind that."
    ),
)
