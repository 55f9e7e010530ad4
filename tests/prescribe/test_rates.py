"""Remedies that change how far a step goes."""

from __future__ import annotations

import math

import pytest
import torch
from changed_trainings import check, examined, run, training_of, view_of
from torch import nn
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
)

from evenflow.prescribe.change_optimiser import REMEDY as OPTIMISER
from evenflow.prescribe.clip_gradients import REMEDY as CLIP
from evenflow.prescribe.lower_learning_rate import REMEDY as LOWER
from evenflow.prescribe.raise_clip_norm import REMEDY as RAISE_NORM
from evenflow.prescribe.raise_learning_rate import REMEDY as RAISE
from evenflow.prescribe.range_test import HIGHER, range_test
from evenflow.prescribe.range_test import LOWER as BELOW
from evenflow.prescribe.rates import rates_of, scaled
from evenflow.prescribe.warm_up import REMEDY as WARM
from evenflow.spec.setting import Setting, Trial

pytestmark = pytest.mark.filterwarnings("ignore:Seems like .optimizer.step")  # of a scheduler that was copied


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def blobs(count: int = 6, classes: int = 3):
    centres = 2.0 * torch.randn(classes, 4)
    found = []
    for _ in range(count):
        target = torch.randint(0, classes, (32,))
        found.append((centres[target] + torch.randn(32, 4), target))
    return found


def net():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def sgd(model: nn.Module, rate: float, **options):
    return torch.optim.SGD(model.parameters(), lr=rate, **options)


def settled(training) -> float:
    return run(training).settled


def test_lower_rates_mend_a_training_that_runs_away():
    model = net()
    training = training_of(model, blobs(), optimizer=sgd(model, 30.0))
    view = examined(training)
    assert math.isnan(settled(training)) or settled(training) > 0.9
    offered = LOWER.forms(view)
    made = check(offered[0], training)
    assert settled(made) < 0.4
    assert f"{rates_of(made.patient.optimizer)[0]:g}" in offered[0].title


def test_without_twins_a_range_test_says_how_far_to_go():
    model = net()
    training = training_of(model, blobs(), optimizer=sgd(model, 300.0))
    first = LOWER.forms(view_of(training))[0]
    assert float(first.choice) == pytest.approx(range_test(training, BELOW).best, rel=0.01)
    assert settled(check(first, training)) < 0.4
    slow = training_of(model, blobs(), optimizer=sgd(model, 1e-6))
    first = RAISE.forms(view_of(slow))[0]
    assert float(first.choice) == pytest.approx(range_test(slow, HIGHER).best, rel=0.01)
    assert settled(check(first, slow)) < 0.4 < 1.0 < settled(slow)


def test_a_twin_that_is_far_worse_speaks_against_it():
    def twins(factor: float, score: float) -> Setting:
        losses = tuple(1.0 - 0.01 * step for step in range(30))
        return Setting(
            twins=(
                Trial(change="nothing", loss=losses, score=0.9, chance=0.3),
                Trial(change="learning_rate", factor=factor, loss=losses, score=score, chance=0.3),
            )
        )

    model = net()
    training = training_of(model, blobs(), optimizer=sgd(model, 0.1))
    worse, better = view_of(training, twins(0.1, 0.5)), view_of(training, twins(0.1, 0.97))
    assert not LOWER.forms(worse)
    assert "40 points worse" in LOWER.why_not(worse)
    assert "7 points better" in LOWER.forms(better)[0].why
    assert not RAISE.forms(view_of(training, twins(10.0, 0.5)))
    assert RAISE.forms(view_of(training, twins(10.0, 0.97)))[0].choice == "10"


