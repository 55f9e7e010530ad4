"""Points between a training and its twins."""

from __future__ import annotations

import math

import pytest
from msgspec import structs

from evenflow.diagnose.twins import best, compared, loss_level, skill_of
from evenflow.spec.setting import Setting, Trial


def points(own: Trial, twin: Trial) -> float:
    (found,) = compared(Setting(twins=(own, twin)), twin.change)
    return found.points


def own(*loss: float, score: float = math.nan, chance: float = math.nan) -> Trial:
    return Trial(change="nothing", loss=loss, score=score, chance=chance)


def twin(*loss: float, score: float = math.nan, chance: float = math.nan) -> Trial:
    return Trial(change="learning_rate", factor=0.1, loss=loss, score=score, chance=chance)


def test_scores_count_before_losses():
    better = twin(2.0, 9.0, score=0.75, chance=0.1)
    assert points(own(2.0, 1.0, score=0.5, chance=0.1), better) == pytest.approx(25.0)


def test_worse_than_chance_is_chance():
    assert points(own(2.0, score=0.02, chance=0.5), twin(2.0, score=0.45, chance=0.5)) == 0.0
    assert points(own(2.0, score=-80.0, chance=0.0), twin(2.0, score=0.2, chance=0.0)) == pytest.approx(20.0)


def test_training_that_ended_as_nan_scored_chance():
    lost = own(2.0, math.nan, math.nan, chance=0.1)
    assert points(lost, twin(2.0, 0.1, score=0.9, chance=0.1)) == pytest.approx(80.0)


def test_without_scores_the_loss_counts_from_its_start():
    assert points(own(4.0, 3.0, 3.0, 3.0), twin(4.0, 1.0, 1.0, 1.0)) == pytest.approx(50.0)
    assert points(own(4.0, math.inf), twin(4.0, 1.0, 1.0, 1.0)) == pytest.approx(75.0)
    assert points(own(4.0, math.inf), twin(4.0, math.inf)) == 0.0
    assert points(own(4.0, 1.0, 1.0, 1.0), twin(4.0, math.inf)) == pytest.approx(-75.0)


def test_loss_below_zero_counts_down_to_the_lowest_seen():
    assert points(own(1.0, -1.0, -1.0, -1.0), twin(1.0, -3.0, -3.0, -3.0)) == pytest.approx(50.0)


def test_rescued_from_running_away():
    setting = Setting(twins=(own(2.0, 5.0, math.inf), twin(2.0, 1.9, 1.9, 1.9)))
    assert compared(setting, "learning_rate")[0].rescued
    setting = Setting(twins=(own(2.0, 1.0, 1.0, 1.0), twin(2.0, 1.9, 1.9, 1.9)))
    assert not compared(setting, "learning_rate")[0].rescued


def test_nothing_to_compare_with():
    assert compared(Setting(twins=(twin(1.0),)), "learning_rate") == ()
    assert math.isnan(loss_level(()))
    assert math.isnan(skill_of(own(1.0)))


def test_what_was_tried_longer_is_compared_at_the_end_of_it():
    ahead = Trial(
        change="inputs", loss=(2.0, 0.5), score=0.9, chance=0.1, later_loss=(0.4, 0.3), later_score=0.95
    )
    caught_up = Trial(
        change="nothing", loss=(2.0, 1.0), score=0.7, chance=0.1, later_loss=(0.6, 0.5), later_score=0.92
    )
    (found,) = compared(Setting(twins=(caught_up, ahead)), "inputs")
    assert found.points == pytest.approx(3.0)
    assert not found.clear
    assert (found.steps, found.trial) == (4, ahead)
    stopped = Trial(change="nothing", loss=(2.0, 1.0), score=0.7, chance=0.1)
    (found,) = compared(Setting(twins=(stopped, ahead)), "inputs")
    assert found.points == pytest.approx(20.0)
    assert found.steps == 2


def test_longer_trainings_without_a_score_are_compared_by_their_loss():
    ahead = Trial(change="inputs", loss=(4.0, 1.0, 1.0, 1.0), later_loss=(1.0,) * 6)
    caught_up = Trial(change="nothing", loss=(4.0, 3.0, 3.0, 3.0), later_loss=(1.2,) * 6)
    assert points(caught_up, ahead) == pytest.approx(5.0)


def test_the_best_of_several_twins():
    trials = [
        Trial(change="learning_rate", factor=factor, loss=(2.0, loss, loss, loss))
        for factor, loss in ((0.1, 0.9), (10, 0.2))
    ]
    found = best(Setting(twins=(own(2.0, 1.0, 1.0, 1.0), *trials)), "learning_rate")
    assert found is not None
    assert found.trial.factor == 10
    assert best(Setting(twins=(own(2.0),)), "learning_rate") is None


def test_a_lead_lasts_that_was_there_later_or_over_a_training_at_rest():
    short = Trial(change="learning_rate", factor=10.0, loss=(2.0, 0.5), score=0.9, chance=0.1)
    longer = structs.replace(short, later_loss=(0.4, 0.4), later_score=0.9)
    slow = Trial(change="nothing", loss=(2.0, 1.0), score=0.7, chance=0.1)
    caught_up = structs.replace(slow, later_loss=(0.5, 0.4), later_score=0.88)
    behind = structs.replace(slow, later_loss=(0.9, 0.8), later_score=0.75)

    def lasts(own: Trial, twin: Trial, falling: bool) -> bool:
        return compared(Setting(twins=(own, twin)), "learning_rate")[0].lasts(falling)

    assert [lasts(slow, short, falling) for falling in (True, False)] == [False, True]
    assert lasts(behind, longer, True)
    assert not lasts(caught_up, longer, False)
