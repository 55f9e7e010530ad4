"""The optimiser of a changed model: it has what is there now, by the options that it had for what was there before.

New parameters join the group of what they replace, or of the layer's neighbours; those that are gone leave; what stays
keeps its state. A parameter whose values were drawn anew loses its state: running means of old gradients say nothing
of new weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from evenflow.doctor.copying import Patient
from evenflow.measure.sites import stepped_by


@dataclass(frozen=True)
class Before:
    """The parameters of a model before a change.

    Args:
        names: of all of them.
        parameters: themselves, which keeps their identities from being given to others.
        versions: of their values, as torch counts writes.
    """

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    versions: tuple[int, ...]

    @classmethod
    def of(cls, model: nn.Module) -> Before:
        """As they are now."""
        found = dict(model.named_parameters())
        return cls(tuple(found), tuple(found.values()), tuple(one._version for one in found.values()))


def adopt(before: Before, patient: Patient) -> Patient:
    """Put the parameters of the changed model in order with its optimiser, in place.

    What no optimiser had before the change stays without one, such as frozen layers.

    Args:
        before: taken of the same model in front of the change.
        patient: with the changed model.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid())
    >>> patient = Patient(model, torch.optim.Adam(model.parameters()))
    >>> before = Before.of(model)
    >>> model[1] = nn.PReLU()
    >>> adopted = adopt(before, patient).optimizer
    >>> adopted.param_groups[0]["params"][-1] is model[1].weight
    True
    """
    optimizer = patient.optimizer
    groups = {id(one): group for group in optimizer.param_groups for one in group["params"]}
    neighbours = [
        _Neighbour(name, one.ndim > 1, place, groups[id(one)])
        for place, (name, one) in enumerate(zip(before.names, before.parameters, strict=True))
        if id(one) in groups
    ]
    now = dict(patient.model.named_parameters())
    there = {id(one) for one in now.values()}
    places = {id(one): place for place, one in enumerate(before.parameters)}
    _dismiss(optimizer, set(places) - there)
    for one, version in zip(before.parameters, before.versions, strict=True):
        if id(one) in there and one._version != version:
            optimizer.state.pop(one, None)
    if isinstance(optimizer, torch.optim.LBFGS) and _has_changed(before, now):
        optimizer.state.clear()  # one history of all parameters in a row
        optimizer._numel_cache = None
    stepped = stepped_by(optimizer)
    place = -0.5
    for name, one in now.items():
        if id(one) in places:
            place = places[id(one)] + 0.5
        elif id(one) not in stepped and one.requires_grad:
            _admit(name, one, _home(neighbours, name, one.ndim > 1, place, optimizer))
    return patient


def _has_changed(before: Before, now: Mapping[str, nn.Parameter]) -> bool:
    there = {id(one) for one in now.values()}
    same = there == {id(one) for one in before.parameters}
    return not same or any(
        one._version != then for one, then in zip(before.parameters, before.versions, strict=True)
    )


@dataclass(frozen=True)
class _Neighbour:
    """A parameter that an optimiser had: its name, whether it is a matrix, its place in the model, its group."""

    name: str
    matrix: bool
    place: int
    group: dict[str, Any]


def _dismiss(optimizer: Optimizer, gone: set[int]) -> None:
    """The lists are changed in place, for some optimisers hold one of their own."""
    for group in optimizer.param_groups:
        kept = [place for place, one in enumerate(group["params"]) if id(one) not in gone]
        for one in group["params"]:
            if id(one) in gone:
                optimizer.state.pop(one, None)
        for word in ("params", "param_names"):
            if word in group:
                group[word][:] = [group[word][place] for place in kept]


def _admit(name: str, one: nn.Parameter, group: dict[str, Any]) -> None:
    """As `add_param_group` checks it, but into a group that is there."""
    group["params"].append(one)
    if "param_names" in group:
        group["param_names"].append(name)


def _home(
    neighbours: Sequence[_Neighbour], name: str, matrix: bool, place: float, optimizer: Optimizer
) -> dict[str, Any]:
    """The group of what bore the name before, else of the nearest in the tree of modules and in order.

    One with as many dimensions goes before others: where matrices and vectors are in groups of their own, with weight
    decay and without, a new scale belongs to the vectors.
    """
    if not neighbours:
        return optimizer.param_groups[0]
    path = name.split(".")

    def nearness(one: _Neighbour) -> tuple[bool, bool, int, float]:
        common = 0
        for mine, other in zip(path, one.name.split("."), strict=False):
            if mine != other:
                break
            common += 1
        return one.name == name, one.matrix == matrix, common, -abs(one.place - place)

    return max(neighbours, key=nearness).group
