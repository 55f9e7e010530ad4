"""How a network is trained: optimiser, learning rate, batch, number of steps."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from evenflow.errors import SpecError

_FIRST_RATE = 0.01  # share of the learning rate that a warm-up begins with
_WEIGHT_DECAY = {"sgd": 0.0, "momentum": 0.0, "adam": 0.0, "adamw": 0.01}


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training run, apart from its network, its data and its seed.

    Args:
        optimiser: `sgd`, `momentum` (SGD with momentum), `adam` (β = 0.9, 0.999) or `adamw`.
        learning_rate: above 0, constant through training but for a warm-up.
        batch: samples in a step. A batch larger than the training set means the whole training set.
        steps: number of updates, at least 1.
        momentum: of `momentum` only, 0 ≤ momentum < 1.
        warm_up: steps over which the learning rate grows linearly to its full size, from a hundredth of it; 0 for
            none.
        weight_decay: at least 0. When it is left out: PyTorch's default (0.01 for `adamw`, else 0).

    Raises:
        SpecError: a field is out of its range.
    """

    optimiser: Literal["sgd", "momentum", "adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    batch: int = 128
    steps: int = 400
    momentum: float = 0.9
    warm_up: int = 0
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"learning_rate = {self.learning_rate:g}: it is a finite number above 0")
        if self.batch < 1:
            raise SpecError(f"batch = {self.batch}: a batch has at least 1 sample")
        if self.steps < 1:
            raise SpecError(f"steps = {self.steps}: a training has at least 1 step")
        if not 0 <= self.momentum < 1:
            raise SpecError(f"momentum = {self.momentum:g}: it is at least 0 and below 1")
        if self.warm_up < 0:
            raise SpecError(f"warm_up = {self.warm_up}: it is a number of steps, at least 0")
        if not 0 <= self.decay < math.inf:
            raise SpecError(f"weight_decay = {self.decay:g}: it is a finite number, at least 0")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0, as `torch.optim.lr_scheduler.LinearLR` has it.

        >>> [round(Training(learning_rate=1.0, warm_up=2).rate_at(step), 3) for step in range(4)]
        [0.01, 0.505, 1.0, 1.0]
        """
        if step >= self.warm_up:
            return self.learning_rate
        return self.learning_rate * (_FIRST_RATE + (1 - _FIRST_RATE) * step / self.warm_up)

    @property
    def decay(self) -> float:
        """The weight decay as given, or the default of the optimiser in PyTorch."""
        return _WEIGHT_DECAY[self.optimiser] if self.weight_decay is None else self.weight_decay

    @property
    def plain(self) -> dict[str, object]:
        """Every field as plain data, with the weight decay settled."""
        return msgspec.to_builtins(self) | {"weight_decay": self.decay}
