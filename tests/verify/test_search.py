"""What a search asks of a candidate at its end: that a lead lasts, and that what was lost is kept."""

from __future__ import annotations

from typing import cast

import pytest
from examined_trainings import mlp
from verify_trainings import RELU, prescription, rate, sigmoids, training

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.prescribe.prescription import View
from evenflow.record.table import Table
from evenflow.spec.setting import Setting
from evenflow.verify.halving import Clock
from evenflow.verify.metric import Metric
from evenflow.verify.randomness import Randomness
from evenflow.verify.search import Search
from evenflow.verify.trial import Trainee

SCORE = Metric("accuracy", chance=0.1)


def nothing_made():
    raise AssertionError


def searching(given, steps=20, **more):
    view = View(given, Diagnosis(), Table.from_rows([], []), Setting())
    return Search(view, SCORE, 0.1, steps, Clock(60.0), loss_kind="cross_entropy", least=0.1, **more)


def test_a_lead_that_lasts_is_no_head_start():
    search = searching(training(sigmoids(4), rate=1e-2))
    assert search._lasts(search._trainee(RELU))
    trained = search.extra
    assert trained == 2 * 2 * search.steps


def test_a_head_start_is_gone_after_twice_the_steps():
    quicker = prescription("quicker", rate(3.0))
    search = searching(training(mlp(64, 32, 10), rate=1e-3), steps=40)
    one = search._trainee(quicker)
    own = Trainee("original", search.training.copied, SCORE, search.randomness, "cross_entropy")
    for each in (own, one):
        each.advance(search.steps)
    assert one.value - own.value >= search.least
    assert not search._lasts(one)


@pytest.mark.parametrize(
    ("lost", "steps", "problem", "keeps"),
    [
        (True, 10, "", True),
        (False, 10, "", False),
        (True, 6, "", False),
        (True, 10, "its loss is nan", False),
    ],
    ids=["whole", "nothing lost", "not to the end", "lost as well"],
)
def test_what_keeps_a_lost_training_whole(lost, steps, problem, keeps):
    search = Search(cast(View, None), SCORE, 0.1, 10, Clock(1.0), lost=lost, least=0.02)
    one = Trainee("one", nothing_made, SCORE, Randomness.now())
    one.losses, one.values, one.problem = [0.0] * steps, {steps: 0.9}, problem
    assert search._keeps_whole(one) is keeps
