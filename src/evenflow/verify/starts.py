"""Other starts of the same training, so that what one start shows is not taken for what the change does.

The batches come in another order, other random numbers are drawn, and the weights are other ones of the same kind: the
inputs of every matrix change places. That keeps everything that a fault can lie in, the scale and the singular
values, the biases, units that are alike, and is another draw wherever the entries were drawn independently. A matrix
whose entries were not, one that has been trained, is left as it is: its largest singular value stands out above that
of its entries in random order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from evenflow.doctor.copying import Patient
from evenflow.prescribe.prescription import Training

_STANDS_OUT = 1.3
"""Largest singular value over that of the same entries in random order; of independent entries within 1 ± 0.1."""
_ITERATIONS = 30


@dataclass(frozen=True)
class Start:
    """Another start.

    Args:
        training: a copy, with its batches in another order.
        redrawn: names of the matrices whose inputs have changed places.
    """

    training: Training
    redrawn: tuple[str, ...]


def other_start(training: Training, seed: int) -> Start:
    """Another start of the same training.

    Args:
        training: the original, which stays as it is.
        seed: of what is drawn; equal ones give equal starts.
    """
    draw = torch.Generator().manual_seed(seed)
    copied = training.copied()
    redrawn = _redrawn(copied.patient, draw) if not _is_trained(copied.patient) else ()
    batches = training.plan.batches
    order = torch.randperm(len(batches), generator=draw).tolist()
    plan = replace(copied.plan, batches=[batches[place] for place in order])
    return Start(replace(copied, plan=plan), redrawn)


def _is_trained(patient: Patient) -> bool:
    """Whether its optimiser has stepped, as far as it shows."""
    return any(len(state) for state in patient.optimizer.state.values())


def _redrawn(patient: Patient, draw: torch.Generator) -> tuple[str, ...]:
    """Change the places of the inputs of every matrix whose entries look drawn independently."""
    changed: list[str] = []
    seen: set[int] = set()
    with torch.no_grad():
        for name, one in patient.model.named_parameters():
            if id(one) in seen or not _may_change(one):
                continue
            seen.add(id(one))
            order = torch.randperm(one.shape[1], generator=draw).to(one.device)
            if _stands_out(one, draw):
                continue
            one.copy_(one[:, order])
            changed.append(name)
    return tuple(changed)


def _may_change(one: nn.Parameter) -> bool:
    return one.ndim > 1 and one.shape[1] > 1 and one.is_floating_point() and bool(torch.isfinite(one).all())


def _stands_out(weight: Tensor, draw: torch.Generator) -> bool:
    matrix = weight.detach().reshape(len(weight), -1).float()
    entries = matrix.reshape(-1)
    shuffled = entries[torch.randperm(len(entries), generator=draw).to(entries.device)].reshape(matrix.shape)
    largest = _largest_singular_value(shuffled, draw)
    return _largest_singular_value(matrix, draw) > _STANDS_OUT * largest > 0.0


def _largest_singular_value(matrix: Tensor, draw: torch.Generator) -> float:
    """By power iteration on AᵀA, from below."""
    vector = torch.randn(matrix.shape[1], generator=draw).to(matrix.device)
    for _ in range(_ITERATIONS):
        vector = matrix.T @ (matrix @ vector)
        vector = vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)
    return float((matrix @ vector).norm())
