"""Gradients that nothing sets to zero: each backward pass adds to them, and a step goes along the sum of all before.

When the first backward pass since the optimiser's last step begins, a gradient is None or zero. Where it still holds
what that step used, the pass adds to it in place: the tensor is the same one, and its version has gone up by one for
each pass. What is cleared later, as in the training of two models in turn, is another tensor or has another version.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

LOOKS = 8
"""Steps after which it is decided."""


def _moves(group: dict[str, Any]) -> bool:
    """Whether a step changes these parameters: what stays as it is goes along no sum, whoever clears it."""
    return group.get("lr", 1.0) != 0.0


class KeptGradients:
    """Looks at one parameter's gradient in the first recorded steps.

    Attributes:
        steps: in how many of them the gradient held that of the steps before; 0 as soon as one did not.
    """

    def __init__(self, model: nn.Module) -> None:
        self.steps = 0
        self._model = model
        self._left = LOOKS
        self._step = 0
        self._held: tuple[nn.Parameter, Tensor, int] | None = None
        self._passes = 0
        self._grew = False

    @property
    def open(self) -> bool:
        """Whether there is more to look at."""
        return self._left > 0

    def begin_backward(self, step: int) -> None:
        """A backward pass begins; the first step is the first to bring any gradient."""
        if step == 0:
            return
        if step != self._step:
            self._step, self._passes = step, 0
            self._held = self._holding()
        self._passes += 1

    def end_backward(self) -> None:
        """It has ended."""
        if self._held is not None:
            parameter, gradient, version = self._held
            self._grew = parameter.grad is gradient and gradient._version == version + self._passes

    def before_step(self, optimiser: Optimizer, step: int) -> None:
        """An optimiser uses what has come together."""
        if step == 0 or step != self._step:
            return
        self._left -= 1
        held, grew = self._held, self._grew
        self._held, self._grew = None, False
        if held is None or not grew:
            self.steps = self._left = 0
        elif any(
            one is held[0] for group in optimiser.param_groups if _moves(group) for one in group["params"]
        ):
            self.steps += 1

    def _holding(self) -> tuple[nn.Parameter, Tensor, int] | None:
        """The last parameter that has a gradient, where this is not zero."""
        for parameter in reversed([*self._model.parameters()]):
            gradient = parameter.grad
            if type(gradient) is Tensor and gradient.layout is torch.strided and not gradient.is_meta:
                return (parameter, gradient, gradient._version) if bool(gradient.any()) else None
        return None
