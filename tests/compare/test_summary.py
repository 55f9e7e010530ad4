"""Cells, and the comparisons that change one thing only."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from evenflow.compare import FIGURES, holm, summarise
from evenflow.record.table import Table


def grid(study, run, results):
    """A table from (activation, learning rate) -> one accuracy a seed."""
    return study(
        *(
            (run(seed=seed, activation=activation, learning_rate=rate, width=8), accuracy)
            for (activation, rate), accuracies in results.items()
            for seed, accuracy in enumerate(accuracies)
        )
    )


RESULTS = {
    ("relu", 0.1): (0.90, 0.91, 0.95),
    ("tanh", 0.1): (0.80, 0.85, 0.84),
    ("relu", 0.01): (0.70, 0.74, 0.69),
    ("tanh", 0.01): (0.33, 0.35, 0.36),
}


def test_one_row_a_cell_with_intervals(study, run):
    summary = summarise(grid(study, run, RESULTS))
    assert summary.grid == ("activation", "learning_rate")
    assert [tuple(cell.settings.values()) for cell in summary.cells] == list(RESULTS)
    for cell, accuracies in zip(summary.cells, RESULTS.values(), strict=True):
        interval = cell.figures["test_accuracy"]
        bounds = stats.ttest_1samp(accuracies, 0).confidence_interval(0.95)
        assert interval.mean == pytest.approx(np.mean(accuracies))
        assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high))
        assert interval.deviation == pytest.approx(np.std(accuracies, ddof=1))
        assert cell.seeds == (0, 1, 2)
        assert set(cell.figures) == set(FIGURES)
        assert cell.fields["width"] == 8


def test_reliability_is_the_share_of_seeds_that_train(study, run):
    summary = summarise(grid(study, run, {("relu", 0.1): (0.9, 0.35, 0.9, 0.9), ("tanh", 0.1): (0.3, 0.3)}))
    reliability = summary.cells[0].reliability
    expected = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert reliability.mean == 0.75
    assert (reliability.low, reliability.high) == pytest.approx((expected.low, expected.high))
    assert summary.cells[1].reliability.mean == 0


def test_comparisons_are_the_pairs_that_differ_in_one_field(study, run):
    summary = summarise(grid(study, run, RESULTS))
    found = {(each.field, each.first, each.second): each for each in summary.comparisons}
    assert set(found) == {
        ("activation", 0, 1),
        ("activation", 2, 3),
        ("learning_rate", 0, 2),
        ("learning_rate", 1, 3),
    }
    accuracies = list(RESULTS.values())
    for (_, first, second), each in found.items():
        theirs = stats.ttest_rel(accuracies[second], accuracies[first])
        assert each.difference.p_value == pytest.approx(theirs.pvalue)
        assert each.difference.mean == pytest.approx(np.mean(accuracies[second]) - np.mean(accuracies[first]))
    assert found["activation", 2, 3].shared == {"learning_rate": 0.01}
    raw = [each.difference.p_value for each in summary.comparisons]
    assert [each.adjusted_p_value for each in summary.comparisons] == pytest.approx(holm(raw).tolist())
    assert max(
        each.adjusted_p_value / each.difference.p_value for each in summary.comparisons
    ) == pytest.approx(4)


def test_pairs_only_over_common_seeds(study, run):
    results = {("relu", 0.1): (0.9, 0.8, 0.7, 0.6), ("tanh", 0.1): (0.5, 0.6)}
    comparison = summarise(grid(study, run, results)).comparisons[0]
    assert comparison.difference.mean == pytest.approx((0.5 - 0.9 + 0.6 - 0.8) / 2)
    assert (comparison.difference.count, comparison.difference.unpaired) == (2, 2)


def test_a_diverged_run_counts_everywhere(study, run):
    stop = {"accuracies": {0: 0.1}, "losses": {0: math.nan}}
    table = study(
        (run(activation="relu"), 0.9),
        (run(seed=1, activation="relu", status="diverged"), stop),
        (run(activation="tanh"), 0.8),
        (run(seed=1, activation="tanh"), 0.8),
    )
    summary = summarise(table)
    relu = summary.cells[0]
    assert (relu.diverged, relu.seeds) == (1, (0, 1))
    assert relu.reliability.mean == 0.5
    assert relu.figures["test_accuracy"].mean == pytest.approx(0.5)
    assert (relu.figures["test_loss"].count, relu.figures["test_loss"].missing) == (1, 1)
    assert summary.comparisons[0].difference.count == 2
    assert summary.comparisons[0].difference.mean == pytest.approx((-0.1 + 0.7) / 2)


def test_one_seed_gives_figures_without_intervals(study, run):
    summary = summarise(grid(study, run, {("relu", 0.1): (0.9,), ("tanh", 0.1): (0.8,)}))
    cell, comparison = summary.cells[0], summary.comparisons[0]
    assert cell.figures["test_accuracy"].mean == 0.9
    assert math.isnan(cell.figures["test_accuracy"].low)
    assert (cell.reliability.mean, math.isnan(cell.reliability.low)) == (1, True)
    assert comparison.difference.mean == pytest.approx(-0.1)
    assert math.isnan(comparison.adjusted_p_value)


def test_failed_and_unfinished_runs_are_counted_apart(study, run):
    table = study(
        (run(activation="relu"), 0.9),
        (run(seed=1, activation="relu", status="failed"), 0.1),
        (run(seed=2, activation="relu", status="running"), 0.2),
        (run(seed=3, activation="relu", status="pending"), {}),
    )
    cell = summarise(table).cells[0]
    assert (cell.failed, cell.unfinished, cell.diverged, cell.seeds) == (1, 2, 0, (0,))
    assert cell.figures["test_accuracy"].mean == 0.9


def test_a_cell_without_an_ended_run_still_has_a_row(study, run):
    cell = summarise(study((run(status="pending"), {}))).cells[0]
    assert cell.results == ()
    assert math.isnan(cell.reliability.mean)
    assert cell.figures["test_accuracy"].count == 0


def test_the_grid_decides_what_one_field_is(study, run):
    table = study(
        (run(optimiser="adam", weight_decay=0.0), 0.9), (run(optimiser="adamw", weight_decay=0.01), 0.8)
    )
    assert summarise(table).grid == ("optimiser", "weight_decay")
    assert summarise(table).comparisons == ()
    (comparison,) = summarise(table, grid=["optimiser"]).comparisons
    assert (comparison.field, comparison.first, comparison.second) == ("optimiser", 0, 1)


def test_cells_that_differ_outside_the_grid_only_are_not_compared(study, run):
    table = study((run(activation="relu", width=8), 0.9), (run(activation="relu", width=9), 0.8))
    summary = summarise(table, grid=["activation"])
    assert len(summary.cells) == 2
    assert summary.comparisons == ()


def test_lists_are_values_too(study, run):
    table = study((run(activation=["relu", "tanh"]), 0.9), (run(activation="relu"), 0.8))
    summary = summarise(table)
    assert summary.grid == ("activation",)
    assert len(summary.comparisons) == 1


def test_of_two_runs_with_one_seed_the_later_counts(study, run):
    summary = summarise(study((run(activation="relu"), 0.3), (run(activation="relu"), 0.9)))
    assert summary.cells[0].figures["test_accuracy"].mean == 0.9
    assert summary.cells[0].figures["test_accuracy"].count == 1


def test_a_vanished_gradient_shows_in_the_figures(study, run):
    content = {"accuracies": {0: 0.3, 20: 0.3}, "norms": {0: (0.0, 1.0), 20: (0.1, 1.0)}}
    cell = summarise(study((run(), content), (run(seed=1), content))).cells[0]
    assert cell.figures["log_ratio_start"].mean == -math.inf
    assert cell.figures["log_ratio_end"].mean == pytest.approx(-1)
    assert cell.figures["slope_start"].missing == 2


def test_energy_and_target_that_no_seed_has_are_missing(study, run):
    figures = summarise(grid(study, run, {("relu", 0.1): (0.9, 0.5)}), target_accuracy=0.8).cells[0].figures
    assert (figures["joules"].count, figures["joules"].missing) == (0, 2)
    assert (figures["steps_to_target"].mean, figures["steps_to_target"].missing) == (20, 1)


def test_an_empty_table():
    summary = summarise(Table.from_rows([], []))
    assert (summary.cells, summary.comparisons, summary.grid) == ((), (), ())


def test_every_figure_has_a_title_and_a_meaning():
    for name, figure in FIGURES.items():
        assert figure.name == name
        assert figure.title
        assert figure.meaning
    assert {figure.better for figure in FIGURES.values()} == {"higher", "lower", ""}


@pytest.mark.parametrize(
    ("module", "loaded"), [("evenflow.compare", "False False"), ("scipy.stats", "True False")]
)
def test_comparing_loads_neither_scipy_stats_nor_torch(module: str, loaded: str):
    code = f"import sys, {module}; print('scipy.stats' in sys.modules, 'torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == loaded
