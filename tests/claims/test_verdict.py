"""Which verdict follows from which answers."""

from __future__ import annotations

from itertools import product

import pytest

from evenflow.claims.verdict import case, core, size, weigh

TABLE = [
    ("holds", [core("a", True)]),
    ("holds", [core("a", True), case("b", True), size("c", True)]),
    ("holds under conditions", [core("a", True), case("b", True), case("c", False)]),
    ("overstated", [core("a", True), size("b", False)]),
    ("overstated", [core("a", True), case("b", True), case("c", False), size("d", False)]),
    ("wrong", [core("a", False), size("b", True)]),
    ("wrong", [case("a", False), case("b", False)]),
    ("wrong", [core("a", False), core("b", None)]),
    ("wrong", [case("a", False), case("b", False), size("c", None)]),
    ("holds under conditions", [case("a", True), case("b", False), case("c", None)]),
    ("not decided", [core("a", None)]),
    ("not decided", [case("a", True), case("b", None)]),
    ("not decided", [case("a", False), case("b", None)]),
    ("not decided", [core("a", True), size("b", None)]),
]


@pytest.mark.parametrize(("kind", "statements"), TABLE)
def test_the_verdict(kind, statements):
    assert weigh(*statements).kind == kind


def test_a_verdict_is_given_only_where_the_open_answers_cannot_change_it():
    makers = (core, case, case, size)
    for answers in product((True, False, None), repeat=4):
        ways = product(*[(True, False) if one is None else (one,) for one in answers])
        kinds = {weigh(*(make("x", one) for make, one in zip(makers, way, strict=True))).kind for way in ways}
        found = weigh(*(make("x", one) for make, one in zip(makers, answers, strict=True))).kind
        assert found == (kinds.pop() if len(kinds) == 1 else "not decided")


def test_conditions_and_exceptions_are_named_where_the_sentence_holds_in_some():
    verdict = weigh(case("shallow", True), case("deep", False), case("wide", None))
    assert (verdict.conditions, verdict.exceptions) == (("shallow",), ("deep",))
    assert weigh(case("shallow", True)).conditions == ()


def test_what_is_not_decided_says_by_what():
    assert str(weigh(core("a", None))) == "not decided by this form"
