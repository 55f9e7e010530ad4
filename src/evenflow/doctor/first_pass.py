"""What a first forward pass shows of the layers that the code of a model hides from a probe.

Activations in a model's own code may be any product or power, which nobody knows by name; the sizes of what the layers
put out tell of growth all the same. And what runs in evaluation alone, training never reaches.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from msgspec import structs
from torch import Tensor, nn

from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.trial import call
from evenflow.measure.sites import CONVOLUTIONS
from evenflow.measure.transforms import plainly_readable
from evenflow.spec.setting import Setting

LINEAR = (nn.Linear, *CONVOLUTIONS)


def with_first_pass(setting: Setting, patient: Patient, batch: Batch) -> Setting:
    """A setting whose layers know how large their outputs are before the first step, and whether evaluation calls them.

    Args:
        setting: of the training.
        patient: at its start.
        batch: the first one.
    """
    sizes = output_sizes(patient.copied().model, batch)
    left_out = [layer.name for layer in setting.layers if not layer.used]
    evaluated = called_in_evaluation(patient.copied().model, batch) if left_out else frozenset()
    layers = tuple(
        structs.replace(
            layer,
            output_rms=sizes.get(layer.name, math.nan),
            evaluated=layer.name in evaluated and not layer.used,
        )
        for layer in setting.layers
    )
    return structs.replace(setting, layers=layers)


def output_sizes(model: nn.Module, batch: Batch) -> Mapping[str, float]:
    """Root mean square of what each linear layer puts out, of its calls the largest; infinite if not finite."""
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}
    sizes: dict[str, float] = {}

    def seen(module: nn.Module, _inputs: object, output: Any) -> None:
        size = rms(output)
        if not math.isnan(size):
            sizes[names[module]] = max(size, sizes.get(names[module], 0.0))

    forward(model, batch, seen)
    return sizes


def called_in_evaluation(model: nn.Module, batch: Batch) -> frozenset[str]:
    """Names of the modules that a forward pass in evaluation calls."""
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}
    called: set[str] = set()
    model.eval()
    forward(model, batch, lambda module, *_: called.add(names[module]), kinds=(nn.Module,))
    return frozenset(called)


def forward(
    model: nn.Module,
    batch: Batch,
    hook: Callable[..., Any],
    kinds: tuple[type[nn.Module], ...] = LINEAR,
) -> None:
    """One forward pass with a hook on every module of these kinds, that leaves no other trace."""
    kept = {name: value.clone() for name, value in model.named_buffers()}
    handles = [one.register_forward_hook(hook) for one in model.modules() if isinstance(one, kinds)]
    try:
        with torch.no_grad(), untouched_randomness(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(model, batch.copied().inputs)
    finally:
        for handle in handles:
            handle.remove()
        for name, value in model.named_buffers():
            if name in kept:
                value.copy_(kept[name])


def rms(values: object) -> float:
    """Root mean square; infinite where something is not finite, NaN of what is no plain tensor of numbers."""
    if not isinstance(values, Tensor) or not plainly_readable(values) or not values.is_floating_point():
        return math.nan
    size = float(values.detach().double().square().mean().sqrt()) if values.numel() else math.nan
    return size if math.isfinite(size) or not values.numel() else math.inf
