"""What a search has found, put together as an outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator

from evenflow.diagnose.twins import own_trial
from evenflow.prescribe.catalogue import REMEDIES
from evenflow.prescribe.prescription import Training
from evenflow.spec.setting import NAN
from evenflow.verify.outcome import Outcome, Trials, Tried
from evenflow.verify.outset import doctors_trial
from evenflow.verify.pairs import Paired
from evenflow.verify.search import HEAD_START, Search
from evenflow.verify.signs import measured, reading
from evenflow.verify.trial import Trainee
from evenflow.verify.wording import shown_difference, shown_value
from evenflow.wording import plural

_LOOKED_AT = 25
"""Steps of the original that its gradient ratio in the table is taken of, about as many as of a candidate."""

_KNOWN = 0.2
"""Share of what can be learned from which on a model has learned something before it comes here."""
_LITTLE = 0.5
"""Share of what can be learned below which a change that helps is not called enough."""


def outcome_of(search: Search, chosen: Trainee | None, reason: str, seconds: float) -> Outcome:
    """The outcome of a search.

    Args:
        search: as far as it came.
        chosen: what is recommended.
        reason: why nothing is, where that is known; worked out otherwise.
        seconds: that all of it took.
    """
    view = search.view
    paired = _paired(search, chosen)
    table = Trials(_rows(search, chosen, paired), search.metric.name, search.metric.higher)
    examined = int(doctors_trial(view).get("steps", 0))
    healthy = chosen is None and not reason and not view.diagnosis.faults
    given = _changed(search, chosen) if chosen is not None else None
    return Outcome(
        diagnosis=view.diagnosis,
        table=table,
        chosen=None if chosen is None else search.prescription(chosen),
        reason="" if chosen is not None else reason or _reason(search),
        healthy=healthy,
        model=None if given is None else given.patient.model,
        optimizer=None if given is None else given.patient.optimizer,
        scheduler=None if given is None else given.patient.scheduler,
        trained=None if chosen is None or chosen.training is None else chosen.training.patient.model,
        training=given,
        paired=paired,
        reading=None
        if chosen is None
        else reading(search.prescription(chosen).sign, view.table, chosen.looks),
        withheld=search.withheld,
        notes=(
            *_notes(search, paired),
            *_lost(search, chosen),
            *_far_from_it(search, chosen),
            *(_beside(search) if healthy else ()),
        ),
        steps=search.trained + search.extra,
        examined=examined,
        seconds=seconds,
    )


def _changed(search: Search, chosen: Trainee) -> Training:
    """The change carried out on a copy, as it was for the trial."""
    with search.randomness.at_work():
        return search.prescription(chosen).change(search.training.copied())


def _paired(search: Search, chosen: Trainee | None) -> Paired | None:
    """Of what is recommended, else of the last that was tried on other starts."""
    found = [pair for one, pair in search.pairs if chosen is None or one is chosen]
    return found[-1] if found else None


def _rows(search: Search, chosen: Trainee | None, paired: Paired | None) -> tuple[Tried, ...]:
    """The original, then what was tried, the best first."""
    before = search.view.table
    original = Tried(
        name="original",
        title="The training as it is",
        steps=search.steps,
        value=search.own,
        status=_divergence(search),
        ratio=_ratio_of_original(search),
        seconds_per_step=NAN if paired is None else paired.seconds_before,
    )
    order = [*search.finalists()]
    order += [one for one in search.trainees if one not in order]
    rows = [original]
    for one in order:
        prescription = search.prescription(one)
        rows.append(
            Tried(
                name=prescription.name,
                title=prescription.title,
                steps=one.steps,
                value=one.value,
                status=_status(search, one, chosen),
                chosen=one is chosen,
                ratio=measured("gradient_ratio", one.looks[0].table) if one.looks else NAN,
                reading=reading(prescription.sign, before, one.looks) if one.looks else None,
                seconds_per_step=one.seconds_per_step,
                size=prescription.size,
                inference=prescription.inference,
            )
        )
    return tuple(rows)


def _divergence(search: Search) -> str:
    """When the loss of the original was no longer finite; "" where it was to the end."""
    found = own_trial(search.view.setting)
    losses = () if found is None else found.loss[: search.steps]
    bad = next((step for step, loss in enumerate(losses) if not math.isfinite(loss)), None)
    return "" if bad is None else f"its loss is {losses[bad]} at step {bad}"


def _ratio_of_original(search: Search) -> float:
    table = search.view.table
    return (
        measured("gradient_ratio", table.select(step=lambda steps: steps < _LOOKED_AT)) if len(table) else NAN
    )


def _status(search: Search, one: Trainee, chosen: Trainee | None) -> str:
    if one is chosen:
        return "recommended"
    if one in search.statuses:
        return search.statuses[one]
    if one.problem:
        return one.problem if one.steps else f"could not be tried: {one.problem}"
    if not one.steps:
        return "not tried"
    if one.steps < search.steps and (search.hurried or search.stopped):
        return f"tried for {plural(one.steps, 'step')}"
    if one.steps < search.steps:
        return f"left behind after {plural(one.steps, 'step')}"
    return "not better than the original" if search.gain(one) < search.least else "less good"


def _reason(search: Search) -> str:
    """Why nothing is recommended."""
    diagnosis = search.view.diagnosis
    if not search.has_room and diagnosis.faults:
        own = shown_value(search.own, search.metric)
        return (
            f"nothing was tried: {search.metric.name} {own} as it is leaves less to gain than a change has to"
        )
    if not search.trainees and not diagnosis.faults:
        steps, planned = diagnosis.steps, _planned(search)
        cut = f" in the {steps} of {planned} steps that there was time for" if steps < planned // 2 else ""
        return f"nothing needs to change: no fault was found{cut}"
    if search.hurried:
        return (
            "the time was over before a change could be shown to help on other starts; give more with budget=, or "
            "fewer steps"
        )
    best = search.finalists()[:1]
    if not best:
        if not search.trainees:
            return "nothing was tried"
        if len(search.trainees) == 1:
            return "the one change that was tried cannot be trained here"
        return f"none of the {plural(len(search.trainees), 'change')} that were tried can be trained here"
    name = search.prescription(best[0]).name
    if search.pairs:
        found = search.pairs[-1][1]
        name = search.prescription(search.pairs[-1][0]).name
        if found.problem:
            return f"{name} looked better and cannot be trained from another start: {found.problem}"
        if search.statuses.get(search.pairs[-1][0]) == HEAD_START:
            return f"nothing needs to change: no fault was found, and {name} is ahead for {search.steps} steps only"
        return (
            f"{name} looked better on the first start, but on {plural(len(found.before), 'other start')} the "
            f"difference was {shown_difference(found.difference, search.metric)}: no more than chance, or too little"
        )
    count = len(search.trainees)
    own, other = (shown_value(value, search.metric) for value in (search.own, best[0].value))
    tried = (
        "the one change that was tried is no better"
        if count == 1
        else f"none of the {plural(count, 'change')} that were tried is better"
    )
    text = f"{tried}: {search.metric.name} {own} as it is, {other} with {name}"
    if not diagnosis.faults:
        return f"nothing needs to change: no fault was found, and {text}"
    return text


def _notes(search: Search, paired: Paired | None) -> tuple[str, ...]:
    notes: list[str] = []
    planned = _planned(search)
    if search.steps < planned:
        notes.append(
            f"the trials had {search.steps} steps in place of {planned}, for want of time; budget= gives more"
        )
    if search.room < len(search.trainees):
        notes.append(
            f"the memory has room for {plural(search.room, 'copy', 'copies')} in training at a time, so candidates "
            "were tried in smaller groups"
        )
    without = [one for one in _skipped(search) if "of memory" in one]
    if without:
        notes.append(f"the doctor's twins were left out for want of memory ({without[0]})")
    if search.untried:
        notes.append(
            f"{plural(search.untried, 'further candidate')} not needed, or left out for want of time"
        )
    if search.view.setting.assumed:
        notes.append("no optimiser was given; Adam with 0.001 was taken")
    if paired is not None and paired.before and not paired.redrawn:
        notes.append(
            "the weights look trained, so other starts differ in their batches and random numbers only"
        )
    if search.metric.name == "loss" and search.metric.own is None:
        notes.append("outputs and targets have no score, so the loss was what trainings were judged by")
    return tuple(notes)


def _lost(search: Search, chosen: Trainee | None) -> tuple[str, ...]:
    """What a change throws away that the model has learned already."""
    learned = search.metric.learned(search.metric.start) if search.metric.is_score else NAN
    if chosen is None or search.prescription(chosen).keeps_weights or not learned > _KNOWN:
        return ()
    start = shown_value(search.metric.start, search.metric)
    return (f"the model began at {start}; the change draws weights anew, and what they have learned is lost",)


def _far_from_it(search: Search, chosen: Trainee | None) -> tuple[str, ...]:
    """What is to be said of a change that helps and is not enough."""
    if chosen is None or not search.metric.learned(chosen.value) < _LITTLE:
        return ()
    return (
        f"with the change, too, the training has come only {search.metric.learned(chosen.value):.0%} of the way after "
        f"{plural(chosen.steps, 'step')}; give it more steps, or look for what else is wrong",
    )


def _beside(search: Search) -> Iterator[str]:
    """What is no fault, and can be changed if that is wanted."""
    tried = {search.prescription(one).remedy for one in search.trainees}
    for finding in search.view.diagnosis.roots:
        names = [name for name in finding.remedies if name in REMEDIES and name not in tried]
        if finding.severity == "information" and names:
            message = finding.message.rstrip(".")
            yield f"{message}: no fault by itself; only={names[0]} would try to change that"


def _skipped(search: Search) -> list[str]:
    """Twins that the doctor left out, with the reason."""
    return [str(one) for one in doctors_trial(search.view).get("skipped", ())]


def _planned(search: Search) -> int:
    return int(doctors_trial(search.view).get("planned", search.steps))
