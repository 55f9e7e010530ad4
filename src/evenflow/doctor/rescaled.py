"""The twin whose signals begin at unit size, where those of the training grow from layer to layer.

What multiplies a signal up need not be a weight: a factor in `forward`, an activation that grows faster than its
input, a sum over many terms. Whether it costs anything is seen beside the same training with each linear layer scaled,
in one forward pass, so that what it puts out has a root mean square of 1 (layer-sequential unit variance: Mishkin and
Matas 2016, section 3, without its orthogonal draw). The directions of the weights stay as they were.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.trial import call
from evenflow.measure.sites import CONVOLUTIONS
from evenflow.measure.transforms import plainly_readable

GROWN = 10.0
"""Times the first layer's input: drawn by theory, every layer about keeps a signal's size."""
NEAR = 3.0
"""Factor from 1 within which a layer is left as it is."""
_LINEAR = (nn.Linear, *CONVOLUTIONS)


def rescaled(patient: Patient, batch: Batch) -> Callable[[Patient], Patient] | None:
    """What makes the twin of a copy; None where the signals of the first forward pass do not grow.

    A model whose optimiser has stepped before holds what it has learned in its scales: it gets no such twin.
    """
    if patient.optimizer.state or not _grow(patient.copied().model, batch):
        return None

    def change(twin: Patient) -> Patient:
        rescale(twin.model, batch)
        return twin

    return change


def rescale(model: nn.Module, batch: Batch) -> None:
    """Scale each linear layer of a model, in place, to outputs of root mean square 1 where they are three times off.

    Frozen layers, layers that put out nothing but zeros, and a layer's second call are left alone.
    """
    done: set[nn.Module] = set()

    @torch.no_grad()
    def scaled(module: nn.Module, _inputs: object, output: Any) -> Any:
        own = [one for one in module.parameters(recurse=False) if one.requires_grad]
        if module in done or not own or not isinstance(output, Tensor):
            return None
        done.add(module)
        size = _size(output)
        if not 0.0 < size < math.inf or 1.0 / NEAR <= size <= NEAR:
            return None
        for one in own:
            one.div_(size)
        return output / size

    _forward(model, batch, scaled)


def _grow(model: nn.Module, batch: Batch) -> bool:
    """Whether any linear layer puts out far more than went into the first, or what is not finite."""
    sizes: list[float] = []

    def seen(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not sizes:
            sizes.append(_size(inputs[0]) if inputs else math.nan)
        sizes.append(_size(output))

    _forward(model, batch, seen)
    if not sizes or not sizes[0] > 0.0:
        return False
    return any(size > GROWN * sizes[0] for size in sizes[1:])


def _forward(model: nn.Module, batch: Batch, hook: Callable[..., Any]) -> None:
    """One forward pass with a hook on every linear layer, that leaves no other trace."""
    kept = {name: value.clone() for name, value in model.named_buffers()}
    handles = [one.register_forward_hook(hook) for one in model.modules() if isinstance(one, _LINEAR)]
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


def _size(values: object) -> float:
    """Root mean square; infinite where something is not finite, NaN of what is no plain tensor of numbers."""
    if not isinstance(values, Tensor) or not plainly_readable(values) or not values.is_floating_point():
        return math.nan
    size = float(values.detach().double().square().mean().sqrt()) if values.numel() else math.nan
    return size if math.isfinite(size) or not values.numel() else math.inf
