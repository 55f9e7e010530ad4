"""What is done to gradients around a step: clipped by value, or by the size of the weights, or set to zero behind it.

All are plain hooks of the optimiser (`register_step_pre_hook`), so that no line of a training loop changes. A copy
of an optimiser leaves its hooks behind; `carried` puts those of this module onto the copy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer


class ClipValue:
    """Cut every entry of every gradient off at ± `limit`, before each step."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, optimizer: Any, *_: Any) -> None:
        for group in optimizer.param_groups:
            found = [one for one in group["params"] if one.grad is not None]
            if found:
                torch.nn.utils.clip_grad_value_(found, self.limit)


class ClipAdaptively:
    """Scale a unit's gradient down to `share` of the norm of the unit's weights, before each step.

    Brock et al. (2021), "High-Performance Large-Scale Image Recognition Without Normalization", equation 3, with the
    norm of a weight taken as 0.001 at the least.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, optimizer: Any, *_: Any) -> None:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is None or weight.grad.is_sparse:
                    continue
                axes = tuple(range(1, weight.ndim)) or None
                size = torch.linalg.vector_norm(weight.detach(), dim=axes, keepdim=True).clamp_min(1e-3)
                length = torch.linalg.vector_norm(weight.grad, dim=axes, keepdim=True)
                weight.grad.mul_((self.share * size / length.clamp_min(1e-12)).clamp_max(1.0))


def cleared(optimizer: Any, *_: Any) -> None:
    """Set the gradients to zero, whatever the optimiser's own `zero_grad` does."""
    Optimizer.zero_grad(optimizer)


def carried(optimizer: Optimizer, copy: Optimizer) -> Optimizer:
    """A copy of an optimiser with the rules of this module that the original has."""
    for rule in optimizer._optimizer_step_pre_hooks.values():
        if isinstance(rule, ClipValue | ClipAdaptively):
            copy.register_step_pre_hook(rule)
    if cleared in optimizer._optimizer_step_post_hooks.values():
        copy.register_step_post_hook(cleared)
    return copy
