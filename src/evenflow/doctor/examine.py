"""An examination: a short trial of a copy with a probe, its twins, and all of it in one table."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from msgspec import structs
from torch.optim import Optimizer

from evenflow.doctor.batches import Batch, take_batches
from evenflow.doctor.bystander import Bystander
from evenflow.doctor.copying import Patient, admit, is_lazy, untouched_randomness
from evenflow.doctor.first_pass import with_first_pass
from evenflow.doctor.mended_end import mended_end
from evenflow.doctor.recurrence import has_recurrence, recurrences
from evenflow.doctor.redrawn import drawn_anew
from evenflow.doctor.rescaled import rescaled
from evenflow.doctor.trial import Course, LossFunction, Plan, call, train
from evenflow.doctor.twins import Twins, raise_twins
from evenflow.errors import SpecError
from evenflow.measure.data_facts import input_facts, input_tensors, target_facts
from evenflow.measure.setting import with_optimisers
from evenflow.measure.sites import unwrapped
from evenflow.record.store import Store
from evenflow.record.table import Table
from evenflow.spec.setting import Recurrence, Setting
from evenflow.watch.probe import Probe, ProbeWarning

if TYPE_CHECKING:
    from torch import nn

_TWIN_SECONDS = 12.0
_FACT_SAMPLES = 16_384  # samples, about, that the figures of the inputs are taken of


def examine(
    model: nn.Module,
    data: object,
    loss_fn: LossFunction,
    optimizer: Any = None,
    *,
    steps: int = 200,
    scheduler: Any = None,
    clip_norm: float | None = None,
    seconds: float = 60.0,
    store: str | PathLike[str] | Store | None = None,
    name: str = "doctor",
    said: Callable[[str, int, int], None] = lambda *_: None,
) -> Table:
    """Train a copy of a model for a while, and its twins, and give what was measured; see `doctor` for the arguments.

    Args:
        seconds: that the trial may take; twins have 12 more at most.
        store: a file, or an open store, in which the table is kept too.
        name: of the run.
        said: called as it goes on, with what trains, steps done, and steps in all.

    Raises:
        SpecError: an argument is not what it should be, or the training raises.
        DataError: the data give no batches.
    """
    _check(loss_fn, steps, clip_norm, seconds)
    device = device_of(model)
    with untouched_randomness():
        batches = take_batches(data, steps, device)
        patient = ready(model, optimizer, scheduler, batches)
    targets = _targets(batches)
    plan = Plan(batches, loss_fn, steps, clip_norm, targets.kind if targets else "other")
    with untouched_randomness():
        tried = patient.copied()
        clock = Bystander.of(tried)
        with warnings.catch_warnings(record=True) as said_by_probe:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ProbeWarning)  # kept among the facts of the run
            with Probe(tried.model, stepping(tried, clock), window=dead_window(batches), name=name) as probe:
                course = train(
                    tried,
                    plan,
                    seconds=seconds,
                    probe=probe,
                    clock=clock,
                    loss_kind=lambda: _loss_kind(probe.setting),
                    said=lambda done: said("trial", done, steps),
                )
        if probe.failure is not None:
            raise SpecError(f"the trial could not be recorded: {probe.failure}") from probe.failure
    inputs = tuple(
        input_facts(one, [input_tensors(batch.inputs)[place][1] for batch in _few(batches)])
        for place, (one, _) in enumerate(input_tensors(batches[0].inputs))
    )
    with untouched_randomness():
        through_time = _recurrences(patient, tried, plan, course)
    setting = structs.replace(
        with_optimisers(probe.setting, patient.model, [patient.optimizer]),  # the user's alone
        inputs=inputs,
        target=targets,
        assumed=optimizer is None,
        recurrences=through_time,
    )
    setting = with_first_pass(setting, patient, batches[0])
    twins = raise_twins(
        patient,
        plan,
        course,
        inputs,
        loss_kind=_loss_kind(setting),
        ended=tried,
        end=mended_end(patient, setting, batches),
        drawn=drawn_anew(patient, setting),
        scaled=rescaled(patient, batches[0]),
        seconds=_TWIN_SECONDS,
        said=lambda what: said(what, 0, 0),
    )
    setting = structs.replace(setting, twins=twins.trials)
    table = _table(probe.table, setting, course, twins, [str(one.message) for one in said_by_probe])
    if store is not None:
        _keep(table, store)
    return table


def _check(loss_fn: object, steps: object, clip_norm: object, seconds: float) -> None:
    if isinstance(loss_fn, type):
        raise SpecError(
            f"loss_fn of the doctor: {loss_fn.__name__} is a class; give one of it, such as {loss_fn.__name__}()"
        )
    if not callable(loss_fn):
        raise SpecError(
            f"loss_fn of the doctor: give a function of output and target; type {type(loss_fn).__name__} is none"
        )
    if not _takes_two(loss_fn):
        raise SpecError(
            "loss_fn of the doctor is called with output and target, and does not take two arguments; for a loss of "
            "the output alone give lambda output, target: ..., and (input, None) as batches"
        )
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise SpecError(f"steps={steps!r} of the doctor: give a whole number, 1 or more")
    if clip_norm is not None and not (isinstance(clip_norm, int | float) and clip_norm > 0):
        raise SpecError(f"clip_norm={clip_norm!r} of the doctor: give a number above 0, or leave it out")
    if not seconds > 0:
        raise SpecError(f"seconds={seconds!r} of the doctor: give a number above 0")


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # of a callable without a signature
        pass
    return True


def device_of(model: object) -> torch.device:
    """Where the first parameter is."""
    first = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return torch.device("cpu") if first is None or first.is_meta else first.device


def ready(model: Any, optimizer: Any, scheduler: Any, batches: Sequence[Batch]) -> Patient:
    """A copy at the start of its training; lazy modules have seen a batch."""
    if isinstance(model, torch.nn.Module) and is_lazy(unwrapped(model)):
        if isinstance(optimizer, Optimizer):
            patient = admit(model, optimizer, scheduler)
            _see(patient.model, batches[0])
            return patient
        model = admit(model, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]), None).model
        _see(model, batches[0])
    return admit(model, optimizer, scheduler)


def _see(model: nn.Module, batch: Batch) -> None:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            call(model, batch.copied().inputs)
    except Exception as error:
        raise SpecError(
            f"the model does not take the first batch: {type(error).__name__}: {error}"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def _targets(batches: Sequence[Batch]) -> Any:
    tensors = [input_tensors(batch.target) for batch in _few(batches)]
    return target_facts([found[0][1] for found in tensors]) if tensors and all(tensors) else None


def _few(batches: Sequence[Batch]) -> Sequence[Batch]:
    return batches[: max(_FACT_SAMPLES // _samples(batches[0]), 1)]


def _samples(batch: Batch) -> int:
    return max((len(one) for _, one in input_tensors(batch.inputs) if one.ndim), default=1) or 1


def dead_window(batches: Sequence[Batch]) -> int:
    """Samples for which a unit is silent before it is called dead: those of ten steps, which a short trial has too."""
    return 10 * _samples(batches[0])


def _recurrences(patient: Patient, tried: Patient, plan: Plan, course: Course) -> tuple[Recurrence, ...]:
    """The gradient through time before and after the trial; a trial that ended as NaN has nothing to tell."""
    if not course.losses or not math.isfinite(course.losses[-1]):
        return ()
    fresh = patient.copied()
    if not has_recurrence(fresh.model, plan.batches[0]):
        return ()
    before = recurrences(fresh.model, plan.batches[0], fresh.own(plan.loss))
    after = {
        one.name: one.gradient for one in recurrences(tried.model, plan.batches[0], tried.own(plan.loss))
    }
    return tuple(structs.replace(one, gradient_at_end=after.get(one.name, ())) for one in before)


def _loss_kind(setting: Setting) -> str:
    return setting.output.loss if setting.output is not None else ""


def stepping(patient: Patient, clock: Optimizer | None) -> list[Optimizer]:
    """Those that step something of the model: one of another model, given by mistake, is none of the probe's."""
    own = {id(one) for one in patient.model.parameters()}
    groups = patient.optimizer.param_groups
    steps_it = any(id(one) in own for group in groups for one in group["params"])
    return [*([patient.optimizer] if steps_it else []), *([] if clock is None else [clock])]


def _table(table: Table, setting: Setting, course: Course, twins: Twins, said: list[str]) -> Table:
    facts = setting.to_facts() | {
        "trial": {
            "steps": len(course.losses),
            "planned": course.planned,
            "seconds": round(course.seconds, 3),
            "score": None if math.isnan(course.score) else course.score,
            "chance": None if math.isnan(course.chance) else course.chance,
            "skipped": list(twins.skipped),
            "warnings": said,
        }
    }
    status = "finished" if course.losses and math.isfinite(course.losses[-1]) else "diverged"
    runs = tuple(
        replace(run, facts={**run.facts, **facts}, status=status, steps_done=max(len(course.losses) - 1, 0))
        for run in table.runs
    )
    return Table(runs, table.sites, table.index, table.figures)


def _keep(table: Table, store: str | PathLike[str] | Store) -> None:
    from evenflow.watch.book import free_key

    opened = store if isinstance(store, Store) else Store.open(store, "a")
    try:
        run = table.runs[0]
        number = opened.begin(free_key(opened, run.key), run.seed, run.fields)
        opened.extend(number, table)
        opened.finish(number, run.status, run.facts)
    finally:
        if opened is not store:
            opened.close()
