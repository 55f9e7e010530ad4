"""How the gradient fares through time in recurrent layers: one pass on a copy, read step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.doctor.batches import Batch
from evenflow.doctor.trial import LossFunction, call
from evenflow.spec.setting import Recurrence

FEWEST_STEPS = 6
"""Below this there is no time for anything to fade."""


def has_recurrence(model: nn.Module, batch: Batch) -> bool:
    """Whether there is any recurrent layer of torch's in a model, or a linear one that a forward pass calls often."""
    if any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in model.modules()):
        return True
    calls: Counter[nn.Module] = Counter()
    hooks = [
        module.register_forward_hook(lambda module, *_: calls.update([module]))
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad():
            call(model, batch.copied().inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return any(count >= FEWEST_STEPS for count in calls.values())


def recurrences(model: nn.Module, batch: Batch, loss_fn: LossFunction) -> tuple[Recurrence, ...]:
    """‖∂L/∂x_t‖ of what enters each recurrent layer, as root mean square over samples and features, by time step t.

    A layer that calls a cell step by step is read at the states that the cell puts out, and one that is written out as
    a loop at what its linear layers put out. Sequences that are packed, and
    layers that are called several times, have no one time axis and are left out.

    Args:
        model: is run forward and back once, which leaves gradients in it and moves its running statistics.
        batch: to run it on.
        loss_fn: of output and target.
    """
    batch = batch.copied()
    with _heard(model) as heard, torch.enable_grad():
        loss = loss_fn(call(model, batch.inputs), batch.target)
        if loss.requires_grad and bool(loss.isfinite()):
            loss.backward()
    return tuple(
        Recurrence(name=name, type=type(module).__name__, gradient=norms)
        for name, module in model.named_modules()
        if len(norms := tuple(_norms(module, heard.get(module, [])))) >= FEWEST_STEPS
    )


Heard = dict[nn.Module, list[dict[str, Any]]]


@contextmanager
def _heard(model: nn.Module) -> Iterator[Heard]:
    """Listen to the gradients of what enters recurrent layers, and of what recurrent cells put out."""
    heard: Heard = {}
    hooks = []

    def listen(module: nn.Module, tensor: Tensor) -> None:
        call_of: dict[str, Any] = {}
        heard.setdefault(module, []).append(call_of)
        tensor.register_hook(lambda gradient: call_of.update(gradient=gradient.detach()))

    def enters(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not arguments or not isinstance(arguments[0], Tensor) or arguments[0].ndim != 3:
            return None
        # Data need no gradient; a copy of them takes one.
        values = arguments[0] if arguments[0].requires_grad else arguments[0].detach().requires_grad_()
        listen(module, values)
        return (values, *arguments[1:])

    def leaves(module: nn.Module, _arguments: object, output: Any) -> None:
        state = output[0] if isinstance(output, tuple) else output
        if isinstance(state, Tensor) and state.requires_grad:
            listen(module, state)

    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            hooks.append(module.register_forward_pre_hook(enters))
        elif isinstance(module, nn.RNNCellBase | nn.Linear):
            hooks.append(module.register_forward_hook(leaves))
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _norms(module: nn.Module, calls: list[dict[str, Any]]) -> list[float]:
    """By time step; empty where no gradient has come back."""
    gradients = [one["gradient"].double() for one in calls if "gradient" in one]
    if isinstance(module, nn.RNNCellBase | nn.Linear):
        return [float(one.square().mean().sqrt()) for one in gradients]
    if len(gradients) != 1 or not isinstance(module, nn.RNNBase):
        return []
    other = (0, 2) if module.batch_first else (1, 2)
    return gradients[0].square().mean(other).sqrt().tolist()
