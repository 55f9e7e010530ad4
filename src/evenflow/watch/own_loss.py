"""The loss of a training that hands its probe none: the scalar that its backward pass begins at.

As soon as one is handed over, that counts, and nothing is listened to any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.optim import Optimizer

from evenflow.measure import clock
from evenflow.watch.losses import Losses

if TYPE_CHECKING:
    from evenflow.measure.recorder import Recorder


class OwnLoss:
    """Finds the loss of each recorded step by itself, and tells the recorder before the step is over.

    Args:
        recorder: attached after this, since watchers of the clock are told in the order in which they came.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._losses = Losses(self._heard)
        self._listens = False
        recorder.stopped.append(self.detach)

    def attach(self) -> None:
        """Begin to listen."""
        if not self._listens and self._recorder.failure is None:
            self._listens = True
            self._losses.attach()
            clock.watch(self)

    def detach(self) -> None:
        """Listen no more."""
        if self._listens:
            self._listens = False
            self._losses.detach()
            clock.unwatch(self)

    def _heard(self, loss: Tensor) -> None:
        if self._recorder.on:
            self._recorder.heard(loss)

    def before_step(self, optimiser: Optimizer, closure: bool) -> None:  # noqa: ARG002 - the clock tells it
        self._losses.closure = closure

    def after_step(self, optimiser: Optimizer, closure: bool) -> None:  # noqa: ARG002
        self._losses.closure = False
        loss = self._losses.taken(optimiser)
        if loss is not None and self._recorder.on:
            self._recorder.found_loss(loss)

    def unscaled(self, optimiser: Optimizer, scale: float) -> None:
        """What a GradScaler multiplies is counted as it was before."""

    def skipped(self, optimiser: Optimizer) -> None:
        """A step that a loss scale has left out has a loss like any other."""
        self.after_step(optimiser, False)
