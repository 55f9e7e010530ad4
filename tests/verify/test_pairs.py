"""Original against candidate on other starts."""

from __future__ import annotations

from examined_trainings import digits
from verify_trainings import BROKEN, NOTHING, RELU, WILD, sigmoids, training

from evenflow.compare.paired import paired_difference
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Metric
from evenflow.verify.pairs import pair

SCORE = Metric("accuracy", chance=0.1)


def pairs(prescription, metric=SCORE, seconds=60.0, steps=60, most=None, room=100):
    given = training(sigmoids(5), digits()[:8], steps=steps)
    return pair(
        given,
        prescription,
        metric,
        steps,
        Clock(seconds),
        most=most or steps,
        room=room,
        loss_kind="cross_entropy",
    )


def test_what_helps_is_better_beyond_chance():
    found = pairs(RELU)
    assert found.beats(0.02)
    assert 3 <= len(found.before) <= 5
    assert found.trained == 2 * 60 * len(found.before)
    assert found.redrawn
    expected = paired_difference(found.before, found.after)
    assert (found.difference.low, found.difference.high) == (expected.low, expected.high)
    assert found.seconds_before > 0.0 < found.seconds_after


def test_what_does_nothing_is_exactly_the_same():
    found = pairs(NOTHING)
    assert found.before == found.after
    assert not found.beats(0.0)


def test_a_loss_is_better_where_it_is_lower():
    found = pairs(RELU, Metric("loss", higher=False, start=2.3))
    assert found.difference.mean > 0.0
    assert found.beats(0.0)


def test_one_that_runs_away_is_no_better_than_a_constant():
    found = pairs(WILD)
    assert set(found.after.values()) == {0.1}
    assert not found.beats(0.0)


def test_what_cannot_be_carried_out_is_told():
    found = pairs(BROKEN)
    assert found.problem == "no such layer"
    assert found.is_open


def test_too_little_time_gives_no_interval():
    found = pairs(RELU, seconds=0.0)
    assert found.is_open
    assert not found.beats(0.0)


def test_what_is_open_after_a_few_steps_is_trained_on():
    short = pairs(RELU, steps=4, most=64)
    assert short.steps > 4
    assert short.beats(0.02)
    long = pairs(RELU, steps=short.steps)
    assert long.before == {seed: short.before[seed] for seed in long.before}
    little = pairs(RELU, steps=4, most=short.steps, room=2)
    assert little.before == short.before
    assert little.trained == short.trained
