"""What a trial is judged by: the score, the loss, or a figure of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.trial import Plan, train
from evenflow.errors import SpecError
from evenflow.spec.setting import NAN

if TYPE_CHECKING:
    from torch import nn

Custom = Callable[["nn.Module", Sequence[tuple[Any, Any]]], float]
"""A figure of the user's own, of the model and the (input, target) batches; more is better."""

_CANNOT_BE_BEATEN = 0.98
"""Score from which on no remedy can be shown to be better: two points are what counts as equal."""
_LEAST_GAIN = 0.02
"""Of the score, or of the loss relative to what it was: less is worth no change."""
_LEAST_EXPLAINED = -1.0
"""R² below this is no better known for being lower: it says that the model is lost."""


@dataclass(frozen=True)
class Metric:
    """How trainings are compared.

    Args:
        name: "accuracy", "explained variance", "loss", or the name of the user's function.
        higher: whether more is better.
        chance: the score of the best constant answer; NaN where there is no score.
        start: of the training as it is, before its first step.
        own: the user's function.
    """

    name: str
    higher: bool = True
    chance: float = NAN
    start: float = NAN
    own: Custom | None = None

    @property
    def is_score(self) -> bool:
        """Whether it is a share of right answers or of explained variance, of which 1 is the best."""
        return not math.isnan(self.chance)

    def merit(self, value: float) -> float:
        """The value, turned so that more is better; −∞ of a NaN."""
        return -math.inf if math.isnan(value) else value if self.higher else -value

    def cannot_be_beaten(self, value: float) -> bool:
        """Whether the value is so good that no remedy can be shown to be better."""
        return self.is_score and value >= _CANNOT_BE_BEATEN

    def learned(self, value: float) -> float:
        """The share of what can be learned, 0 to 1, from chance or the first loss on; NaN where that is not known.

        >>> Metric("accuracy", chance=0.5).learned(0.75), Metric("loss", higher=False, start=2.0).learned(0.5)
        (0.5, 0.75)
        """
        if self.is_score:
            return max((value - self.chance) / (1.0 - self.chance), 0.0) if self.chance < 1.0 else NAN
        if self.name != "loss" or not self.start > 0.0 or value < 0.0:
            return NAN
        return max((self.start - value) / self.start, 0.0)

    def least_gain(self, before: float) -> float:
        """What a remedy has to gain before it is worth a change."""
        return _LEAST_GAIN if self.is_score else _LEAST_GAIN * abs(before)

    def of(self, patient: Patient, plan: Plan, losses: Sequence[float], score: float) -> float:
        """The value of a training as it stands.

        One whose loss is not finite has learned nothing: it counts as a constant answer, or as it was at its start.

        Args:
            patient, plan: of the training.
            losses: at every step so far.
            score: after the last of them.
        """
        lost = bool(losses) and not math.isfinite(losses[-1])
        if self.own is not None:
            return self.start if lost else _asked(self.own, self.name, patient, plan)
        if self.is_score:
            return self.chance if lost or math.isnan(score) else max(score, _LEAST_EXPLAINED)
        if lost:
            return losses[0] if math.isfinite(losses[0]) else self.start
        last = losses[-max(len(losses) // 10, 1) :]
        return sum(last) / len(last) if last else NAN


def metric_of(patient: Patient, plan: Plan, loss_kind: str, wanted: Custom | str | None = None) -> Metric:
    """What the trials of this training can be judged by.

    Args:
        patient, plan: of the original.
        loss_kind: as in `spec.setting.Output`.
        wanted: a function, "loss", or None for the score, and for the loss where there is none.

    Raises:
        SpecError: it is something else.
    """
    if isinstance(wanted, str) and wanted not in ("loss", "score"):
        raise SpecError(
            f'metric="{wanted}" of fix: give "score", "loss", or a function of model and batches that returns a number'
        )
    if wanted is not None and not isinstance(wanted, str) and not callable(wanted):
        raise SpecError(
            f"metric of fix: give a function of model and batches; type {type(wanted).__name__} is none"
        )
    with untouched_randomness():
        copied = patient.copied()
        if callable(wanted):
            name = getattr(wanted, "__name__", type(wanted).__name__)
            return Metric(name, start=_asked(wanted, name, copied, plan), own=wanted)
        before = train(copied, replace(plan, steps=0), loss_kind=lambda: loss_kind)
        if not math.isnan(before.chance) and wanted != "loss":
            name = "accuracy" if before.chance > 0.0 else "explained variance"
            return Metric(name, chance=before.chance, start=before.score)
        if wanted == "score":
            raise SpecError(
                'metric="score" of fix: these outputs and targets have neither right answers nor an explained '
                'variance; take "loss", or give a function of model and batches'
            )
        first = train(patient.copied(), replace(plan, steps=1)).losses
    return Metric("loss", higher=False, start=first[0])


def _asked(own: Custom, name: str, patient: Patient, plan: Plan) -> float:
    model = patient.model
    modes = {module: module.training for module in model.modules()}
    model.eval()
    batches = [(batch.inputs, batch.target) for batch in (kept.copied() for kept in plan.batches)]
    try:
        with torch.no_grad():
            return float(own(model, batches))
    except Exception as error:
        raise SpecError(
            f"metric {name} of fix raises {type(error).__name__}: {error}; it is called with a model and a list of "
            "(input, target) batches, and returns a number of which more is better"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
