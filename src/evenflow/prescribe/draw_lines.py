"""Lines that draw weights anew, in calls of `torch.nn.init` on parameters by their names: short enough to be pasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import nn

from evenflow.prescribe.operation import written

_EXACT = (torch.float32, torch.float64)
"""Kinds of numbers that `nn.init.orthogonal_` can factor."""


class Drawn(Protocol):
    """A matrix; see `drawing.Matrix`."""

    @property
    def name(self) -> str: ...
    @property
    def layer(self) -> str: ...
    @property
    def state(self) -> bool: ...


def draw_lines(
    found: Sequence[Drawn],
    model: nn.Module,
    sizes: Mapping[str, float],
    orthogonal: bool = False,
    *,
    bias: float = 0.0,
    rest: bool = True,
) -> str:
    """The lines.

    Args:
        found: matrices to draw; those of a recurrent state become orthogonal, gate by gate.
        model: they belong to.
        sizes: standard deviations by the matrices' names; of those that become orthogonal the factor.
        orthogonal: whether all of them do.
        bias: standard deviation of the biases.
        rest: whether biases and normalisations of the other layers begin anew, too.
    """
    states = [one.name for one in found if one.state]
    plain = {one.name: sizes[one.name] for one in found if not one.state}
    owners = None if rest else {one.layer for one in found}
    lines = ["torch.manual_seed(0)"]
    if plain and orthogonal:
        exact = all(_takes_orthogonal(model.get_parameter(name)) for name in plain)
        lines += _table(plain, "factors of the weights")
        lines += ["for name, size in spread.items():"]
        lines += ["    nn.init.orthogonal_(model.get_parameter(name), size)"] if exact else _copied("size")
    elif plain:
        lines += _table(plain, "standard deviations of the weights")
        lines += ["for name, size in spread.items():"]
        lines += ["    nn.init.normal_(model.get_parameter(name), 0.0, size)"]
    lines += _states(states, model)
    return "\n".join([*lines, *rest_lines(model, owners, bias)]) + "\n"


def _takes_orthogonal(weight: nn.Parameter) -> bool:
    """Whether `nn.init.orthogonal_` can fill it: one with its channels last cannot be seen as a matrix."""
    return weight.dtype in _EXACT and weight.is_contiguous()


def rest_lines(model: nn.Module, owners: set[str] | None, bias: float = 0.0) -> list[str]:
    """Lines for biases, which are drawn or 0, forget gates, which are open, and normalisations, the identity.

    Args:
        model: itself.
        owners: modules that begin anew; all of them for None.
        bias: standard deviation of the biases.
    """
    biases, forget, ones = [], [], []
    for path, module in model.named_modules():
        for own, one in module.named_parameters(recurse=False):
            if one.ndim != 1 or not one.requires_grad or not (owners is None or path in owners):
                continue
            name = f"{path}.{own}" if path else own
            if "bias" in own:
                biases.append(name)
                if isinstance(module, nn.LSTM) and "bias_hh" in own:
                    forget.append(name)
            elif "Norm" in type(module).__name__:
                ones.append(name)
    draw = f"nn.init.normal_({{}}, 0.0, {bias:.6g})" if bias else "nn.init.zeros_({})"
    lines = []
    if biases and biases == [name for name, _ in model.named_parameters() if "bias" in name]:
        lines += ["for name, one in model.named_parameters():", '    if "bias" in name:']
        lines += [f"        {draw.format('one')}"]
    elif biases:
        lines += _for_each(biases, draw.format("model.get_parameter(name)"))
    if forget:
        lines += _for_each(
            forget, "model.get_parameter(name).detach().chunk(4)[1].fill_(1.0)  # forget gates"
        )
    if ones:
        lines += _for_each(ones, "nn.init.ones_(model.get_parameter(name))")
    return lines


def _for_each(names: Sequence[str], line: str) -> list[str]:
    if len(names) == 1:
        return [line.replace("(name)", f'("{names[0]}")')]
    return [f"for name in {written(names)}:", f"    {line}"]


def _states(names: Sequence[str], model: nn.Module) -> list[str]:
    """What takes a state to the next step, one square block for each gate."""
    if not names:
        return []
    if not all(_takes_orthogonal(model.get_parameter(name)) for name in names):
        gates = ["        gate.copy_(nn.init.orthogonal_(torch.empty(gate.shape)))"]
    else:
        gates = ["        nn.init.orthogonal_(gate)"]
    return [
        f"for name in {written(names)}:",
        "    weight = model.get_parameter(name).detach()",
        "    for gate in weight.split(weight.shape[1]):",
        *gates,
    ]


def _copied(size: str) -> list[str]:
    return [
        "    weight = model.get_parameter(name).detach()",
        f"    weight.copy_(nn.init.orthogonal_(torch.empty(weight.shape), {size}))",
    ]


def _table(sizes: Mapping[str, float], what: str) -> list[str]:
    """Names of equal size in one line of code."""
    groups: dict[float, list[str]] = {}
    for name, size in sizes.items():
        groups.setdefault(size, []).append(name)
    lines = ["spread = {"]
    for size, names in groups.items():
        if len(names) == 1:
            lines.append(f'    "{names[0]}": {size!r},')
        else:
            named = written(names).replace("\n", "\n    ")
            lines.append(f"    **dict.fromkeys({named}, {size!r}),")
    return [*lines, f"}}  # {what}"]