@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer: CosineAnnealingLR(optimizer, 20, eta_min=1e-3),
        lambda optimizer: ExponentialLR(optimizer, 0.9),
        lambda optimizer: LambdaLR(optimizer, lambda step: 1 / (1 + step)),
        lambda optimizer: OneCycleLR(optimizer, max_lr=0.2, total_steps=40),
        lambda optimizer: ChainedScheduler([ExponentialLR(optimizer, 0.9), CosineAnnealingLR(optimizer, 20)]),
    ],
    ids=["cosine", "exponential", "lambda", "one cycle", "chained"],
)
def test_a_schedule_is_scaled_at_every_step(schedule):
    model = net()
    optimizer = sgd(model, 0.1)
    training = training_of(model, blobs(), optimizer=optimizer, scheduler=schedule(optimizer))
    form = LOWER.forms(view_of(training))[-1]
    made = check(form, training)
    plain = training.copied().patient
    for _ in range(15):
        assert rates_of(made.patient.optimizer)[0] == pytest.approx(
            float(form.choice) * rates_of(plain.optimizer)[0], rel=1e-2
        )
        for each in (made.patient, plain):
            each.optimizer.step()
            each.scheduler.step()


def test_groups_keep_their_proportions():
    model = net()
    groups = [{"params": model[0].parameters()}, {"params": model[2:].parameters(), "lr": 0.5}]
    training = training_of(model, blobs(), optimizer=torch.optim.SGD(groups, lr=0.1))
    assert rates_of(check(LOWER.forms(view_of(training))[-1], training).patient.optimizer)[
        1
    ] == pytest.approx(5 * rates_of(scaled(training.copied(), 0.01).patient.optimizer)[0])


