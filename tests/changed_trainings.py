"""Small trainings for remedies: what a view of one is, what its code does when pasted, how it trains."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.engine import diagnose
from evenflow.doctor.batches import Batch, take_batches
from evenflow.doctor.copying import Patient, untouched_randomness
from evenflow.doctor.examine import examine
from evenflow.doctor.trial import Course, Plan, train
from evenflow.prescribe.prescription import Code, Prescription, Training, View
from evenflow.record.table import Table
from evenflow.spec.setting import Setting


def training_of(
    model: nn.Module,
    data: Any,
    loss: Any = nn.functional.cross_entropy,
    optimizer: Any = None,
    *,
    scheduler: Any = None,
    clip_norm: float | None = None,
    steps: int = 60,
    target: str = "classes",
) -> Training:
    """A training as a remedy gets it, its model and optimiser the ones given."""
    chosen = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    batches = take_batches(data, steps, torch.device("cpu"))
    return Training(Patient(model, chosen, scheduler), Plan(batches, loss, steps, clip_norm, target))


def view_of(
    training: Training, setting: Setting | None = None, *, table: Table | None = None, keep: bool = False
) -> View:
    """A view without findings: of this setting, or of what is in a table."""
    table = table or Table.from_rows([], [])
    return View(training, Diagnosis(), table, setting or Setting(), keep)


def examined(training: Training, *, keep: bool = False) -> View:
    """A view of what the doctor says of a training."""
    patient, plan = training.patient, training.plan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = examine(
            patient.model,
            [(one.inputs, one.target) for one in plan.batches],
            plan.loss,
            patient.optimizer,
            steps=plan.steps,
            scheduler=patient.scheduler,
            clip_norm=plan.clip_norm,
        )
    return View(training, diagnose(table), table, Setting.from_facts(dict(table.runs[0].facts)), keep)


def run(training: Training, steps: int | None = None, *, copy: bool = True) -> Course:
    """Train a copy, or this one, always with the same random numbers."""
    copied = training.copied() if copy else training
    with untouched_randomness(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(7)
        return train(copied.patient, _plan(copied.plan, steps))


def _plan(plan: Plan, steps: int | None) -> Plan:
    return plan if steps is None else Plan(plan.batches, plan.loss, steps, plan.clip_norm, plan.target)


def changed(prescription: Prescription, training: Training) -> Training:
    """A copy, changed; the original is checked to be as it was, to the bit."""
    before = state(training)
    with untouched_randomness():
        torch.manual_seed(5)
        made = prescription.change(training.copied())
    assert equal(before, state(training)), f"{prescription.name} has changed the original"
    return made


def pasted(code: Code, training: Training) -> Training:
    """What a copy becomes when the code is executed on it."""
    copied = training.copied()
    patient, plan = copied.patient, copied.plan
    names: dict[str, Any] = {
        "model": patient.model,
        "optimizer": patient.optimizer,
        "scheduler": patient.scheduler,
        "loss_fn": plan.loss,
        "batches": [(one.inputs, one.target) for one in plan.batches],
        "clip_norm": plan.clip_norm,
    }
    with untouched_randomness():
        torch.manual_seed(5)
        exec("\n".join((*code.imports, code.snippet)), names)
    batches = [Batch(*pair) for pair in names["batches"]]
    return Training(
        Patient(names["model"], names["optimizer"], names["scheduler"]),
        Plan(batches, names["loss_fn"], plan.steps, names["clip_norm"], plan.target),
    )


def state(training: Training) -> list[Tensor]:
    """All numbers of a model and its optimiser."""
    patient = training.patient
    found = [one.detach().clone() for one in (*patient.model.parameters(), *patient.model.buffers())]
    for group in patient.optimizer.param_groups:
        found += [
            torch.tensor(float(group[key])) for key in sorted(group) if isinstance(group[key], float | int)
        ]
        found.append(torch.tensor(float(len(group["params"]))))
    for held in patient.optimizer.state.values():
        found += [value.clone() for value in held.values() if isinstance(value, Tensor)]
    found += [torch.tensor(float(one.requires_grad)) for one in patient.model.parameters()]
    return found


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether all are the same to the bit."""
    return len(one) == len(other) and all(
        a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.nan_to_num(-7.0), b.nan_to_num(-7.0))
        for a, b in zip(one, other, strict=True)
    )


def check(prescription: Prescription, training: Training, steps: int = 12) -> Training:
    """The changed copy, after its code was seen to make the same model and the same losses, to the bit."""
    made = changed(prescription, training)
    written = pasted(prescription.code(), training)
    assert equal(state(made), state(written)), f"{prescription.name}: the code makes another training"
    first, second = (
        run(made, steps),
        run(written, steps, copy=False),
    )  # hooks of one's own are left behind by copies
    assert repr(first.losses) == repr(second.losses), f"{prescription.name}: the code trains differently"
    assert equal(state(made), state(made.copied())), f"{prescription.name}: a copy is not the same"
    assert prescription.title
    assert prescription.why
    return made
