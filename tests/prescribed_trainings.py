"""Small trainings for the remedies: a view of one, a change and its printed code side by side, and short training."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.finding import Finding
from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient
from evenflow.doctor.trial import Plan, train
from evenflow.prescribe.prescription import Prescription, Training, View
from evenflow.record.table import Table
from evenflow.spec.setting import Output, Setting

Make = Callable[[nn.Module], torch.optim.Optimizer]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 3e-3)


def classes(features: int = 8, batch: int = 32, count: int = 4, shape: Sequence[int] = ()) -> list[Batch]:
    """Batches of three classes that a bent line parts."""
    draw = torch.Generator().manual_seed(1)
    found = []
    for _ in range(count):
        inputs = torch.randn(batch, features, generator=draw)
        target = (inputs[:, 0] * inputs[:, 1] > 0).long() + (inputs[:, 2] > 0.3).long()
        found.append(Batch(inputs.reshape(batch, *shape) if shape else inputs, target))
    return found


def view_of(
    model: nn.Module,
    batches: Sequence[Batch] | None = None,
    *rules: str,
    make: Make = adam,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    output: Output | None = None,
    keep_activation: bool = False,
    steps: int = 60,
    setting: Setting | None = None,
) -> View:
    """A view of a training with findings of these rules."""
    plan = Plan(batches or classes(), loss, steps, target="classes")
    findings = tuple(Finding(rule, "EF", "fault", 1.0, (), 0, {}, f"a message of {rule}") for rule in rules)
    return View(
        Training(Patient(model, make(model)), plan),
        Diagnosis(findings, judged=rules),
        _NO_TABLE,
        setting or Setting(output=output),
        keep_activation,
    )


_NO_TABLE = Table.from_rows([], [])


def course(training: Training, steps: int = 60) -> tuple[float, ...]:
    """The losses of a short training of a copy."""
    torch.manual_seed(3)
    return train(training.copied().patient, Plan(training.plan.batches, training.plan.loss, steps)).losses


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in model.state_dict().items()}


def pasted(prescription: Prescription, view: View, make: Make = adam) -> Training:
    """The training that a user has who pastes the code behind the lines that make the model."""
    code = prescription.code()
    model = view.training.copied().patient.model
    plan = view.training.plan
    names = {
        "model": model,
        "loss_fn": plan.loss,
        "batches": [(one.inputs, one.target) for one in plan.batches],
    }
    if "optimiser is made" in code.place and "behind" in code.place:
        names["optimizer"] = make(model)
    text = "\n".join(code.imports) + "\n" + code.snippet
    exec(compile(text, "<pasted>", "exec", dont_inherit=True), names)
    changed = names["model"]
    optimizer = names.get("optimizer") or make(changed)
    return Training(Patient(changed, optimizer), Plan(plan.batches, names["loss_fn"], plan.steps))


def check(prescription: Prescription, view: View, make: Make = adam, steps: int = 5) -> Any:
    """Carry a prescription out; the original stays as it is, and the printed code does the same to the bit."""
    original = view.training.patient
    before, random_state = state(original.model), (torch.get_rng_state(), random.getstate())
    types = [(name, type(one)) for name, one in original.model.named_modules()]
    groups = [[id(one) for one in group["params"]] for group in original.optimizer.param_groups]
    changed = prescription.change(view.training.copied())
    assert torch.equal(torch.get_rng_state(), random_state[0])
    assert random.getstate() == random_state[1]
    after = state(original.model)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], one) for name, one in before.items())
    assert [(name, type(one)) for name, one in original.model.named_modules()] == types
    assert [[id(one) for one in group["params"]] for group in original.optimizer.param_groups] == groups
    held = {id(one) for group in changed.patient.optimizer.param_groups for one in group["params"]}
    assert held <= {id(one) for one in changed.patient.model.parameters()}
    by_hand = pasted(prescription, view, make)
    mine, theirs = state(changed.patient.model), state(by_hand.patient.model)
    assert list(mine) == list(theirs)
    assert all(torch.equal(one, theirs[name]) for name, one in mine.items())
    assert course(changed, steps) == course(by_hand, steps)
    assert prescription.title
    assert prescription.why
    return changed


def named(prescriptions: Sequence[Prescription], choice: str) -> Any:
    return next(one for one in prescriptions if one.choice == choice)
