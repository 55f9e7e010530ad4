"""Another optimiser: Adam in place of plain gradient descent, or the other way round.

Adam divides by the root mean square of each entry's gradients, so that a step has the same size in layers whose
gradients differ by powers of ten (Kingma & Ba, 2015). Gradient descent has no such memory, which matters where it is
the memory that went wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.optim import Optimizer

from evenflow.prescribe.gradient_norms import after_first_backward
from evenflow.prescribe.prescription import Code, Prescription, Remedy, Training, View
from evenflow.prescribe.printing import source_of
from evenflow.prescribe.rates import largest_rate, shown
from evenflow.prescribe.reasons import answered

ADAPTIVE = (
    "Adam",
    "AdamW",
    "RMSprop",
    "NAdam",
    "RAdam",
    "Adamax",
    "Adagrad",
    "Adadelta",
    "Lion",
    "Adafactor",
)
ADAM_RATES = (1e-3, 3e-3)
"""Of Adam where the network is wide and deep, or small: its authors' own, and three times as much."""
DESCENT = 3e-3
"""‖Δw‖ / ‖w‖ of the first step of gradient descent; momentum makes it ten times as much before long."""
MOMENTUM = 0.9
THROWN = ("lr_too_high", "nonfinite_origin", "exploding_gradient")
"""What the memory of an optimiser can be the reason of."""


def forms(view: View) -> Sequence[Prescription]:
    """Adam and AdamW for gradient descent, gradient descent with momentum for the others."""
    if why_not(view):
        return ()
    training = view.training
    if type(training.patient.optimizer).__name__ not in ADAPTIVE:
        kind = "AdamW" if _decays(training) else "Adam"
        return [_adaptive(view, kind, rate) for rate in ADAM_RATES]
    rate = descent_rate(training)
    return [_descent(view, rate)] if math.isfinite(rate) else []


def why_not(view: View) -> str:
    """Complex numbers, sparse gradients, or an optimiser that is none of torch's own."""
    optimizer = view.training.patient.optimizer
    name = type(optimizer).__name__
    if name not in (*ADAPTIVE, "SGD", "ASGD", "Rprop"):
        return f"{name} is not one of torch's own optimisers, and may do what others do not"
    if not any(group["params"] for group in optimizer.param_groups):
        return "the optimiser has no parameters"
    return ""


def _decays(training: Training) -> bool:
    return any(group.get("weight_decay") for group in training.patient.optimizer.param_groups)


def _adaptive(view: View, kind: str, rate: float) -> Prescription:
    own = type(view.training.patient.optimizer).__name__
    now = largest_rate(view.training)
    return _form(
        view,
        kind,
        rate,
        {},
        f"{own} takes steps as unequal as the gradients of its layers are; {kind} divides by each entry's own root "
        f"mean square, so that all of them move by about {shown(rate)} a step (now {own} with {shown(now)})",
    )


def _descent(view: View, rate: float) -> Prescription:
    own = type(view.training.patient.optimizer).__name__
    return _form(
        view,
        "SGD",
        rate,
        {"momentum": MOMENTUM},
        f"{own} divides by a running mean of squared gradients, which is next to 0 where gradients are, and outlasts "
        f"those that are huge; gradient descent keeps none, and at {shown(rate)} its first step changes the weights by "
        f"{100 * DESCENT:g} %",
    )


def _form(view: View, kind: str, rate: float, options: dict[str, Any], why: str) -> Prescription:
    shown_options = "".join(f", {name}={value!r}" for name, value in options.items())
    own = type(view.training.patient.optimizer).__name__
    finding = answered(view, REMEDY.answers)
    return Prescription(
        remedy="change_optimiser",
        choice=f"{kind.lower()} {shown(rate)}",
        title=f"Use {kind}(lr={shown(rate)}{shown_options}) in place of {own}",
        why=why,
        sign="smaller_updates" if finding is not None and finding.rule in THROWN else "larger_updates",
        change=lambda training: exchanged(training, kind, rate, options),
        code=lambda: _code(view.training, kind, rate, options),
        size=2,
    )


def exchanged(training: Training, kind: str, rate: float, options: dict[str, Any]) -> Training:
    """The same training with another optimiser, whose groups stand to each other as those of the old one."""
    patient = training.patient
    optimizer = regrouped(patient.optimizer, getattr(torch.optim, kind), rate, options)
    if patient.scheduler is not None:
        rebind(patient.scheduler, patient.optimizer, optimizer)
    return replace(training, patient=replace(patient, optimizer=optimizer))


