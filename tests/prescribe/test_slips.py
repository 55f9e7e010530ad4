"""What somebody wrote so: gradients that are kept, schedules that end too early, layers without an activation."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from prescribed_trainings import check, course, named, view_of
from torch import nn
from torch.optim import lr_scheduler

from evenflow.prescribe import add_activation, hold_learning_rate, zero_gradients
from evenflow.prescribe.candidates import slips, stuck
from evenflow.prescribe.prescription import Training


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def scheduled(make, steps: int = 60):
    view = view_of(mlp(), None, "lr_too_low", steps=steps)
    patient = view.training.patient
    scheduler = make(patient.optimizer)
    return replace(view, training=replace(view.training, patient=replace(patient, scheduler=scheduler)))


def rates(training: Training, steps: int) -> list[float]:
    patient = training.copied().patient
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch takes the step of a copy for one of another optimiser
        for _ in range(steps):
            found.append(patient.optimizer.param_groups[0]["lr"])
            patient.optimizer.step()
            patient.scheduler.step()
    return found


@pytest.mark.parametrize(
    ("make", "share"),
    [
        (lambda one: lr_scheduler.ExponentialLR(one, 0.8), (1 - 0.8**60) / 0.2 / 60),
        (lambda one: lr_scheduler.StepLR(one, 5, 0.1), 5 * (1 - 0.1**12) / 0.9 / 60),
        (lambda one: lr_scheduler.LinearLR(one, 1e-6, total_iters=10**5), 30e-5),
    ],
)
def test_a_rate_that_is_scheduled_away_is_held(make, share):
    view = scheduled(make)
    assert hold_learning_rate.share_left(view.training) == pytest.approx(share, rel=0.03)
    assert sum(rates(view.training, 60)) / 60 == pytest.approx(3e-3 * share, rel=0.03)
    one = hold_learning_rate.REMEDY.forms(view)[0]
    changed = one.change(view.training.copied())
    assert rates(changed, 60) == [3e-3] * 60
    copied = view.training.copied().patient
    names = {"optimizer": copied.optimizer}
    exec("\n".join([*one.code().imports, one.code().snippet]), names)
    pasted = replace(view.training, patient=replace(copied, scheduler=names["scheduler"]))
    assert rates(pasted, 60) == [3e-3] * 60


@pytest.mark.parametrize(
    "make",
    [
        lambda one: lr_scheduler.CosineAnnealingLR(one, 60),
        lambda one: lr_scheduler.LinearLR(one, 1.0, 0.0, total_iters=60),
        lambda one: lr_scheduler.OneCycleLR(one, 0.01, total_steps=60),
        lambda one: lr_scheduler.ReduceLROnPlateau(one),
    ],
)
def test_a_schedule_that_fits_its_steps_is_none_of_its_business(make):
    assert "leaves" in hold_learning_rate.REMEDY.why_not(scheduled(make))
    assert not slips(scheduled(make))


def test_a_schedule_that_is_none_or_ends_early_is_told_apart():
    assert hold_learning_rate.REMEDY.why_not(view_of(mlp())) == "the learning rate is not scheduled"
    found = slips(scheduled(lambda one: lr_scheduler.ExponentialLR(one, 0.8)))
    assert [one.name for one in found] == ["hold_learning_rate"]


class Forgetful(torch.optim.SGD):
    """Whose gradients nothing sets to zero."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        pass


def test_gradients_that_are_kept_are_set_to_zero():
    kept = view_of(mlp(), None, "uncleared_gradient", make=lambda one: Forgetful(one.parameters(), 0.05))
    plain = view_of(mlp(), None, make=lambda one: torch.optim.SGD(one.parameters(), 0.05))
    one = zero_gradients.REMEDY.forms(kept)[0]
    changed = one.change(kept.training.copied())
    assert course(kept.training) != course(plain.training)
    assert course(changed) == course(plain.training)  # a copy of the copy keeps the hook
    names = {"optimizer": kept.training.copied().patient.optimizer}
    exec("\n".join([*one.code().imports, one.code().snippet]), names)
    optimizer = names["optimizer"]
    optimizer.param_groups[0]["params"][0].grad = torch.ones(16, 8)
    optimizer.step()
    assert optimizer.param_groups[0]["params"][0].grad is None
    assert not zero_gradients.REMEDY.forms(plain)


def linear(*between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), *between, nn.Linear(32, 32), nn.Identity(), nn.Linear(32, 3))


@pytest.mark.parametrize("between", [(), (nn.BatchNorm1d(32),)])
def test_layers_without_an_activation_get_one_each(between):
    view = view_of(linear(*copy.deepcopy(between)), None, "loss_plateau")
    found = add_activation.REMEDY.forms(view)
    assert [one.choice for one in found] == ["relu", "tanh"]
    changed = check(named(found, "relu"), view)
    order = [type(one).__name__ for one in changed.patient.model.modules() if not list(one.children())]
    norm = ["BatchNorm1d"] * len(between)
    assert order == ["Linear", *norm, "ReLU", "Linear", "ReLU", "Identity", "Linear"]
    assert course(changed, 200)[-1] < 0.6 * course(view.training, 200)[-1]


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (mlp(), "there are activations"),
        (nn.Sequential(nn.Linear(8, 3)), "no two layers"),
        (nn.Sequential(nn.Unflatten(1, (4, 2)), nn.GRU(2, 3, batch_first=True)), "there are activations"),
    ],
)
def test_models_that_are_bent_or_flat_on_purpose_stay(model, word):
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x):
            made = self.inner(x)
            return made if isinstance(made, torch.Tensor) else made[0][:, -1]

    view = view_of(Last(), None, "loss_plateau")
    assert word in add_activation.REMEDY.why_not(view)
    assert not slips(view)


def test_what_learns_nothing_for_no_known_reason_is_tried_with_the_usual():
    names = [one.remedy for one in stuck(view_of(mlp()))]
    assert names[:2] == ["raise_learning_rate", "change_optimiser"]
    assert {"add_normalisation", "reinitialise"} <= set(names)


@pytest.mark.parametrize(("times", "offered"), [(1.0, False), (2.5, True)])
def test_signals_that_grow_on_their_way_are_looked_into_whatever_the_rules_say(times, offered):
    layers: list[nn.Module] = []
    for number in range(8):
        one = nn.Linear(8 if number == 0 else 32, 32)
        nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
        with torch.no_grad():
            one.weight *= times  # 2.5 each: a factor of 150 between the middles of the outer thirds
        layers += [one, nn.ReLU()]
    found = slips(view_of(nn.Sequential(*layers, nn.Linear(32, 3))))
    assert {one.remedy for one in found} >= {"reinitialise", "add_normalisation"} if offered else not found
