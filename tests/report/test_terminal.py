"""The table in the terminal fits its width and says what must be said."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from evenflow.report.terminal import results

ROW = re.compile(r"\b\d of 3\b")


@pytest.fixture
def shown(study, table):
    def make(width, changes=None, **formulas):
        made = study(**(changes or {}))
        console = Console(width=width, file=StringIO(), force_terminal=False)
        console.print(results(table(made, **formulas), made))
        return console.file.getvalue()  # type: ignore[attr-defined]

    return make


@pytest.mark.parametrize("width", [80, 100, 160])
def test_it_fits(shown, width):
    lines = shown(width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    rows = [line for line in lines if ROW.search(line)]
    assert len(rows) == 4  # no row is broken in two
    assert "0.920 [0.895, 0.945]" in rows[2]
    assert "3 of 3" in rows[2]
    assert "sigmoid" in rows[0]
    assert "−4.00" in rows[0]


def test_a_wide_terminal_shows_more(shown):
    narrow, wide = shown(80), shown(160)
    assert "−4.00 [−4.0, −4.0]" not in narrow
    assert "−4.00 [−4.0, −4.0]" in wide
    assert "saturated" not in narrow
    assert "rated" in wide


def test_a_narrow_terminal_still_shows_the_accuracy(shown):
    assert "0.920" in shown(60)


def test_a_value_that_the_line_above_has_too_is_left_out(shown):
    changes = {"grid": {"initialisation": ("torch", "gain"), "activation": ("sigmoid", "relu")}}
    rows = [line for line in shown(80, changes).splitlines() if ROW.search(line)]
    assert [row.split()[0] for row in rows] == ["torch", "ReLU", "gain", "ReLU"]


def test_remarks(shown):
    text = shown(80)
    assert "Mean of 3 seeds; in brackets the 95 % interval" in text
    assert "Diverged: 0 of 12 trainings." in text
    assert "Energy: not available on this machine." in text
    assert "Energy" not in shown(80, facts=lambda _: {"joules": 3.0})


def test_one_seed(shown):
    text = shown(80, {"seeds": 1})
    assert "One seed: no intervals." in text
    assert "[" not in text


def test_diverged_runs_are_counted_and_shown(shown):
    text = shown(100, status=lambda cell: "diverged" if cell.seed == 0 else "finished")
    assert "Diverged: 4 of 12 trainings." in text
    assert text.count("1 of 3") == 4


def test_open_and_failed_runs(shown):
    text = shown(120, status=lambda cell: ("finished", "running", "failed")[cell.seed])
    assert "So far: 4 trainings not ended." in text
    assert "1 of 3 failed, 1 of 3 not ended" in " ".join(text.split())


def test_a_target_that_only_some_seeds_reach(shown):
    text = shown(120, accuracy=lambda cell, _: 0.95 if cell.seed == 0 else 0.5)
    assert "0 (1/3)" in text


def test_many_networks_are_cut_to_the_best_and_the_worst(shown):
    rates = tuple(0.001 * number for number in range(1, 101))
    text = shown(
        80,
        {"grid": {"learning_rate": rates}},
        accuracy=lambda cell, _: cell.training.learning_rate * 9,
    )
    assert "30 best and 30 worst of 100 networks" in text
    rows = [line for line in text.splitlines() if ROW.search(line)]
    assert len(rows) == 60
    assert rows[0].split()[0] == "0.1"
    assert rows[-1].split()[0] == "0.001"


def test_one_network(shown):
    assert "ReLU" in shown(80, {"grid": {}})
