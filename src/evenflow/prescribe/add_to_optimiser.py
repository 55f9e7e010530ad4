"""Hand the optimiser the parameters that it was never given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from evenflow.diagnose.twins import compared
from evenflow.measure.sites import stepped_by
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.wording import listed, plural

SHOWN = 3
"""Names that a title gives."""


def forms(view: View) -> Sequence[Prescription]:
    """All that ask for a gradient and are not in the optimiser, in the group of their neighbours."""
    names = left_out(view.training)
    if not names:
        return ()
    none = not any(group["params"] for group in _own_groups(view.training))
    twin = next(iter(compared(view.setting, "unfrozen")), None)
    seen = (
        f"; with all weights trained the same training was {twin.points:.0f} points better"
        if twin is not None and twin.points >= 0.5
        else ""
    )
    whose = "it has parameters of another model, or of a copy" if none else "it was made of some of them only"
    return [
        Prescription(
            remedy="add_to_optimiser",
            choice="",
            title=f"Give the optimiser {listed(names, SHOWN)}: {plural(len(names), 'parameter')} it does not have",
            why=f"gradients arrive, but the optimiser does not have what they belong to: {whose}{seen}",
            sign="moving_weights",
            change=partial(added, names=tuple(names)),
            code=lambda: join_code(view.training, names),
            size=1,
        )
    ]


def why_not(view: View) -> str:
    """The optimiser has all that asks for a gradient."""
    return (
        ""
        if left_out(view.training)
        else "the optimiser has every parameter that requires a gradient already"
    )


def left_out(training: Training) -> list[str]:
    """Names of the parameters that require a gradient and that the optimiser does not have."""
    stepped = stepped_by(training.patient.optimizer)
    return [
        name
        for name, one in training.patient.model.named_parameters()
        if one.requires_grad and id(one) not in stepped
    ]


def _own_groups(training: Training) -> list[dict[str, Any]]:
    own = {id(one) for one in training.patient.model.parameters()}
    return [
        {**group, "params": [one for one in group["params"] if id(one) in own]}
        for group in training.patient.optimizer.param_groups
    ]


def added(training: Training, *, names: Sequence[str]) -> Training:
    """The same training with these parameters in the optimiser."""
    join(training.patient.model, training.patient.optimizer, names)
    return training


def join(model: nn.Module, optimizer: Optimizer, names: Sequence[str]) -> None:
    """Put parameters into the groups of their neighbours; what the optimiser has already stays where it is."""
    stepped = stepped_by(optimizer)
    for name, place in homes(model, optimizer, names).items():
        group, one = optimizer.param_groups[place], model.get_parameter(name)
        if id(one) in stepped:
            continue
        group["params"].append(one)
        if "param_names" in group:
            group["param_names"].append(name)


def homes(model: nn.Module, optimizer: Optimizer, names: Sequence[str]) -> dict[str, int]:
    """For each name the group of the nearest parameter of as many dimensions, or of any; group 0 where there is none.

    Groups of their own for vectors, without weight decay, are kept that way; so are lower rates for first layers. A
    group that does not move is no home.
    """
    places = {
        id(one): place
        for place, group in enumerate(optimizer.param_groups)
        for one in group["params"]
        if float(group.get("initial_lr", group.get("lr", 1.0)) or 0.0) > 0.0
    }
    order = list(model.named_parameters())
    where = {name: place for place, (name, _) in enumerate(order)}
    there = [
        (place, one.ndim > 1, places[id(one)]) for place, (_, one) in enumerate(order) if id(one) in places
    ]
    found = {}
    for name in names:
        matrix = model.get_parameter(name).ndim > 1
        best = min(there, key=lambda one: (one[1] != matrix, abs(one[0] - where[name])), default=(0, True, 0))
        found[name] = best[2]
    return found


def join_code(training: Training, names: Sequence[str]) -> Code:
    """The lines that do the same as `join`, for parameters that are not in the optimiser."""
    model, optimizer = training.patient.model, training.patient.optimizer
    found = homes(model, optimizer, names)
    by_group: dict[int, list[str]] = {}
    for name, place in found.items():
        by_group.setdefault(place, []).append(name)
    lines = []
    for place, some in by_group.items():
        lines.append(f"for name in {some!r}:")
        lines.append(f'    optimizer.param_groups[{place}]["params"].append(model.get_parameter(name))')
        if "param_names" in optimizer.param_groups[place]:
            lines.append(f'    optimizer.param_groups[{place}]["param_names"].append(name)')
    return Code(
        "\n".join(lines) + "\n",
        "behind the line that makes the optimizer; or make it of model.parameters(), behind the last line that "
        "changes the model",
    )


REMEDY = Remedy(
    name="add_to_optimiser",
    title="Give the optimiser what it was never given",
    answers=("frozen_layers",),
    forms=forms,
    why_not=why_not,
    explanation=(
        "An optimiser moves what was handed to it when it was made: not layers that were put in later, not those of "
        "a copy of the model, and not those in a plain list, which model.parameters() does not know. Their gradients "
        "arrive and nobody uses them."
    ),
)
