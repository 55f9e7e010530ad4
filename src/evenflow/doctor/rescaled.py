"""The twin whose signals begin at unit size, where those of the training grow from layer to layer.

What multiplies a signal up need not be a weight: a factor in `forward`, an activation that grows faster than its
input, a sum over many terms. Whether it costs anything is seen beside the same training with each linear layer scaled,
in one forward pass, so that what it puts out has a root mean square of 1 (layer-sequential unit variance: Mishkin and
Matas 2016, section 3, without its orthogonal draw). The directions of the weights stay as they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient
from evenflow.doctor.first_pass import forward, rms

GROWN = 10.0
"""Times the first layer's input: drawn by theory, every layer about keeps a signal's size."""
NEAR = 3.0
"""Factor from 1 within which a layer is left as it is."""


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
        size = rms(output)
        if not 0.0 < size < math.inf or 1.0 / NEAR <= size <= NEAR:
            return None
        for one in own:
            one.div_(size)
        return output / size

    forward(model, batch, scaled)


def _grow(model: nn.Module, batch: Batch) -> bool:
    """Whether any linear layer puts out far more than went into the first, or what is not finite."""
    sizes: list[float] = []

    def seen(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not sizes:
            sizes.append(rms(inputs[0]) if inputs else math.nan)
        sizes.append(rms(output))

    forward(model, batch, seen)
    if not sizes or not sizes[0] > 0.0:
        return False
    return any(size > GROWN * sizes[0] for size in sizes[1:])
