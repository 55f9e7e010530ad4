"""Whether a loss that is written by hand compares outputs with targets, asked of itself: is it least where they agree?

Of the losses of torch it is known. Of others, such as the root of a squared error or a relative one, it shows: put the
targets in the place of the outputs, then move them a little and much, up and down, apart and together. Where that
costs something each time, the explained variance says how well such a training answers, whatever its loss counts in;
and a training with another loss can be compared with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.trial import call
from evenflow.errors import EvenflowError
from evenflow.prescribe.prescription import Training

_MOVES = (0.03, 0.3, 1.0, 3.0)
"""Of the targets' deviation, by which the outputs are moved away from them."""


def compares(training: Training) -> bool:
    """Whether the loss of a training is least where the outputs are the targets, which are real numbers."""
    copied = training.copied()
    batch = copied.plan.batches[0].copied()
    target = batch.target
    if not isinstance(target, Tensor) or not target.is_floating_point() or target.numel() < 2:
        return False
    try:
        with untouched_randomness(), torch.no_grad():
            output = call(copied.patient.model, batch.inputs)
            if not isinstance(output, Tensor) or output.numel() != target.numel():
                return False
            return _is_least(training, output, target)
    except (RuntimeError, TypeError, ValueError, IndexError, EvenflowError):
        return False


def _is_least(training: Training, output: Tensor, target: Tensor) -> bool:
    loss_fn = training.loss
    right = target.reshape(output.shape).to(output.dtype)
    spread = float(right.std())
    if not spread > 0.0:
        return False
    lowest = float(loss_fn(right.clone(), target))
    draw = torch.Generator().manual_seed(0)
    for share in _MOVES:
        for sign in (1.0, -1.0):
            noise = torch.randn(right.shape, generator=draw).to(right)
            for away in (torch.ones_like(right), (right - right.mean()) / spread, noise):
                if not float(loss_fn(right + sign * share * spread * away, target)) > lowest:
                    return False
    return True
