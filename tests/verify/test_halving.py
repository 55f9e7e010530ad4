"""Successive halving."""

from __future__ import annotations

import pytest
from verify_trainings import BROKEN, NOTHING, RELU, SLOWER, TANH, WILD, sigmoids, training

from evenflow.verify.halving import Clock, halve, rungs
from evenflow.verify.metric import Metric
from evenflow.verify.randomness import Randomness
from evenflow.verify.trial import Trainee

SCORE = Metric("accuracy", chance=0.1)


def trainees(*prescriptions, steps=160, metric=SCORE):
    given = training(sigmoids(), steps=steps)
    random = Randomness.now()
    return [
        Trainee(
            one.name,
            lambda one=one: one.change(given.copied()),
            metric,
            random,
            "cross_entropy",
            given.plan.loss,
        )
        for one in prescriptions
    ]


def test_the_best_is_left_and_the_others_cost_little():
    candidates = trainees(SLOWER, WILD, NOTHING, TANH, BROKEN, RELU)
    found = halve(candidates, 160, Clock(60.0))
    assert found.best is not None
    assert found.best.name in (RELU.name, TANH.name)
    steps = {one.name: one.steps for one in candidates}
    assert steps[found.best.name] == 160
    assert steps[BROKEN.name] == 0
    assert steps[WILD.name] < 20
    # 20 each of four, 20 more of two, 120 more of one
    assert sum(steps.values()) - steps[WILD.name] == 4 * 20 + 2 * 20 + 120
    assert found.best.value > 0.5


def test_a_round_ends_with_the_first_that_is_good_enough():
    candidates = trainees(RELU, TANH, NOTHING)
    found = halve(candidates, 160, Clock(60.0), enough=lambda one: one.name == TANH.name and one.steps >= 40)
    assert found.best is not None
    assert (found.best.name, found.best.steps) == (TANH.name, 40)
    assert candidates[2].steps == 20


def test_what_went_further_comes_first():
    candidates = trainees(NOTHING, RELU)
    found = halve(candidates, 160, Clock(60.0))
    assert [one.name for one in found.order] == [RELU.name, NOTHING.name]


def test_of_equal_ones_the_earlier_is_kept():
    other = trainees(RELU)[0]
    other.name = "the same again"
    found = halve([other, *trainees(RELU)], 40, Clock(60.0))
    assert found.best is other


def test_nothing_that_could_be_trained():
    found = halve(trainees(BROKEN, WILD), 40, Clock(60.0))
    assert found.best is None


def test_the_time_is_over():
    found = halve(trainees(NOTHING, RELU), 160, Clock(0.0))
    assert found.hurried
    assert found.best is None


def test_the_last_leg_of_the_best_is_looked_at():
    (one,) = trainees(RELU)
    halve([one], 160, Clock(60.0))
    assert [look.first for look in one.looks] == [0, 140]
    assert [int(look.table.index["step"].max()) for look in one.looks] == [19, 19]


@pytest.mark.parametrize(("steps", "expected"), [(200, (25, 50, 100, 200)), (40, (10, 20, 40)), (8, (8,))])
def test_rungs(steps, expected):
    assert rungs(steps) == expected


def test_what_more_is_known_of_goes_on_to_the_end():
    candidates = trainees(NOTHING, RELU, TANH)
    found = halve(candidates, 160, Clock(60.0), kept=[candidates[0]])
    assert candidates[0].steps == 160
    assert found.best is not candidates[0]
    assert {one.steps for one in found.order} == {20, 160}
