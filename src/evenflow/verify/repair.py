"""A repair from beginning to end: examined, candidates offered, tried, shown on other starts, told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.twins import CLEARLY, own_trial
from evenflow.doctor.batches import Batch, take_batches
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.examine import device_of, examine, ready
from evenflow.doctor.trial import LossFunction, Plan
from evenflow.errors import SpecError, suggest
from evenflow.prescribe.prescription import Training, View
from evenflow.record.store import Store
from evenflow.record.table import Table
from evenflow.spec.setting import Setting
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Custom, Metric, metric_of
from evenflow.verify.outcome import Interrupted, Outcome
from evenflow.verify.randomness import Randomness
from evenflow.verify.room import copies
from evenflow.verify.search import Combine, Offer, Search, narrowed
from evenflow.verify.told import outcome_of
from evenflow.verify.trial import Trainee

if TYPE_CHECKING:
    from torch import nn

_EXAMINED = 0.4
"""Share of the time that the doctor's own trial may take."""
_WITHOUT_A_PROBE = 0.5
"""Of the time of a step with a probe; measured, in case of doubt too high."""
_TRIALS = 4.5
"""Whole trials that a search comes to: 1.5 for a first bracket, 3 for three pairs of half the steps."""
_SHORTEST = 20
_RISK = 0.10
"""Gain for which a training is changed that is only at risk: what makes a fault one."""


@dataclass(frozen=True)
class Means:
    """How candidates come about.

    Args:
        offer: gives candidates, the best guess first.
        combine: gives combinations of one with others.
        why_not: says why the remedy of this name is not among them; "" where nothing is to be said.
    """

    offer: Offer
    combine: Combine
    why_not: Callable[[View, str], str] = lambda *_: ""


def repair(
    model: nn.Module,
    data: object,
    loss_fn: LossFunction,
    optimizer: Any = None,
    *,
    steps: int = 200,
    budget: float = 120.0,
    metric: Custom | str | None = None,
    keep_activation: bool = False,
    only: Sequence[str] | None = None,
    scheduler: Any = None,
    clip_norm: float | None = None,
    store: str | PathLike[str] | Store | None = None,
    means: Means | None = None,
    function: Callable[[], Any] | None = None,
    said: Callable[[str, int, int], None] = lambda *_: None,
) -> Outcome:
    """Examine a training, try what could help, and give what does; see `fix` for the arguments.

    Args:
        means: where candidates come from; the catalogue of remedies when left out.
        function: that has made all of this, into whose source the outcome may point.
        said: called as it goes on, with what trains, steps done, and steps in all.

    Raises:
        SpecError: an argument is not what it should be, the training raises, or there is no memory for a copy.
        DataError: the data give no batches.
        Interrupted: Ctrl-C, with what was tried so far.
    """
    began = time.perf_counter()
    wanted = _checked(budget, only)
    clock, room = Clock(budget), copies(model)
    means = means or catalogue()
    with untouched_randomness():
        batches = take_batches(data, steps, device_of(model))
    table = examine(
        model,
        [(batch.inputs, batch.target) for batch in batches],
        loss_fn,
        optimizer,
        steps=steps,
        scheduler=scheduler,
        clip_norm=clip_norm,
        seconds=_EXAMINED * budget,
        store=store,
        said=said,
    )
    diagnosis = diagnose(table)
    with untouched_randomness():
        patient = ready(model, optimizer, scheduler, batches)
    view = _view(patient, batches, loss_fn, table, diagnosis, keep_activation)
    view = replace(view, training=_with_clipping(view.training, clip_norm))
    asked = bool(wanted or diagnosis.faults or any(one.severity == "risk" for one in diagnosis))
    search = _search(view, metric, clock, room, said, asked)
    chosen, reason = None, ""
    try:
        if asked and search.has_room:
            said("candidates", 0, 0)
            offered = means.offer(view)
            if wanted:
                offered = narrowed(offered, wanted)
            chosen = search.run(offered, means.combine)
            reason = "" if offered or not diagnosis.faults else _nothing_offered(view, means, wanted)
    except KeyboardInterrupt as stopped:
        search.stopped = True
        found = outcome_of(search, None, "stopped by Ctrl-C", time.perf_counter() - began)
        raise Interrupted(found) from stopped
    outcome = outcome_of(search, chosen, reason, time.perf_counter() - began)
    outcome = replace(outcome, function=function)
    if store is not None:
        _keep(outcome, search, chosen, store)
    return outcome


