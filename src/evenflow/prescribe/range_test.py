"""The learning rate range test: the rate is raised exponentially from step to step, and the loss says how far it bears.

At step i of n the rate is η_0 (η_n / η_0)^(i/n). The loss falls faster as the rate grows, comes to its lowest and runs
away. The largest rate that is of use lies before the lowest point, and a tenth of the rate at which the loss is lowest
is a safe one (Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.trial import call
from evenflow.errors import EvenflowError
from evenflow.prescribe.prescription import Training

STEPS = 60
LOWER, HIGHER = (1e-6, 1.0), (1.0, 1e7)
"""Factors of the rate at the first and at the last step: where it is too high, and where it is too low."""
SMOOTHED = 0.7
"""Share that the running mean of the loss keeps from step to step."""
RUN_AWAY = 2.0
"""Times the lowest loss, above the first too, at which the test ends."""
SAFE = 0.1
"""Of the rate at which the loss was lowest."""
FELL = 0.98
"""Lowest loss over the first at most, for the test to say anything."""


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Args:
        factors: of the learning rate, step by step.
        losses: running mean of the loss, bias-corrected, at each.
    """

    factors: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def best(self) -> float:
        """The factor that the test advises; NaN where the loss did not fall at any.

        >>> RangeTest((0.1, 1.0, 10.0, 100.0), (2.0, 1.5, 1.0, 9.0)).best
        1.0
        """
        if not self.losses:
            return math.nan
        place = min(range(len(self.losses)), key=self.losses.__getitem__)
        fell = self.losses[place] < FELL * self.losses[0]
        return SAFE * self.factors[place] if fell else math.nan


def range_test(training: Training, between: tuple[float, float], *, steps: int = STEPS) -> RangeTest:
    """Train a copy with a rate that grows at every step; the training itself stays as it is.

    Args:
        training: at its start.
        between: factors of the rate at the first and at the last step.
        steps: at most; it ends when the loss has run away.
    """
    patient = training.patient.copied()
    model, optimizer, batches = patient.model, patient.optimizer, training.plan.batches
    loss_fn = patient.own(training.plan.loss)
    rates = [group.get("lr", 0.0) for group in optimizer.param_groups]
    lowest, highest = between
    factors: list[float] = []
    losses: list[float] = []
    mean = 0.0
    with untouched_randomness(), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        model.train()
        for step in range(steps):
            factor = lowest * (highest / lowest) ** (step / max(steps - 1, 1))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            batch = batches[step % len(batches)].copied()
            try:
                loss = loss_fn(call(model, batch.inputs), batch.target)
                optimizer.zero_grad()
                loss.backward()
                if training.plan.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), training.plan.clip_norm)
                optimizer.step()
            except (RuntimeError, TypeError, ValueError, EvenflowError):
                break  # a model that raises on large numbers has been driven far enough
            value = float(loss.detach())
            if not math.isfinite(value):
                break
            mean = SMOOTHED * mean + (1.0 - SMOOTHED) * value
            factors.append(factor)
            losses.append(mean / (1.0 - SMOOTHED ** (step + 1)))
            if _ran_away(losses):
                break
    return RangeTest(tuple(factors), tuple(losses))


def _ran_away(losses: Sequence[float]) -> bool:
    lowest = min(losses)
    return losses[-1] > losses[0] + (RUN_AWAY - 1.0) * abs(lowest) and losses[-1] > RUN_AWAY * lowest
