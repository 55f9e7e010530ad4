"""Modules put in the place of others: whether that can be done, and that the model still runs with it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from evenflow.doctor.batches import mapped
from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.trial import call
from evenflow.prescribe.operation import Operation, written
from evenflow.prescribe.prescription import View
from evenflow.prescribe.trace import Trace, Visit


def single(trace: Trace, name: str) -> Visit | None:
    """The run of a module that has one name and runs once in a forward pass; None of others, and of the model."""
    runs = trace.runs_of(name)
    return runs[0] if name and len(runs) == 1 and len(trace.names.get(name, ())) == 1 else None


def home(model: nn.Module) -> str:
    """What brings a new module to where the model is; "" for the CPU and single precision.

    >>> home(nn.Linear(2, 2).double())
    '.to(device="cpu", dtype=torch.float64)'
    """
    first = next((one for one in model.parameters() if one.is_floating_point()), None)
    if first is None or (first.is_cpu and first.dtype == torch.float32):
        return ""
    return f'.to(device="{first.device}", dtype={first.dtype})'


def in_place_of(names: Mapping[str, str]) -> str:
    """Lines that put new modules in the place of others.

    Args:
        names: by the dotted path of what is replaced the expression of the new one, in which `old` is the former.
    """
    groups: dict[str, list[str]] = {}
    for name, expression in names.items():
        groups.setdefault(expression, []).append(name)
    lines = []
    for expression, paths in groups.items():
        if len(paths) == 1:
            uses = expression.replace("old", f'model.get_submodule("{paths[0]}")')
            lines += [f'model.set_submodule("{paths[0]}", {uses})']
            continue
        uses = expression.replace("old", "model.get_submodule(name)")
        lines += [f"for name in {written(paths)}:", f"    model.set_submodule(name, {uses})"]
    return "\n".join(lines) + "\n"


def runs(view: View, operation: Operation, *, reshaped: bool = False) -> bool:
    """Whether a copy that was operated on takes the first batch, in training and after it, and gives as many numbers.

    Args:
        view, operation: what is tried on what.
        reshaped: whether it may give another number of them.
    """
    inputs = view.training.plan.batches[0].copied().inputs
    shapes = []
    try:
        with untouched_randomness():
            for training in (view.training.copied(), operation(view.training.copied())):
                model = training.patient.model
                made = call(model.train(), mapped(inputs, torch.Tensor.clone))
                shapes.append(getattr(made, "shape", None))
                with torch.no_grad():
                    call(model.eval(), mapped(inputs, torch.Tensor.clone))
    except Exception:  # code that asks the former module for what the new one has not
        return False
    return reshaped or shapes[0] == shapes[1]


def blocked(model: nn.Module) -> str:
    """Why nothing can be put into a model; "" where it can."""
    for name, one in model.named_modules():
        if isinstance(one, torch.jit.ScriptModule):
            return f'"{name or type(one).__name__}" is scripted, and cannot be changed from outside'
        if "_orig_mod" in one.__dict__.get("_modules", {}):
            return f'"{name}" is compiled by itself; compile the whole model behind the change instead'
    return ""
