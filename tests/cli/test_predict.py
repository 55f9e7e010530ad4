"""`evenflow predict` as people type it; the engine behind it is stood in for, theory is not."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from prediction_tables import drawn_table, predicted_table

from evenflow.cli import main


@pytest.fixture
def engine(monkeypatch):
    """Stands in for `evenflow.study.forecast`; remembers what it was asked."""
    asked: dict[str, tuple] = {}
    module = types.ModuleType("evenflow.study.forecast")

    def predict(network, data, loss, **settings):
        asked["predict"] = (network, data, loss, settings)
        layers = network.layers
        logs = [-1.0 - 2.0 * (layers - layer) for layer in range(layers + 1)]
        return predicted_table(logs, activation=network.plain["activation"], warnings=["8 units are few"])

    def draw(network, data, loss, *, seeds, progress, **settings):
        asked["draw"] = (network, data, loss, seeds, settings)
        for seed in range(seeds):
            progress(seed + 1)
        return drawn_table([[0.1] * (network.layers + 1)] * seeds)

    module.predict, module.draw = predict, draw  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "evenflow.study.forecast", module)
    return asked


@pytest.fixture
def run(capsys, monkeypatch):
    """(exit code, lines of the output, error) of a call in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["predict", *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out.splitlines(), captured.err

    return call


def words(lines):
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--map", "--chain"), "--map and --chain are two different answers; give one of them"),
        (("--map", "--advise"), "--map and --advise are two different answers; give one of them"),
        (("--chain", "--advise"), "--chain and --advise are two different answers; give one of them"),
        (("--advise", "--measure", "3"), "--measure does not go with --advise; leave one of them out"),
        (("--advise", "--all"), "--all does not go with --advise; leave one of them out"),
        (("--advise", "--plot", "x.html"), "--plot does not go with --advise; leave one of them out"),
        (("--advise", "--at", "0"), "--at belongs to --chain; add --chain, or leave --at out"),
        (("--advise", "--loss", "hinge"), 'loss "hinge" is not known; known: cross_entropy, mse'),
        (("--weight", "1"), "--weight belongs to --chain; add --chain, or leave --weight out"),
        (("--map", "--at", "0"), "--at belongs to --chain; add --chain, or leave --at out"),
        (
            ("--weight-variance", "2"),
            "--weight-variance belongs to --map; add --map, or leave --weight-variance out",
        ),
        (("--map", "--depth", "3"), "--depth does not go with --map; leave one of them out"),
        (("--map", "--all"), "--all does not go with --map; leave one of them out"),
        (("--chain", "--measure", "3"), "--measure does not go with --chain; leave one of them out"),
        (("--chain", "--plot", "x.html"), "--plot does not go with --chain; leave one of them out"),
        (("--measure", "0"), "--measure 0: at least 1 network is needed"),
        (("--batch", "0"), "--batch 0: a batch has at least 1 sample"),
        (("--depth", "0"), "depth = 0: a network has at least 1 hidden layer"),
        (("--depth", "1.5"), 'Invalid value for --depth: "1.5" is not a whole number'),
        (("--plot", "x.pdf"), 'figure "x.pdf": the ending must be .html, .png or .svg'),
        (("--width", "8,x"), '--width "8,x": "x" is not a number; write numbers with commas between,'),
        (("--width", "8.5"), '--width "8.5": 8.5 is not a whole number'),
        (("--activation", "rellu"), 'activation "rellu" is not known; did you mean "relu"?'),
        (("--data", "digit"), 'data set "digit" is not known; did you mean "digits"?'),
        (
            ("--map", "--activation", "relu,tanh"),
            "--map shows one activation, not several (relu, tanh); give one with --activation",
        ),
        (
            ("--map", "--initialisation", "constant:1"),
            "--map: the network has no place in a phase diagram: its weights are constant; "
            "give --weight-variance and --bias-variance",
        ),
        (("--map", "--weight-variance", "0"), "the weight variance σ_w² is above 0 and finite, not 0"),
        (("--chain", "--weight", "1,,2"), '--weight "1,,2": a number is missing; write numbers with commas'),
        (("--chain", "--depth", "1", "--weight", "1,2"), "a chain of 1 hops takes at most 1 of each;"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_one_line_and_code_2(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, lines, error = run(*arguments)
    assert (code, lines) == (2, [])
    assert error.startswith(f"evenflow: {message}")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_table_holds_what_the_engine_said(run, engine):
    code, lines, error = run("--depth", 4, "--width", 8, "--activation", "gelu", "--initialisation", "he")
    assert (code, error) == (0, "")
    network, data, loss, settings = engine["predict"]
    assert (network.depth, network.width, network.activation, network.initialisation) == (4, 8, "gelu", "he")
    assert (data.name, loss, settings) == ("digits", "cross_entropy", {})
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert rows["1"] == ["−9.00", "±", "0.10", "1.0", "–", "vanishing:", "10⁻⁸"]
    assert rows["output"] == ["−1.00", "±", "0.10", "–", "–"]
    text = words(lines)
    assert "Predicted gradient of the first layer: 1.0 × 10⁻⁸ of the last layer's." in text
    assert "phase ordered, χ₁ = 0.500 at σ_w² = 2.00, σ_b² = 0." in text
    assert "warning: 8 units are few" in text
    assert max(map(len, lines)) <= 80
    assert "draw" not in engine


def test_lists_and_settings_reach_the_engine(run, engine):
    arguments = ("--width", "8,6,4", "--activation", "relu, sigmoid", "--batch", 16, "--loss", "mse")
    fields = ("--normalisation", "layer", "--normalisation-position", "after", "--data", "blobs")
    code, lines, _ = run(*arguments, *fields)
    assert code == 0
    network, data, loss, settings = engine["predict"]
    assert (network.widths, network.activation) == ((8, 6, 4), ("relu", "sigmoid"))
    assert (network.normalisation, network.normalisation_position) == ("layer", "after")
    assert (data.name, loss, settings) == ("blobs", "mse", {"batch": 16})
    assert "sigmoid" in next(line for line in lines if line.strip().startswith("2 "))
    assert "phase" not in words(lines)


def test_a_factor_of_0_is_not_left_out(run, engine):
    run("--residual", "pre", "--residual-scale", "0")
    assert engine["predict"][0].residual_scale == 0.0


def test_measured_networks_stand_beside_the_prediction(run, engine):
    code, lines, error = run("--depth", 2, "--measure", 4, "--batch", 16)
    assert (code, error) == (0, "")
    assert engine["draw"][3:] == (4, {"batch": 16})
    assert engine["draw"][:2] == engine["predict"][:2]
    text = words(lines)
    assert "1 −5.00 ± 0.10 −1.00 ± 0.00" in text
    assert "Furthest apart in layer 1: predicted −5.00, measured −1.00, a factor of 1.0 × 10⁴." in text
    assert "For the picture add --plot flow.html (or .png, .svg)." in text
    assert max(map(len, lines)) <= 80


def test_the_picture_is_written_and_named(run, engine, tmp_path):
    path = tmp_path / "flow.html"
    code, lines, _ = run("--depth", 2, "--measure", 2, "--plot", path)
    assert code == 0
    assert lines[-1] == f"figure: {path}"
    assert "predicted mean" in path.read_text(encoding="utf-8")
    assert engine["draw"]


def test_a_deep_network_is_shortened_unless_all_is_asked_for(run, engine):
    _, lines, _ = run("--depth", 100)
    assert "22 of 101 layers; --all shows every one" in words(lines)
    assert engine
    _, lines, _ = run("--depth", 100, "--all")
    assert "--all" not in words(lines)
    assert [line.split()[0] for line in lines if "±" in line][:-2] == [str(n) for n in range(1, 101)]


def test_network_and_data_from_a_study_file(run, engine, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(
        '[network]\ndepth = 3\nactivation = "tanh"\n[data]\nname = "spirals"\n[grid]\nwidth = [4, 8]\n'
    )
    code, _, error = run("--network", path, "--activation", "gelu")
    network, data, *_ = engine["predict"]
    assert (code, network.depth, network.activation, data.name) == (0, 3, "gelu", "spirals")
    assert error == f"{path} has a grid; this predicts its [network] alone\n"


def test_the_map_of_tanh(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, lines, _ = run("--map", "--activation", "tanh", "--initialisation", "he")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert rows["phase"][0] == "chaotic"
    assert rows["χ₁"][0] == "1.106"
    assert rows["ξ_∇"][0] == "−9.97"
    assert lines[-1] == "figure: phase-map.html"
    assert "your network = He" in Path("phase-map.html").read_text(encoding="utf-8")
    assert max(map(len, lines)) <= 80


def test_the_map_at_a_point_that_is_given(run, tmp_path):
    path = tmp_path / "map.html"
    point = ("--weight-variance", "1.5", "--bias-variance", "0.2")
    code, lines, _ = run("--map", "--activation", "softplus", *point, "--plot", path)
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert (code, rows["σ_w²"][0], rows["σ_b²"][0], rows["phase"][0]) == (0, "1.500", "0.200", "ordered")
    assert "Critical line: no critical initialisation exists for softplus" in words(lines)
    assert path.is_file()


def test_the_map_says_that_a_variance_grows(run, tmp_path):
    path = tmp_path / "map.html"
    _, lines, _ = run("--map", "--weight-variance", "2.5", "--bias-variance", "0", "--plot", path)
    assert "q* ∞ the variance grows without bound" in words(lines)


def test_the_textbooks_chain(run):
    code, lines, _ = run("--chain", "--activation", "sigmoid", "--weight", "0.1", "--depth", "3")
    assert code == 0
    rows = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert rows == [
        ["3", "sigmoid", "0.25", "0.1", "0.025", "0.025"],
        ["2", "sigmoid", "0.25", "0.1", "0.025", "0.000625"],
        ["1", "sigmoid", "0.25", "0.1", "0.025", "1.5625", "×", "10⁻⁵"],
    ]
    assert "64,000 times smaller" in words(lines)
    assert max(map(len, lines)) <= 80


def test_a_chain_of_several_activations_at_given_places(run):
    arguments = ("--activation", "relu,sigmoid", "--weight", "-2,1", "--depth", "4", "--at", "-1,0")
    _, lines, _ = run("--chain", *arguments)
    rows = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [row[:4] for row in rows] == [
        ["4", "sigmoid", "0.25", "1"],
        ["3", "relu", "0", "−2"],
        ["2", "sigmoid", "0.25", "1"],
        ["1", "relu", "0", "−2"],
    ]
    assert "exactly 0" in words(lines)
    assert "at the pre-activation that was given" in words(lines)


def test_advice_is_a_table_a_verdict_and_code_that_runs(run):
    code, lines, error = run(
        "--advise", "--activation", "tanh", "--depth", 12, "--width", 24, "--data", "blobs", "--batch", 16
    )
    assert (code, error) == (0, "")
    text = words(lines)
    assert "12 × 24, tanh, torch, on blobs" in text
    assert "recommended initialisation" in text
    assert "Depth 12 is out of reach as it is: the gradient vanishes, in layer " in text
    assert "Recommended initialisation: σ_w = 1.467, σ_b = 0.389" in text
    assert "With it tanh is critical, and the variance is stable." in text
    begin = lines.index("from torch import nn")
    compile("\n".join(lines[begin:]), "snippet", "exec")
    assert max(map(len, lines[:begin])) <= 80


def test_help_has_an_example_of_every_kind(run):
    code, lines, _ = run("--help")
    text = words(lines)
    assert code == 0
    for example in (
        "--measure 20 --plot flow.html",
        "--map --activation tanh",
        "--chain --activation sigmoid",
        "--advise --activation sigmoid",
    ):
        assert f"evenflow predict {example}" in text or example in text
    assert max(map(len, lines)) <= 80