def regrouped(old: Any, kind: Any, rate: float, options: dict[str, Any]) -> Any:
    """Another optimiser with the groups of an old one, the largest learning rate `rate`, the others in proportion."""
    largest = max(float(group.get("initial_lr", group["lr"])) for group in old.param_groups) or 1.0
    groups = []
    for group in old.param_groups:
        part = float(group.get("initial_lr", group["lr"])) / largest
        kept = {"params": group["params"], "lr": rate * part, "weight_decay": group.get("weight_decay", 0.0)}
        if "param_names" in group:
            names = zip(group["param_names"], group["params"], strict=True)
            kept["params"] = list(names)
        groups.append(kept)
    return kind(groups, lr=rate, **options)


def rebind(scheduler: Any, old: Any, new: Any) -> None:
    """Let a scheduler go on with another optimiser, from where it stands, by the proportion of their rates."""
    for group, other in zip(old.param_groups, new.param_groups, strict=True):
        base = float(group.get("initial_lr", group["lr"]))
        factor = float(other["lr"]) / base if base else 1.0
        for name in ("lr", "initial_lr", "max_lr", "min_lr"):
            if name in group:
                other[name] = group[name] * factor
    factor = max(float(group["lr"]) for group in new.param_groups) / max(
        max(float(group["lr"]) for group in old.param_groups), 1e-30
    )
    for one in (scheduler, *getattr(scheduler, "_schedulers", ())):
        one.optimizer = new
        for name in ("base_lrs", "max_lrs", "min_lrs", "_last_lr"):
            if hasattr(one, name):
                setattr(one, name, [rate * factor for rate in getattr(one, name)])
        if hasattr(one, "eta_min"):
            one.eta_min = one.eta_min * factor


def _code(training: Training, kind: str, rate: float, options: dict[str, Any]) -> Code:
    optimizer, scheduler = training.patient.optimizer, training.patient.scheduler
    shown_options = "".join(f", {name}={value!r}" for name, value in options.items())
    place = "in place of the line that makes the optimizer"
    if (
        scheduler is None
        and len(optimizer.param_groups) == 1
        and "param_names" not in optimizer.param_groups[0]
    ):
        decay = optimizer.param_groups[0].get("weight_decay", 0.0)
        if decay:
            shown_options += f", weight_decay={decay!r}"
        own = optimizer.param_groups[0]["params"]
        model = list(training.patient.model.parameters())
        every = len(own) == len(model) and all(a is b for a, b in zip(own, model, strict=True))
        what = "model.parameters()" if every else 'optimizer.param_groups[0]["params"]'
        return Code(
            f"optimizer = torch.optim.{kind}({what}, lr={rate!r}{shown_options})\n", place, ("import torch",)
        )
    text = source_of(regrouped)
    lines = [f"new = regrouped(optimizer, torch.optim.{kind}, {rate!r}, {options!r})"]
    if scheduler is not None:
        text = source_of(regrouped, rebind)
        lines.append("rebind(scheduler, optimizer, new)  # or make the scheduler of the new optimizer")
    lines.append("optimizer = new")
    return Code(f"{text}\n\n" + "\n".join(lines) + "\n", place, ("from typing import Any", "import torch"))


def descent_rate(training: Training) -> float:
    """η with η ‖g‖ = 0.003 ‖w‖ at the first batch; NaN where there is no gradient."""
    copied = after_first_backward(training)
    if copied is None:
        return math.nan
    pairs = [(one, one.grad) for one in _stepped(copied.patient.optimizer) if one.grad is not None]
    weights = math.sqrt(sum(float(one.detach().double().square().sum()) for one, _ in pairs))
    slopes = math.sqrt(sum(float(grad.detach().double().square().sum()) for _, grad in pairs))
    rate = DESCENT * weights / slopes if slopes > 0.0 else math.nan
    return float(f"{rate:.1g}") if math.isfinite(rate) and rate > 0.0 else math.nan


def _stepped(optimizer: Optimizer) -> list[torch.nn.Parameter]:
    return [one for group in optimizer.param_groups for one in group["params"]]


REMEDY = Remedy(
    name="change_optimiser",
    title="Use another optimiser",
    answers=("lr_too_low", "lr_too_high", "vanishing_gradient"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Where the gradients of layers differ by powers of ten, one learning rate of gradient descent is too high for "
        "some and too low for others; Adam gives each entry steps of about the learning rate. It cannot bring back a "
        "gradient that is exactly 0. Gradient descent is the simpler one where Adam's running means are what spoils "
        "a training: ε that 16 bits round to 0, or rare gradients that are huge."
    ),
)
