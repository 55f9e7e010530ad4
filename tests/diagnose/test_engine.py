"""Every rule is judged on one run; what cannot be judged is said, and takes nothing else with it."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from diagnosis_tables import layers, rule, unable, verdict

import evenflow as ef
from evenflow.diagnose import engine
from evenflow.diagnose.engine import diagnose, diagnose_all
from evenflow.diagnose.rules import RULES, rule_named
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table


def test_found_silent_and_unable():
    rules = [
        rule("loss_plateau", unable),
        rule("vanishing_gradient", verdict(sites=("layer_1",)), ["dead_units"]),
        rule("dead_units", verdict("risk")),
        rule("lr_too_high", None),
    ]
    diagnosis = diagnose(layers("a"), rules=rules)
    assert [one.rule for one in diagnosis.findings] == ["vanishing_gradient", "dead_units"]
    assert [(one.rule, one.code, one.why) for one in diagnosis.unjudged] == [
        ("loss_plateau", "EF601", "a figure was not recorded")
    ]
    assert diagnosis.judged == ("vanishing_gradient", "dead_units", "lr_too_high")
    assert (diagnosis.run, diagnosis.steps, diagnosis.first_step, diagnosis.last_step) == ("a", 3, 0, 100)
    assert not diagnosis.healthy
    assert [one.rule for one in diagnosis.faults] == ["vanishing_gradient"]


def test_a_rule_sees_its_run_alone():
    seen = []

    def judge(case):
        seen.append((case.run.key, case.steps.tolist(), len(case.table)))

    table = layers("a", "b", steps=(0, 4)).concatenate(layers("c", steps=(7,)))
    diagnose(table, run="c", rules=[rule("dead_units", judge)])
    assert len(list(diagnose_all(table, rules=[rule("dead_units", judge)]))) == 3
    assert seen == [("c", [7], 4), ("a", [0, 4], 8), ("b", [0, 4], 8), ("c", [7], 4)]


def test_predicted_runs_are_no_trainings():
    table = Table.from_rows([Run("a"), Run("a forecast", source="predicted")], [])
    assert diagnose(table, rules=[]).run == "a"


def test_a_rule_that_fails_is_a_bug_that_is_said():
    def broken(_case):
        raise ZeroDivisionError("planted")

    with pytest.warns(
        RuntimeWarning, match="rule dead_units could not be judged, it failed with ZeroDivisionError: planted"
    ):
        diagnosis = diagnose(
            layers("a"), rules=[rule("dead_units", broken), rule("lr_too_low", verdict("risk"))]
        )
    assert [one.rule for one in diagnosis.findings] == ["lr_too_low"]
    assert diagnosis.unjudged[0].why == "it failed with ZeroDivisionError: planted; please report it"


def test_in_tests_such_a_bug_is_not_hidden():
    def broken(_case):
        raise ZeroDivisionError("planted")

    with pytest.raises(RuntimeWarning, match="planted"):
        diagnose(layers("a"), rules=[rule("dead_units", broken)])


def test_a_table_a_probe_a_store_and_its_path_are_the_same(tmp_path):
    class Probe:
        table = layers("a")

    path = tmp_path / "flow.sqlite"
    with ef.Store.open(path, "a") as store:
        number = store.begin("a", 0, {})
        store.extend(number, Probe.table)
    rules = [rule("dead_units", lambda case: verdict(message=f"{len(case.table)} rows"))]
    expected = diagnose(Probe.table, rules=rules)
    assert expected.findings[0].message == "12 rows."
    with ef.Store.open(path) as store:
        for what in (Probe(), store, path, str(path)):
            assert diagnose(what, rules=rules) == expected


@pytest.mark.parametrize(
    ("what", "settings", "message"),
    [
        (layers("a", "b"), {}, 'there are 2 runs to judge, a and b; name one of them, such as run="a"'),
        (
            layers(*"abcdefghij"),
            {},
            "there are 10 runs to judge, a, b, c, d, e, f, g, h and 2 more; name one",
        ),
        (
            layers("alpha", "beta"),
            {"run": "alpa"},
            'there is no run "alpa"; did you mean "alpha"?; there are alpha, beta',
        ),
        (Table.from_rows([], []), {}, "there is no run to judge; a probe, 'evenflow watch'"),
        (3, {}, "a diagnosis is made of a table, a probe, a store or its path; type int is none of them"),
        (
            layers("a"),
            {"rules": "dead_units"},
            'rules="dead_units": give a list of names, such as ["dead_units"]',
        ),
        (layers("a"), {"rules": ["ded_units"]}, 'rule "ded_units" is not known'),
    ],
)
def test_wrong_use_is_told(what, settings, message):
    with pytest.raises(ef.SpecError) as caught:
        diagnose(what, **settings)
    assert str(caught.value).startswith(message)


def test_a_store_that_is_not_there(tmp_path):
    with pytest.raises(ef.StoreError, match="does not exist"):
        diagnose(tmp_path / "none.sqlite")


def poor_tables():
    """Tables that rules have to live with."""
    site = Site("batch", "loss", 0, 0)
    weight, unit = Site("0.weight", "weight", 1, 4), Site("1", "activation", 2, 4)
    nan = float("nan")
    yield "no rows", Table.from_rows([Run("a")], [])
    yield "one step", layers("a", steps=(0,))
    yield "one layer", layers("a", count=1, steps=range(30))
    yield (
        "loss alone",
        Table.from_rows([Run("a")], [(0, step, site, "", {"loss": 1.0}) for step in range(50)]),
    )
    broken = {
        "grad_norm": nan,
        "grad_rms": nan,
        "weight_norm": nan,
        "update_norm": nan,
        "nonfinite_count": 16.0,
    }
    yield (
        "NaN everywhere",
        Table.from_rows(
            [Run("a")],
            [
                row
                for step in range(30)
                for row in (
                    (0, step, weight, "accumulated", broken),
                    (0, step, unit, "", {"rms": nan, "mean": nan, "nonfinite_count": 4.0}),
                    (0, step, site, "", {"loss": nan, "nonfinite_count": 1.0}),
                )
            ],
        ),
    )


@pytest.mark.parametrize("table", [pytest.param(table, id=name) for name, table in poor_tables()])
def test_every_rule_judges_or_says_why_not(table):
    diagnosis = diagnose(table)
    judged, unjudged = set(diagnosis.judged), {one.rule for one in diagnosis.unjudged}
    assert judged | unjudged == set(RULES)
    assert not judged & unjudged
    assert all(one.why and "failed with" not in one.why for one in diagnosis.unjudged)
    assert not diagnosis.faults or "nonfinite_count" in table.statistics
    assert str(diagnosis)


def test_names_and_codes_find_a_rule():
    for name, one in RULES.items():
        assert name == one.name
        assert rule_named(one.code.lower()) is rule_named(name.replace("_", "-")) is one


def test_the_rules_are_in_the_order_of_their_codes_and_have_what_a_page_shows():
    codes = [one.code for one in RULES.values()]
    assert codes == sorted(set(codes))
    for one in RULES.values():
        assert one.title, one.name
        assert one.explanation, one.name
        assert one.remedies or one.name in ("loss_plateau", "not_zero_centred"), one.name
        assert 0 < one.confidence <= 1
        assert set(one.follows_from) <= set(RULES), one.name


def test_the_package_answers_calls_wherever_it_was_imported_first():
    assert ef.diagnose(layers("a"), rules=[]).run == "a"
    assert inspect.signature(ef.diagnose) == inspect.signature(engine.diagnose)
    import evenflow.diagnose.rules

    assert evenflow.diagnose.rules.RULES is RULES
    assert ef.diagnose(layers("a"), rules=[]).steps == 3


def test_figures_are_those_of_the_table():
    (finding,) = diagnose(
        layers("a"),
        rules=[
            rule(
                "dead_units",
                lambda case: verdict(evidence={"norm": np.nanmax(case.series("grad_norm", "weight").values)}),
            )
        ],
    ).findings
    assert dict(finding.evidence) == {"norm": 1.0}
