"""Which finding is the root of which, by severity, time and place, and in what order they are told."""

from __future__ import annotations

import pytest
from diagnosis_tables import rule, verdict

from evenflow.diagnose.causes import _LINKS, _PLACES, MOVING, OUTCOMES, UPSTREAM_FIRST, place, story
from evenflow.diagnose.finding import Severity
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.story import Found, findings

DEPTHS = {f"layer_{depth}": depth for depth in range(1, 9)}


def told(*found: Found, steps: float = 200.0) -> list[tuple[str, str]]:
    """The rules in order, each with its root."""
    return [(one.rule, one.root) for one in findings(found, DEPTHS, steps)]


def found(name: str, severity: Severity = "fault", *roots: str, **settings) -> Found:
    return Found(rule(name, None, roots), verdict(severity, **settings))


def test_a_consequence_stands_behind_its_root_with_a_sentence():
    vanishing = found(
        "vanishing_gradient", "fault", "saturated_activations", strength=1.0, sites=("layer_1",)
    )
    saturated = found("saturated_activations", "fault", strength=0.1, sites=("layer_3",))
    first, second = findings([vanishing, saturated], DEPTHS, 200)
    assert (first.rule, first.root, first.story) == ("saturated_activations", "", "")
    assert (second.rule, second.root) == ("vanishing_gradient", "saturated_activations")
    assert second.story == (
        "saturated_activations: flat activations multiply the gradient by nearly 0, layer after layer"
    )


def test_a_chain_has_one_root_and_each_link_its_own_sentence():
    chain = [
        found("loss_plateau", "fault", "vanishing_gradient", "saturated_activations", "unnormalised_input"),
        found("vanishing_gradient", "fault", "saturated_activations", "unnormalised_input"),
        found("saturated_activations", "fault", "unnormalised_input"),
        found("unnormalised_input", "fault"),
    ]
    made = findings(chain, DEPTHS, 200)
    assert [one.rule for one in made] == [each.rule.name for each in reversed(chain)]
    assert {one.root for one in made[1:]} == {"unnormalised_input"}
    assert [one.story.partition(":")[0] for one in made[1:]] == [one.rule for one in made[:-1]]


def test_the_likeliest_of_several_roots_is_taken():
    poor, high = found("poor_init", strength=0.1), found("lr_too_high", strength=0.9)
    first = found("dead_units", "fault", "lr_too_high", "poor_init", step=20)
    second = found("dead_units", "fault", "poor_init", "lr_too_high", step=20)
    assert dict(told(poor, high, first))["dead_units"] == "lr_too_high"
    assert dict(told(poor, high, second))["dead_units"] == "poor_init"


def test_nothing_that_is_less_severe_is_a_root():
    assert told(found("poor_init", "risk"), found("vanishing_gradient", "fault", "poor_init")) == [
        ("vanishing_gradient", ""),
        ("poor_init", ""),
    ]
    assert told(found("poor_init", "fault"), found("vanishing_gradient", "risk", "poor_init")) == [
        ("poor_init", ""),
        ("vanishing_gradient", "poor_init"),
    ]


@pytest.mark.parametrize(("step", "root"), [(None, ""), (0, ""), (1, "lr_too_high"), (150, "lr_too_high")])
def test_what_is_there_at_the_start_does_not_follow_from_steps(step, root):
    high = found("lr_too_high", step=60)  # noticed late, at work since the first update
    assert dict(told(high, found("dead_units", "fault", "lr_too_high", step=step)))["dead_units"] == root


def test_what_is_there_at_the_start_can_be_why_steps_overshoot():
    high = found("lr_too_high", "fault", "exploding_gradient", step=5)
    at_the_start = found("exploding_gradient", "fault", "lr_too_high", step=0)
    later = found("exploding_gradient", "fault", "lr_too_high", step=9)
    assert told(high, at_the_start) == [("exploding_gradient", ""), ("lr_too_high", "exploding_gradient")]
    assert told(high, later) == [("lr_too_high", ""), ("exploding_gradient", "lr_too_high")]
    assert [one.severity for one in findings([high, at_the_start], DEPTHS, 200)] == ["fault", "risk"]
    assert [one.severity for one in findings([high, later], DEPTHS, 200)] == ["fault", "fault"]