def catalogue() -> Means:
    """The remedies that there are."""
    from evenflow.prescribe.candidates import candidates, pairs
    from evenflow.prescribe.catalogue import REMEDIES
    from evenflow.prescribe.withheld import withheld

    def why_not(view: View, name: str) -> str:
        if name not in REMEDIES:
            return "nothing that can be done from outside"
        reasons = (withheld(view, root, name) for root in view.diagnosis.roots)
        return REMEDIES[name].why_not(view) or next(filter(None, reasons), "")

    return Means(candidates, pairs, why_not)


def _checked(budget: object, only: object) -> tuple[str, ...]:
    from evenflow.prescribe.catalogue import REMEDIES

    if not isinstance(budget, int | float) or isinstance(budget, bool) or not budget > 0:
        raise SpecError(f"budget={budget!r} of fix: give seconds, a number above 0")
    if only is None:
        return ()
    words = (only,) if isinstance(only, str) else only
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise SpecError(f'only={only!r} of fix: give names of remedies, such as ["change_activation"]')
    for word in words:
        name = word.partition(":")[0].strip().replace("-", "_")
        if name not in REMEDIES:
            raise SpecError(
                f'only: remedy "{name}" is not known{suggest(name, REMEDIES)}; there are {", ".join(REMEDIES)}'
            )
    return tuple(words)


def _view(
    patient: Patient,
    batches: Sequence[Batch],
    loss_fn: LossFunction,
    table: Table,
    diagnosis: Diagnosis,
    keep_activation: bool,
) -> View:
    facts = table.runs[0].facts
    setting = Setting.from_facts(dict(facts))
    trial = facts["trial"]
    planned = int(trial["planned"]) if isinstance(trial, dict) else len(batches)
    kind = setting.target.kind if setting.target is not None else "other"
    return View(
        training=Training(patient, Plan(batches, loss_fn, planned, None, kind)),
        diagnosis=diagnosis,
        table=table,
        setting=setting,
        keep_activation=keep_activation,
    )


def _with_clipping(training: Training, clip_norm: float | None) -> Training:
    return replace(training, plan=replace(training.plan, clip_norm=clip_norm))


def _search(
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
        twin_of_rate=best is not None and best.change == "learning_rate",
        least=least,
        room=room,
        said=said,
        extra=own.steps,
    )


def _steps(view: View, seconds: float) -> tuple[int, float]:
    """Steps of a whole trial, so that a search is through in time, and seconds that one of them takes."""
    trial = view.table.runs[0].facts["trial"]
    done, took = (int(trial["steps"]), float(trial["seconds"])) if isinstance(trial, dict) else (1, 0.0)
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
        ended = len(losses) == len(doctors.loss) and (len(losses) == steps or not math.isfinite(losses[-1]))
        if ended or (not metric.is_score and len(losses) == steps):
            one.values[0] = metric.of(training.patient, training.plan, losses, doctors.score)
            return one
    if seconds:
        one.advance(steps, seconds=seconds)
    return one


def _nothing_offered(view: View, means: Means, wanted: Sequence[str]) -> str:
    names = wanted or dict.fromkeys(name for found in view.diagnosis for name in found.remedies)
    told = [
        f"{name}: {why}"
        for name in names
        if (why := means.why_not(view, name.partition(":")[0].replace("-", "_")))
    ]
    head = "no remedy can be carried out here"
    return f"{head} ({'; '.join(told)})" if told else head


def _keep(
    outcome: Outcome, search: Search, chosen: Trainee | None, store: str | PathLike[str] | Store
) -> None:
    """The outcome among what the store says of itself, and what a probe saw of the change as a run of its own."""
    from evenflow.watch.book import free_key

    opened = store if isinstance(store, Store) else Store.open(store, "a")
    try:
        before = opened.meta.get("fix", [])
        opened.meta["fix"] = [*(before if isinstance(before, list) else []), outcome.to_dict()]
        if chosen is not None and chosen.looks:
            table = chosen.looks[0].table
            number = opened.begin(free_key(opened, f"fix {search.prescription(chosen).name}"), 0, {})
            opened.extend(number, table)
            opened.finish(number, "finished", table.runs[0].facts)
    finally:
        if opened is not store:
            opened.close()
