"""A training that goes on in legs: equal starts, equal batches, equal random numbers."""

from __future__ import annotations

import math

import pytest
import torch
from examined_trainings import mlp
from torch import nn
from verify_trainings import BROKEN, NOTHING, RELU, WILD, other_loss, sigmoids, training

from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.trial import train
from evenflow.prescribe.guard_operation import guarded
from evenflow.verify.metric import Metric, metric_of
from evenflow.verify.randomness import Randomness
from evenflow.verify.trial import Trainee

SCORE = Metric("accuracy", chance=0.1)


def dropping() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))


def trainee(given, change=NOTHING.change, metric=SCORE):
    return Trainee(
        "one", lambda: change(given.copied()), metric, Randomness.now(), "cross_entropy", given.plan.loss
    )


def test_legs_are_bit_for_bit_one_training_with_a_probe_and_without():
    given = training(dropping(), steps=30)
    with untouched_randomness():
        copied = given.copied()
        whole = train(copied.patient, copied.plan, loss_kind=lambda: "cross_entropy")
    one = trainee(given)
    one.advance(11, look=True)
    one.advance(24)
    torch.rand(5)  # what happens between the legs draws from numbers of its own
    one.advance(30)
    assert tuple(one.losses) == whole.losses
    assert one.value == whole.score
    assert one.training is not None
    for mine, other in zip(
        one.training.patient.model.parameters(), copied.patient.model.parameters(), strict=True
    ):
        assert torch.equal(mine, other)


def test_another_order_of_batches_would_be_seen():
    given = training(dropping(), steps=30)
    one, other = trainee(given), trainee(given)
    one.advance(20)
    other.advance(10)
    assert other.training is not None
    batches = other.training.plan.batches
    assert isinstance(batches, list)
    batches.reverse()
    other.advance(20)
    assert one.losses[:10] == other.losses[:10]
    assert one.losses[10:] != other.losses[10:]


def test_the_original_and_the_users_random_numbers_stay_as_they_are():
    given = training(dropping())
    before = [one.clone() for one in given.patient.model.state_dict().values()]
    state = torch.get_rng_state()
    one = trainee(given, RELU.change)
    one.advance(5)
    assert all(
        torch.equal(old, new)
        for old, new in zip(before, given.patient.model.state_dict().values(), strict=True)
    )
    assert not given.patient.optimizer.state
    assert torch.equal(state, torch.get_rng_state())


def test_one_that_diverges_is_out_and_counts_as_a_constant_answer():
    one = trainee(training(sigmoids()), WILD.change)
    one.advance(30)
    assert not one.alive
    assert "its loss is inf at step 1" in one.problem
    assert one.value == SCORE.chance
    steps = one.steps
    one.advance(40)
    assert one.steps == steps < 30


def test_a_change_that_raises_is_out():
    one = trainee(training(sigmoids()), BROKEN.change)
    one.advance(5)
    assert (one.problem, one.steps, one.alive) == ("no such layer", 0, False)


def test_ctrl_c_comes_through():
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainee(training(sigmoids()), stop).advance(5)


def test_another_loss_cannot_be_judged_by_the_loss_but_by_a_score():
    given = training(mlp(64, 16, 10))
    by_loss = trainee(given, other_loss, Metric("loss", higher=False, start=2.3))
    by_loss.advance(5)
    assert "cannot be compared" in by_loss.problem
    by_score = trainee(given, other_loss)
    by_score.advance(5)
    assert by_score.alive
    assert 0.0 <= by_score.value <= 1.0


def test_a_guarded_loss_is_judged_by_the_loss_that_it_guards():
    given = training(dropping())

    def change(copied):
        return guarded(copied, 1e-8)

    one = trainee(given, change, metric=Metric("loss", higher=False, start=2.3))
    other = trainee(given, metric=Metric("loss", higher=False, start=2.3))
    for each in (one, other):
        each.advance(10)
    assert one.alive
    assert one.value == pytest.approx(other.value, rel=1e-6)


def test_a_leg_stops_when_its_time_is_over():
    one = trainee(training(mlp(64, 16, 10), steps=10_000))
    one.advance(10_000, seconds=0.05)
    assert one.hurried
    assert 0 < one.steps < 10_000


def test_the_metric_is_the_score_then_the_loss_or_what_the_user_gives():
    given = training(mlp(64, 16, 10))
    found = metric_of(given.patient, given.plan, "cross_entropy")
    assert (found.name, found.higher, round(found.chance, 1)) == ("accuracy", True, 0.1)
    unlabelled = training(mlp(64, 16, 10))
    unlabelled = type(unlabelled)(
        unlabelled.patient,
        type(unlabelled.plan)(unlabelled.plan.batches, lambda out, _: out.square().mean(), 5),
    )
    assert metric_of(unlabelled.patient, unlabelled.plan, "").name == "loss"

    def batches_seen(model, batches):
        assert not model.training
        return float(len(batches))

    own = metric_of(given.patient, given.plan, "cross_entropy", batches_seen)
    assert (own.name, own.start) == ("batches_seen", float(len(given.plan.batches)))
    assert given.patient.model.training


def test_losses_and_scores_of_what_is_lost():
    given = training(mlp(64, 16, 10))
    by_loss = Metric("loss", higher=False, start=2.3)
    assert by_loss.of(given.patient, given.plan, [2.0, math.nan], math.nan) == 2.0
    assert by_loss.of(given.patient, given.plan, [math.nan], math.nan) == 2.3
    assert by_loss.merit(1.0) > by_loss.merit(2.0) > by_loss.merit(math.nan)
    assert SCORE.cannot_be_beaten(0.985)
    assert not by_loss.cannot_be_beaten(0.0)
