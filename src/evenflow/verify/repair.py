"""A repair from beginning to end: examined, candidates offered, tried, shown on other starts, told."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.engine import diagnose
from evenflow.doctor.batches import Batch, take_batches
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.examine import device_of, examine, ready
from evenflow.doctor.trial import LossFunction, Plan
from evenflow.errors import EvenflowError, SpecError
from evenflow.prescribe.prescription import Prescription, Training, View
from evenflow.record.store import Store
from evenflow.record.table import Table
from evenflow.spec.setting import Setting
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Custom
from evenflow.verify.outcome import Interrupted, NotKeptError, Outcome
from evenflow.verify.outset import NOTHING, search_for
from evenflow.verify.room import copies
from evenflow.verify.search import Combine, Offer, Search, narrowed
from evenflow.verify.told import outcome_of
from evenflow.verify.trial import Trainee

if TYPE_CHECKING:
    from torch import nn

_EXAMINED = 0.4
"""Share of the time that the doctor's own trial may take."""

_SOME_STEPS = 50
"""Steps from which it says something that next to nothing was learned."""


@dataclass(frozen=True)
class Means:
    """How candidates come about.

    Args:
        offer: gives candidates, the best guess first.
        combine: gives combinations of one with others.
        why_not: says why the remedy of this name is not among them; "" where nothing is to be said.
        named: gives what remedies of these names could do, whether or not a finding asks for them.
        not_offered: reasons, by name, for what a finding asks for and is not among what is offered.
        slips: gives what could be a slip where nothing was found.
        beside: gives what may be wrong besides, for combinations where there are few candidates.
        stuck: gives what could get a training going that learns next to nothing, where nothing was found.
    """

    offer: Offer
    combine: Combine
    why_not: Callable[[View, str], str] = lambda *_: ""
    named: Callable[[View, Sequence[str]], Sequence[Prescription]] = lambda *_: ()
    not_offered: Callable[[View, Sequence[Prescription]], Mapping[str, str]] = lambda *_: {}
    slips: Callable[[View], Sequence[Prescription]] = lambda *_: ()
    stuck: Callable[[View], Sequence[Prescription]] = lambda *_: ()
    beside: Callable[[View], Sequence[Prescription]] = lambda *_: ()


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
        NotKeptError: the store took no more, with the outcome.
    """
    began = time.perf_counter()
    wanted = _checked(budget, only)
    if store is not None and not isinstance(store, Store):
        Store.open(store, "a").close()  # what cannot be a store is said before anything is trained
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
    slips = () if asked else means.slips(view)
    search = search_for(view, metric, clock, room, said, asked or bool(slips))
    if not asked and steps >= _SOME_STEPS and search.metric.learned(search.own) < NOTHING:
        slips = (*slips, *means.stuck(view))
    chosen, reason = None, ""
    try:
        if (asked or slips) and search.has_room:
            said("candidates", 0, 0)
            offered = means.offer(view) if asked else slips
            if wanted:
                names = [word.partition(":")[0] for word in wanted]
                offered = narrowed(offered, wanted) or narrowed(means.named(view, names), wanted)
            else:
                search.withheld = means.not_offered(view, offered)
            chosen = search.run(offered, _with(means, view))
            if not offered and (diagnosis.faults or wanted):
                reason = _nothing_offered(view, means, wanted)
    except KeyboardInterrupt as stopped:
        search.stopped = True
        found = outcome_of(search, None, "stopped by Ctrl-C", time.perf_counter() - began)
        raise Interrupted(found) from stopped
    outcome = outcome_of(search, chosen, reason, time.perf_counter() - began)
    outcome = replace(outcome, function=function)
    if store is not None:
        try:
            _keep(outcome, search, chosen, store)
        except (EvenflowError, OSError, sqlite3.Error) as error:
            raise NotKeptError(f"the outcome could not be kept in the store: {error}", outcome) from error
    return outcome


def _with(means: Means, view: View) -> Combine:
    """Combinations with what is offered, then with what may be wrong besides."""

    def combine(first: Prescription, others: Sequence[Prescription]) -> Iterable[Prescription]:
        yield from means.combine(first, others)
        there = {one.remedy for one in (first, *others)}
        yield from means.combine(first, [one for one in means.beside(view) if one.remedy not in there])

    return combine


def catalogue() -> Means:
    """The remedies that there are."""
    from evenflow.prescribe.candidates import (
        beside,
        candidates,
        named,
        not_offered,
        pairs,
        slips,
        stuck,
    )
    from evenflow.prescribe.catalogue import REMEDIES
    from evenflow.prescribe.withheld import withheld

    def why_not(view: View, name: str) -> str:
        if name not in REMEDIES:
            return "nothing that can be done from outside"
        reasons = (withheld(view, root, name) for root in view.diagnosis.roots)
        return REMEDIES[name].why_not(view) or next(filter(None, reasons), "")

    return Means(candidates, pairs, why_not, named, not_offered, slips, stuck, beside)


def _checked(budget: object, only: object) -> tuple[str, ...]:
    from evenflow.prescribe.catalogue import remedy_named

    if not isinstance(budget, int | float) or isinstance(budget, bool) or not budget > 0:
        raise SpecError(f"budget={budget!r} of fix: give seconds, a number above 0")
    if only is None:
        return ()
    words = (only,) if isinstance(only, str) else only
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise SpecError(f'only={only!r} of fix: give names of remedies, such as ["change_activation"]')
    for word in words:
        remedy_named(word.partition(":")[0])
    return tuple(word.strip().replace("-", "_") for word in words)


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
