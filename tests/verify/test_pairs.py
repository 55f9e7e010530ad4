"""Original against candidate on other starts."""

from __future__ import annotations

from dataclasses import replace

import torch
from examined_trainings import digits
from verify_trainings import BROKEN, NOTHING, RELU, WILD, prescription, sigmoids, training

from evenflow.compare.paired import paired_difference
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Metric
from evenflow.verify.pairs import Paired, pair

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


def uneven(gains: list[float]) -> Paired:
    before = dict.fromkeys(range(len(gains)), 0.5)
    after = {seed: 0.5 + gain for seed, gain in enumerate(gains)}
    return Paired(200, before, after, paired_difference(before, after), 0.0, 0.0, 0, True, gains=tuple(gains))


def test_uneven_gains_count_where_no_start_is_worse():
    some = uneven([0.5, 0.01, 0.0, -0.015, 0.2])
    assert some.difference.low < 0.0
    assert some.beats(0.02, same=0.02)
    assert not some.beats(0.02)
    assert not uneven([0.5, 0.01, 0.0, -0.03, 0.2]).beats(0.02, same=0.02)
    assert not uneven([0.3, 0.01, 0.0, 0.0, 0.0]).beats(0.02, same=0.02)
    assert not uneven([0.9, 0.01, 0.0]).beats(0.02, same=0.02)


def test_what_begins_no_better_is_trained_on():
    def held_up(given):
        """No step for half of the training."""
        scheduler = torch.optim.lr_scheduler.LambdaLR(given.patient.optimizer, lambda step: float(step >= 20))
        return RELU.change(replace(given, patient=replace(given.patient, scheduler=scheduler)))

    relu = pairs(RELU, steps=40)
    found = pairs(prescription("held up", held_up), steps=10, most=60)
    assert found.steps == 40  # after 10 and 20 there is no difference yet
    assert found.beats(0.02)
    assert found.difference.mean < relu.difference.mean


def test_what_is_as_good_is_worse_by_no_more_than_counts_as_equal():
    assert uneven([0.0, 0.01, -0.02]).is_as_good(0.02)
    assert not uneven([0.0, -0.04, -0.05]).is_as_good(0.02)
    assert not uneven([0.2, 0.2, -0.15]).is_as_good(0.02)
    assert not uneven([0.1, 0.1]).is_as_good(0.02)
