"""What came of one run, read from tables written by hand."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from evenflow.compare import outcomes
from evenflow.compare.outcome import above_chance
from evenflow.record.table import Table


def test_results_of_the_last_step(study, run):
    found = outcomes(study((run(), {"accuracies": {0: 0.3, 10: 0.95, 20: 0.9}, "losses": {20: 0.4}})))[0]
    assert (found.test_accuracy, found.train_accuracy) == pytest.approx((0.9, 0.91))
    assert (found.test_loss, found.train_loss) == pytest.approx((0.4, 0.2))
    assert found.worst_recall == 0.5
    assert found.chance == 0.35
    assert (found.dead_mean, found.dead_worst) == pytest.approx((0.125, 0.25))
    assert (found.saturated_mean, found.saturated_worst) == pytest.approx((0.0625, 0.125))
    assert found.run.seed == 0


def test_cost_to_the_target(study, run):
    table = study((run(), {"accuracies": {0: 0.3, 10: 0.9, 20: 0.8}}))
    found = outcomes(table)[0]
    assert (found.steps_to_target, found.flops_to_target) == (10, 1e7)
    assert found.seconds_to_target == pytest.approx(0.1)
    assert outcomes(table, target_accuracy=0.3)[0].steps_to_target == 0
    never = outcomes(table, target_accuracy=0.91)[0]
    assert all(
        math.isnan(figure)
        for figure in (never.steps_to_target, never.flops_to_target, never.seconds_to_target)
    )


@pytest.mark.parametrize("samples", [20, 360, 10_000])
@pytest.mark.parametrize("chance", [0.1, 0.35])
def test_trained_is_the_exact_binomial_test(samples: int, chance: float):
    for right in range(0, samples + 1, max(1, samples // 200)):
        p_value = stats.binomtest(right, samples, chance, alternative="greater").pvalue
        assert above_chance(right / samples, samples, chance) == (p_value < 0.001)


def test_a_constant_answer_is_not_trained(study, run):
    found = outcomes(study((run(), 0.35), (run(seed=1), 0.45), (run(seed=2), 0.52)))
    assert [each.trained for each in found] == [False, False, True]


def test_a_diverged_run_is_a_result(study, run):
    stop = {"accuracies": {0: 0.3, 10: 0.95}, "losses": {10: math.nan}, "recalls": (1.0, 0.0, 0.0)}
    found = outcomes(study((run(status="diverged", facts={"diverged_at": 7}), stop)))[0]
    assert found.diverged
    assert found.diverged_at == 7
    assert not found.trained
    assert found.test_accuracy == 0.95
    assert math.isnan(found.test_loss)
    assert found.worst_recall == 0.0


def test_a_diverged_run_without_an_accuracy_has_accuracy_0(study, run):
    found = outcomes(study((run(status="diverged"), {})))[0]
    assert (found.test_accuracy, found.trained, found.diverged_at) == (0.0, False, 20)
    assert math.isnan(found.chance)


def test_a_run_without_rows_has_no_figures(run):
    found = outcomes(Table.from_rows([run(status="pending")], []))[0]
    assert not found.trained
    assert not found.diverged
    assert found.diverged_at is None
    assert math.isnan(found.test_accuracy)
    assert math.isnan(found.dead_worst)


def test_recall_of_the_rarest_class_on_imbalanced_data_only(study, run):
    found = outcomes(study((run(imbalance=10.0), 0.9), (run(imbalance=1.0), 0.9)))
    assert found[0].minority_recall == 0.7
    assert math.isnan(found[1].minority_recall)


def test_classes_are_ordered_by_number():
    from evenflow.record.schema import Run, Site

    rows = [
        (0, 5, Site(f"test class {label}", "class", 0, 10 + label), "", {"recall": label / 20})
        for label in (10, 9, 2, 11, 0)
    ]
    found = outcomes(Table.from_rows([Run("a", fields={"imbalance": 2})], rows))[0]
    assert found.minority_recall == 11 / 20
    assert found.worst_recall == 0


def test_energy_is_none_where_the_machine_gives_none(study, run):
    found = outcomes(study((run(), 0.5), (run(seed=1, facts={"joules": 12.5}), 0.5)))
    assert [each.joules for each in found] == [None, 12.5]


def test_layers_that_were_not_measured_are_left_out(study, run):
    content = {"accuracies": {0: 0.5}, "dead": (math.nan, 0.5), "norms": {0: (1, 1)}}
    found = outcomes(study((run(), content)))[0]
    assert (found.dead_mean, found.dead_worst) == (0.5, 0.5)


def test_dead_units_are_those_of_the_last_evaluation():
    """While a training goes on, its last record may be without one."""
    from evenflow.record.schema import Run, Site

    unit = Site("activation_1", "activation", 1, 8)
    rows = [
        (0, 0, unit, "", {"dead_fraction": 0.25, "saturated_fraction": 0.5}),
        (0, 10, unit, "", {"saturated_fraction": 0.75}),
    ]
    found = outcomes(Table.from_rows([Run("a", status="running")], rows))[0]
    assert (found.dead_mean, found.saturated_mean) == (0.25, 0.75)


def test_runs_of_one_table_do_not_mix(study, run):
    accuracies = [0.5, 0.7, 0.6]
    table = study(*((run(seed=seed), accuracy) for seed, accuracy in enumerate(accuracies)))
    assert [each.test_accuracy for each in outcomes(table)] == accuracies


def test_rows_may_come_in_any_order(study, run):
    table = study((run(), {"accuracies": {20: 0.9, 0: 0.95, 10: 0.3}}))
    found = outcomes(table)[0]
    assert (found.test_accuracy, found.steps_to_target) == (0.9, 0)
