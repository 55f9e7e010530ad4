"""The twin with weights drawn anew as the rules hear of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import pytest
from diagnosed_trainings import chain, digits, redrawn, sgd, trained
from msgspec import structs
from torch import nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.engine import diagnose
from evenflow.diagnose.finding import Verdict
from evenflow.diagnose.redrawn import decides, drawn_anew, with_the_twin
from evenflow.diagnose.rules import rule_named
from evenflow.record.axes import Run
from evenflow.record.table import Table
from evenflow.spec.setting import Change, Setting, Trial


def with_trials(case: Case, own: float, **scores: float) -> Case:
    """The case with these scores of itself and of its twins, of 0.1 by chance."""
    twins: dict[Change, float] = {change: scores[change] for change in get_args(Change) if change in scores}
    trials = [Trial(change="nothing", loss=(2.0, 1.0), score=own, chance=0.1)]
    trials += [
        Trial(change=change, loss=(2.0, 1.0), score=score, chance=0.1) for change, score in twins.items()
    ]
    return with_these(case, trials)


def with_these(case: Case, trials: Iterable[Trial]) -> Case:
    facts = dict(case.run.facts)
    setting = structs.replace(Setting.from_facts(facts), twins=tuple(trials))
    run = Run(case.run.key, facts={**facts, **setting.to_facts()})
    return Case(Table((run,), case.table.sites, case.table.index, case.table.figures), run)


@pytest.fixture(scope="module")
def alike():
    return trained(redrawn(chain(16, 3, nn.Tanh), nn.init.zeros_), sgd(lr=0.1), digits(), steps=20)


@pytest.fixture(scope="module")
def large():
    model = redrawn(chain(32, 4, nn.ReLU), lambda weight: nn.init.normal_(weight, 0, 0.8))
    return trained(model, sgd(lr=1e-3), digits(), steps=20)


@pytest.mark.parametrize(("rule", "case"), [("symmetric_init", "alike"), ("poor_init", "large")])
def test_a_start_is_a_fault_where_another_one_does_clearly_better(rule, case, request):
    case = request.getfixturevalue(case)
    judge = rule_named(rule).judge
    better = judge(with_trials(case, 0.2, weights=0.9))
    assert better is not None
    assert better.severity == "fault"
    assert better.evidence["redrawn_twin_points"] == pytest.approx(70)
    assert "with weights drawn anew the same training is 70 points better" in better.message
    same = judge(with_trials(case, 0.6, weights=0.65))
    assert same is not None
    assert same.severity == "risk"
    alone = judge(case)
    assert alone is not None
    assert alone.severity == "fault"


def test_a_scale_that_is_doubtful_is_a_fault_by_its_twin_alone():
    model = redrawn(chain(32, 4, nn.ReLU), lambda weight: nn.init.normal_(weight, 0, 2.3 * (2 / 32) ** 0.5))
    case = trained(model, sgd(lr=1e-3), digits(), steps=20)
    judge = rule_named("poor_init").judge
    assert judge(with_trials(case, 0.2)) is None
    better = judge(with_trials(case, 0.2, weights=0.9))
    assert better is not None
    assert better.severity == "fault"
    # Standardised inputs do as much: the weights may only be another way out.
    assert judge(with_trials(case, 0.2, weights=0.9, inputs=0.85)) is None
    assert judge(with_trials(case, 0.2, weights=0.9, learning_rate=0.9)) is not None  # ten times the rate


def test_better_than_the_other_twins(large):
    def decided(**twins):
        case = with_trials(large, 0.2, **twins)
        return decides(case, drawn_anew(case))

    assert decided(weights=0.9)
    assert decided(weights=0.9, inputs=0.7, output=0.3)
    assert not decided(weights=0.9, unfrozen=0.85)
    assert not decided(weights=0.25)
    assert not decided(inputs=0.9)


def test_a_lower_rate_that_does_better_leaves_the_weights_alone(large):
    trials = (
        Trial(change="nothing", loss=(2.0, 9.0), score=0.2, chance=0.1),
        Trial(change="weights", loss=(2.0, 1.0), score=0.5, chance=0.1),
    )

    def decided(factor):
        rate = Trial(change="learning_rate", factor=factor, loss=(2.0, 0.1), score=0.9, chance=0.1)
        case = with_these(large, (*trials, rate))
        return decides(case, drawn_anew(case))

    assert not decided(0.1)
    assert decided(10.0)


def test_a_twin_that_fails_as_well_says_nothing(large):
    def heard(own, weights):
        return drawn_anew(with_trials(large, own, weights=weights)) is not None

    assert heard(0.15, 0.9)
    assert heard(0.6, 0.3)
    assert heard(0.5, 0.58)
    assert heard(0.4, 0.2)
    assert not heard(0.2, 0.25)
    assert not heard(0.2, 0.1)


def test_a_remedy_that_was_tried_in_vain_is_not_named(large):
    remedies = ("change_activation", "reinitialise", "add_normalisation")
    verdict = Verdict("fault", ("0",), "The gradient shrinks.")

    def told(**twins):
        return with_the_twin(verdict, with_trials(large, 0.2, **twins), remedies)

    assert told(weights=0.9).remedies == ("reinitialise", "change_activation", "add_normalisation")
    assert told(weights=0.9).message == (
        "The gradient shrinks; with weights drawn anew the same training is 70 points better after 2 steps."
    )
    in_vain = with_the_twin(verdict, with_trials(large, 0.6, weights=0.6), remedies)
    assert in_vain.remedies == ("change_activation", "add_normalisation")
    assert in_vain.message == verdict.message
    assert told(weights=0.2) == verdict  # both have failed
    assert told() == verdict
    other = with_the_twin(verdict, with_trials(large, 0.2, weights=0.9), ("lower_learning_rate",))
    assert other == verdict


def test_a_start_that_costs_nothing_is_no_root(large):
    def root_of_the_rest(own, **twins):
        found = diagnose(with_trials(large, own, **twins).table).findings
        return {one.rule: one for one in found}

    costly = root_of_the_rest(0.2, weights=0.9)
    assert costly["poor_init"].severity == "fault"
    assert {one.root for one in costly.values() if one.severity == "fault"} == {"", "poor_init"}
    harmless = root_of_the_rest(0.5, weights=0.58)
    assert harmless["poor_init"].severity == "risk"
    faults = [one for one in harmless.values() if one.severity == "fault"]
    assert faults
    assert all(one.root != "poor_init" for one in faults)