def test_a_group_that_stands_still_gets_the_rate_of_the_others():
    model = net()
    groups = [{"params": model[:4].parameters(), "lr": 0.0}, {"params": model[4:].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.2)
    training = training_of(model, blobs(), optimizer=optimizer, scheduler=ExponentialLR(optimizer, 0.99))
    (form,) = RAISE.forms(view_of(training))
    made = check(form, training)
    assert form.sign == "moving_weights"
    assert rates_of(made.patient.optimizer) == [0.2, 0.2]
    assert made.patient.scheduler.base_lrs == [0.2, 0.2]


def test_warm_up_saves_a_training_that_its_first_steps_throw_off():
    model = net()
    training = training_of(model, blobs(), optimizer=sgd(model, 1.6, momentum=0.9), steps=100)
    (form,) = WARM.forms(view_of(training))
    made = check(form, training, steps=25)
    rates = []
    for _ in range(12):
        rates += rates_of(made.patient.optimizer)
        made.patient.optimizer.step()
        made.patient.scheduler.step()
    assert rates[0] == pytest.approx(0.016)
    assert rates[10] == rates[11] == pytest.approx(1.6)
    assert sorted(rates) == rates


def test_a_warm_up_goes_in_front_of_a_schedule_or_says_why_not():
    model = net()

    def offered(schedule):
        optimizer = sgd(model, 0.1)
        training = training_of(model, blobs(), optimizer=optimizer, scheduler=schedule(optimizer))
        view = view_of(training)
        return WARM.forms(view), WARM.why_not(view), training

    (form,), reason, training = offered(lambda optimizer: CosineAnnealingLR(optimizer, 20))
    made = check(form, training, steps=30)
    assert reason == ""
    assert rates_of(made.patient.optimizer)[0] == pytest.approx(1e-3)
    assert not offered(ReduceLROnPlateau)[0]
    assert "ReduceLROnPlateau" in offered(ReduceLROnPlateau)[1]
    assert "warms up already" in offered(lambda own: LambdaLR(own, lambda step: min(1, (step + 1) / 20)))[1]


def test_clipping_bounds_what_one_bad_batch_does():
    model = net()
    good = blobs()
    bad = (1000.0 * good[0][0], good[0][1].flip(0))
    training = training_of(model, [*good[1:], bad], optimizer=sgd(model, 0.2))
    view = examined(training)
    forms = {one.choice: one for one in CLIP.forms(view)}
    assert list(forms) == ["norm", "adaptive", "value"]
    after = {name: min(run(check(form, training), 61).losses[6::6]) for name, form in forms.items()}
    assert min(run(training, 61).losses[6::6]) > 0.9
    assert all(loss < 0.6 for loss in after.values()), after


def test_adaptive_clipping_is_what_the_paper_says():
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    weight.grad = torch.tensor([[30.0, 40.0], [0.3, 0.4]])
    from evenflow.prescribe.step_rules import ClipAdaptively, ClipValue

    ClipAdaptively(0.01)(torch.optim.SGD([weight], lr=0.1), (), {})
    # ‖G‖ = 50 against 0.01 · 5; and 0.5 against 0.01 · max(0, 1e-3)
    assert torch.allclose(weight.grad, torch.tensor([[0.03, 0.04], [6e-6, 8e-6]]))
    ClipValue(0.035)(torch.optim.SGD([weight], lr=0.1), (), {})
    assert float(weight.grad.max()) == pytest.approx(0.035)


def test_a_clip_norm_that_cuts_every_step_is_raised():
    model = net()
    training = training_of(model, blobs(), optimizer=sgd(model, 0.1), clip_norm=1e-3)
    view = examined(training)
    higher, none = RAISE_NORM.forms(view)
    assert settled(training) > 1.0
    assert settled(check(higher, training)) < 0.5
    assert settled(check(none, training)) < 0.5
    free = view_of(training_of(model, blobs()))
    assert not RAISE_NORM.forms(free)
    assert "does not clip" in RAISE_NORM.why_not(free)
    assert "norm" not in [one.choice for one in CLIP.forms(view)]  # there is a tighter one


def test_adam_moves_layers_whose_gradients_differ_by_powers_of_ten():
    model = net()
    with torch.no_grad():
        model[4].get_parameter("weight").mul_(1e-3)
    training = training_of(model, blobs(), optimizer=sgd(model, 1e-3), steps=120)
    adam, faster = OPTIMISER.forms(view_of(training))
    assert settled(training) > 1.0
    assert settled(check(adam, training)) < 0.7
    assert settled(check(faster, training)) < 0.5
    assert "Adam(lr=0.001)" in adam.title


def test_a_new_optimiser_keeps_groups_and_their_schedule():
    model = net()
    groups = [
        {"params": model[0].parameters(), "lr": 0.2},
        {"params": model[2:].parameters(), "weight_decay": 0.1},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    schedule = CosineAnnealingLR(optimizer, 20, eta_min=1e-3)
    training = training_of(model, blobs(), optimizer=optimizer, scheduler=schedule)
    first = OPTIMISER.forms(view_of(training))[0]
    assert first.choice == "adamw 0.001"
    made = check(first, training).patient
    assert type(made.optimizer) is torch.optim.AdamW
    assert rates_of(made.optimizer) == pytest.approx([1e-3, 5e-4])
    assert [group["weight_decay"] for group in made.optimizer.param_groups] == [0.0, 0.1]
    for _ in range(20):
        made.optimizer.step()
        made.scheduler.step()
    assert rates_of(made.optimizer) == pytest.approx([5e-6, 5e-6])


def test_gradient_descent_takes_the_place_of_adam():
    model = net()
    training = training_of(model, blobs(), optimizer=torch.optim.Adam(model.parameters(), lr=1e-3, eps=0.0))
    (form,) = OPTIMISER.forms(view_of(training))
    made = check(form, training)
    weights = torch.cat([one.detach().flatten() for one in made.patient.model.parameters()])
    run(made, 1, copy=False)
    moved = torch.cat([one.detach().flatten() for one in made.patient.model.parameters()]) - weights
    assert float(moved.norm() / weights.norm()) == pytest.approx(3e-3, rel=0.5)

    class Own(torch.optim.SGD):
        pass

    own = view_of(training_of(model, blobs(), optimizer=Own(model.parameters(), lr=0.1)))
    assert not OPTIMISER.forms(own)
    assert "not one of torch's own" in OPTIMISER.why_not(own)