@pytest.mark.parametrize(("dead", "root"), [(40, "dead_units"), (59, "dead_units"), (61, "")])
def test_a_root_is_not_noticed_long_after_its_consequence(dead, root):
    # 200 steps: a tenth of them, 20, is what windows of different length may bring about
    vanishing = found("vanishing_gradient", "fault", "dead_units", step=40)
    assert dict(told(found("dead_units", step=dead), vanishing))["vanishing_gradient"] == root


@pytest.mark.parametrize(
    ("dead", "root"), [("layer_6", "dead_units"), ("layer_1", ""), ("elsewhere", "dead_units")]
)
def test_gradient_is_lost_on_its_way_from_the_output(dead, root):
    vanishing = found("vanishing_gradient", "fault", "dead_units", sites=("layer_3", "layer_2"))
    assert dict(told(found("dead_units", sites=(dead,)), vanishing))["vanishing_gradient"] == root


def test_two_that_have_nothing_to_do_with_each_other_are_both_roots_the_stronger_first():
    weak, strong = found("frozen_layers", strength=0.2), found("dead_units", strength=0.8)
    assert told(weak, strong) == [("dead_units", ""), ("frozen_layers", "")]
    assert told(found("dead_units", "information", strength=1.0), weak)[0] == ("frozen_layers", "")


def test_of_equal_roots_the_one_that_explains_more_is_first():
    plateau = found("loss_plateau", "fault", "lr_too_low")
    order = told(found("dead_units"), plateau, found("lr_too_low"))
    assert order == [("lr_too_low", ""), ("loss_plateau", "lr_too_low"), ("dead_units", "")]


def test_rules_that_name_each_other_do_not_go_in_circles():
    names = list(UPSTREAM_FIRST)
    codes = {name: f"EF{place}" for place, name in enumerate(names)}
    everything = [
        Found(Rule(codes[name], name, "", lambda _: None, (), tuple(reversed(names))), verdict())
        for name in names
    ]
    made = findings(everything, DEPTHS, 200)
    assert {one.rule for one in made} == set(names)
    assert [one.rule for one in made if not one.root] == ["unnormalised_input"]


def test_every_link_that_is_put_into_words_can_be_true():
    for root, consequence in {*_LINKS, *_PLACES}:
        above = UPSTREAM_FIRST.index(root) < UPSTREAM_FIRST.index(consequence)
        decided = root == "frozen_layers"  # what an optimiser was not given was so before anything happened
        assert above or decided or consequence in MOVING | OUTCOMES, (root, consequence)
    assert story("poor_init", "loss_plateau")
    assert place("poor_init", "loss_plateau") == "anywhere"


def test_confidence_and_remedies_are_the_rules_unless_the_verdict_has_its_own():
    plain, own = findings(
        [
            found("dead_units", strength=1.0),
            found("lr_too_low", confidence=0.5, remedies=("more",), strength=0.0),
        ],
        DEPTHS,
        200,
    )
    assert (plain.confidence, plain.remedies) == (1.0, ("answer_dead_units",))
    assert (own.confidence, own.remedies) == (0.5, ("more",))


def test_figures_of_numpy_become_plain():
    import numpy as np

    evidence = {
        "a": np.float64(1.5),
        "b": np.int64(3),
        "c": np.bool_(True),
        "d": True,
        "e": "word",
        "f": np.float32(0.5),
    }
    (one,) = findings([found("dead_units", evidence=evidence)], DEPTHS, 200)
    assert one.evidence == {"a": 1.5, "b": 3, "c": "true", "d": "true", "e": "word", "f": 0.5}
    assert {type(value) for value in one.evidence.values()} == {float, int, str}


@pytest.mark.parametrize("rate", ["lr_too_high", "lr_too_low"])
def test_rate_that_does_not_suit_weights_badly_drawn_is_no_fault_of_its_own(rate):
    both = [found("poor_init"), found(rate, "fault", "poor_init", step=3)]
    first, second = findings(both, DEPTHS, 200)
    assert (first.rule, first.severity) == ("poor_init", "fault")
    assert (second.rule, second.root, second.severity) == (rate, "poor_init", "risk")
    (alone,) = findings(both[1:], DEPTHS, 200)
    assert alone.severity == "fault"
