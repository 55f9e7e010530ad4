"""`evenflow activations` as people type it."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from evenflow.cli.activations import _general, _intervals, activations


def run(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "evenflow", "activations", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture
def printed(capsys, monkeypatch):
    """The lines that a call prints into 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*names, **options):
        assert activations(*names, **options) == 0
        return capsys.readouterr().out.splitlines()

    return call


def cells(lines):
    return [line.split() for line in lines if line.strip() and "─" not in line]


def test_the_table_of_relu_as_typed():
    done = run("relu", "--at", "-3,-1,0,0.5,1,3")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = cells(done.stdout.splitlines())
    assert header == ["z", "f(z)", "f'(z)"]
    assert rows == [
        ["-3", "0", "0"],
        ["-1", "0", "0"],
        ["0", "0", "0"],
        ["0.5", "0.5", "1"],
        ["1", "1", "1"],
        ["3", "3", "1"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("relu", "--at", "-3,abc"),
            '--at "-3,abc": "abc" is not a number; write numbers with commas between, such as --at -3,0,2.5',
        ),
        (
            ("relu", "--at", "1,,2"),
            '--at "1,,2": a number is missing; write numbers with commas between, such as --at -3,0,2.5',
        ),
        (
            ("relu", "--at", "nan"),
            '--at "nan": "nan" is not a number; write numbers with commas between, such as --at -3,0,2.5',
        ),
        (("--at", "1"), "--at needs an activation, such as: evenflow activations relu --at -1,0,1"),
        (
            ("rellu",),
            'activation "rellu" is not known; did you mean "relu"? \'evenflow activations\' lists all 15.',
        ),
        (("--plot", "x.pdf"), 'figure "x.pdf": the ending must be .html, .png or .svg'),
    ],
    ids=["word", "missing", "nan", "no name", "misspelt", "ending"],
)
def test_bad_input_is_one_line_and_code_2(arguments, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"evenflow: {message}\n"


def test_the_list_fits_80_columns_and_holds_measured_figures(printed):
    lines = printed()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    text = "\n".join(lines)
    assert "E[f²]" in text
    assert "E[f'²]" in text
    forward = {row[0]: row[1:] for row in cells(lines[:20])}
    backward = {row[0]: row[1:] for row in cells(lines[20:])}
    assert forward["sigmoid"] == ["0.000", "1.000", "0.500", "0.293", "1.846", "yes"]
    assert forward["identity"] == ["-∞", "∞", "0", "1.000", "1.000", "yes"]
    assert backward["sigmoid"] == ["0.250", "0", "0.045", "|z|", ">", "5.99", "-"]
    assert backward["tanh"][:2] == ["1.000", "0"]
    assert backward["relu"] == ["1.000", "0", "0.500", "z", "<", "0", "z", "<", "0"]
    assert backward["softplus"][:2] == ["1.000", "∞"]
    assert len([row for row in cells(lines) if row[0] == "swish"]) == 0


def test_several_names_are_compared_and_one_is_described(printed):
    assert [row[0] for row in cells(printed("swish", "tanh", "silu"))].count("silu") == 2
    text = "\n".join(printed("relu"))
    for part in (
        "max(0, z)",
        "1 if z > 0 else 0",
        "Nair & Hinton 2010",
        "1 at z = 0",
        "by convention",
        "z < 0",
    ):
        assert part in text


def test_values_of_several(printed):
    lines = printed("sigmoid", "tanh", at="0,-inf")
    rows = cells(lines)
    assert rows == [
        ["Sigmoid"],
        ["z", "f(z)", "f'(z)"],
        ["0", "0.5", "0.25"],
        ["-∞", "0", "0"],
        ["Tanh"],
        ["z", "f(z)", "f'(z)"],
        ["0", "0", "1"],
        ["-∞", "-1", "0"],
    ]


def test_cost_adds_columns(printed, monkeypatch):
    from evenflow.measure import activation_cost

    costs = {
        "relu": activation_cost.ActivationCost(1.0, 1.0),
        "mish": activation_cost.ActivationCost(15.26, 7.04),
    }
    monkeypatch.setattr(activation_cost, "activation_costs", lambda _, **__: costs)
    rows = cells(printed("relu", "mish", cost=True))
    assert [row[-1] for row in rows if row[0] == "mish"] == ["15.3", "7.0"]
    assert max(map(len, printed("relu", "mish", cost=True))) <= 80
    text = "\n".join(printed("mish", cost=True))
    assert "forward, ReLU = 1" in text
    assert "15.3" in text


def test_cost_is_measured_on_what_training_runs(printed):
    rows = cells(printed("relu", "prelu", cost=True))
    costs = {row[0]: float(row[-1]) for row in rows if row[0] in ("relu", "prelu")}
    assert costs["relu"] == pytest.approx(1.0, abs=0.6)
    assert costs["prelu"] > 1.5  # its backward pass sums the gradient of every slope


def test_plot_writes_the_file_and_names_it(printed, tmp_path):
    path = tmp_path / "curves.html"
    assert f"figure: {path}" in printed("relu", "tanh", plot=path)
    assert "Tanh" in path.read_text(encoding="utf-8")


def test_help_has_an_example():
    done = run("--help")
    assert done.returncode == 0
    assert "evenflow activations relu --at -3,-1,0,0.5,1,3" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_words_for_intervals_and_numbers():
    inf = math.inf
    assert _intervals(()) == "-"
    assert _intervals(((-inf, -5.986), (5.986, inf))) == "|z| > 5.99"
    assert _intervals(((-inf, 0.0), (6.0, inf))) == "z < 0, z > 6"
    assert _intervals(((-inf, -3.02), (-0.779, -0.726))) == "z < -3.02, -0.779 to -0.726"
    assert _intervals(((-inf, inf),)) == "everywhere"
    assert (_general(-0.0), _general(0.1), _general(-inf), _general(1e4)) == ("0", "0.1", "-∞", "10000")


def test_a_page_is_written_and_named(printed, tmp_path):
    lines = printed("relu", animate=tmp_path / "page.html")
    assert lines[-1].startswith("page: ")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_an_animation_is_a_page():
    done = run("relu", "--animate", "page.gif")
    assert done.returncode == 2
    assert "the ending must be .html" in done.stderr
