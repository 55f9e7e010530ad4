"""The outset of a search: how long its trials are, what the original comes to by itself, what a change has to gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from evenflow.diagnose.twins import CLEARLY, own_trial
from evenflow.prescribe.prescription import View
from evenflow.spec.setting import Setting
from evenflow.verify.comparing import compares
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Custom, Metric, metric_of
from evenflow.verify.randomness import Randomness
from evenflow.verify.search import Search
from evenflow.verify.trial import Trainee

_WITHOUT_A_PROBE = 0.5
"""Of the time of a step with a probe; measured, in case of doubt too high."""
_TRIALS = 4.5
"""Whole trials that a search comes to: 1.5 for a first bracket, 3 for three pairs of half the steps."""
_SHORTEST = 20
NOTHING = 0.25
"""Share of what can be learned below which a training is helped along though no rule has spoken."""
_RISK = 0.10
"""Gain for which a training is changed that is only at risk: what makes a fault one."""


def search_for(
    view: View,
    wanted: Custom | str | None,
    clock: Clock,
    room: int,
    said: Callable[[str, int, int], None],
    asked: bool,
) -> Search:
    """The search, with what is known of the original: from the doctor, or by a trial where it is asked for."""
    setting, training = view.setting, view.training
    kind = setting.output.loss if setting.output is not None else ""
    if not kind and wanted in (None, "score") and compares(training):
        kind = "mse"  # as far as a score is concerned
    metric = metric_of(training.patient, training.plan, kind, wanted)
    steps, per_step = _steps(view, clock.left)
    plan = replace(training.plan, steps=steps)
    view = replace(view, training=replace(training, plan=plan))
    own = _own_value(view, metric, kind, clock.left / 2 if asked else 0.0)
    twins = [one for one in setting.twins if metric.is_score and one.change != "nothing"]
    better = [one for one in twins if 100.0 * (one.score - own.value) >= CLEARLY]
    best = max(better, key=lambda one: one.score, default=None)
    least = metric.least_gain(own.value)
    if not view.diagnosis.faults:
        least = max(least, _RISK if metric.is_score else _RISK * abs(own.value))
    return Search(
        view=view,
        metric=metric,
        own=own.value,
        steps=steps,
        clock=clock,
        reserve=min(3.0 * steps * per_step, 0.4 * clock.left),
        loss_kind=kind,
        twin=math.nan if best is None else best.score,
        least=least,
        room=room,
        said=said,
        extra=own.steps,
        in_need=bool(view.diagnosis.faults) or not metric.learned(own.value) >= NOTHING,
        lost=_is_lost(setting, steps) or bool(own.problem),
    )


def _is_lost(setting: Setting, steps: int) -> bool:
    """Whether the loss of the training as it is was not finite within these steps."""
    doctors = own_trial(setting)
    return doctors is not None and not all(map(math.isfinite, doctors.loss[:steps]))


def doctors_trial(view: View) -> Mapping[str, Any]:
    """What the doctor says of its own trial: steps, planned, seconds, skipped; empty where there was none."""
    found = view.table.runs[0].facts.get("trial")
    return found if isinstance(found, dict) else {}


def _steps(view: View, seconds: float) -> tuple[int, float]:
    """Steps of a whole trial, so that a search is through in time, and seconds that one of them takes."""
    trial = doctors_trial(view)
    done, took = int(trial.get("steps", 1)), float(trial.get("seconds", 0.0))
    planned = view.training.plan.steps
    per_step = _WITHOUT_A_PROBE * took / max(done, 1)
    if per_step <= 0.0:
        return planned, per_step
    return max(min(planned, int(seconds / (_TRIALS * per_step))), min(_SHORTEST, planned)), per_step


def _own_value(view: View, metric: Metric, kind: str, seconds: float) -> Trainee:
    """The original as it stands after these steps: from the doctor's trial where that went as far, else trained."""
    training, steps = view.training, view.training.plan.steps
    doctors = own_trial(view.setting)
    one = Trainee("original", training.copied, metric, Randomness.now(), kind, training.plan.loss)
    if doctors is not None and metric.own is None:
        losses = doctors.loss[:steps]
        lost = not math.isfinite(losses[-1])
        ended = len(losses) == len(doctors.loss) and (len(losses) == steps or lost)
        ended = ended and (lost or not metric.is_score or math.isfinite(doctors.score))
        if ended or (not metric.is_score and len(losses) == steps):
            one.values[0] = metric.of(training.patient, training.plan, losses, doctors.score)
            return one
    if seconds:
        one.advance(steps, seconds=seconds)
    return one
