"""`evenflow diagnose` and `evenflow rules` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diagnosis_tables import layers, rule, verdict

import evenflow as ef
from evenflow.cli import main
from evenflow.diagnose import engine, rules
from evenflow.diagnose.diagnosis import Diagnosis

FOUND = {
    "train": rule(
        "dead_units", lambda case: verdict("fault", message="dead") if case.run.key == "train" else None
    ),
    "train-2": rule(
        "lr_too_low", lambda case: verdict("risk", message="slow") if case.run.key == "train-2" else None
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Two runs in runs/train/flow.sqlite: the first has a fault, the second a risk, by rules made up."""
    made_up = {each.name: each for each in FOUND.values()}
    for module in (engine, rules):
        monkeypatch.setattr(module, "RULES", made_up)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("runs/train").mkdir(parents=True)
    store_of("runs/train/flow.sqlite", "train", "train-2")
    return tmp_path


def store_of(path, *keys):
    with ef.Store.open(path, "a") as store:
        for key in keys:
            store.extend(store.begin(key, 0, {}), layers(key))


@pytest.fixture
def run(capsys):
    """(exit code, output, error) of a call."""

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return call


TEXT = [
    "train: 1 fault in 3 steps; 2 rules judged",
    "FAULT EF104 dead_units from step 0",
    "  Dead.",
    "  What to do: answer_dead_units",
    "train-2: 1 risk in 3 steps; 2 rules judged",
    "RISK EF402 lr_too_low from step 0",
    "  Slow.",
    "  What to do: answer_lr_too_low",
]


@pytest.mark.parametrize("what", ["runs/train/flow.sqlite", "runs/train", "train"])
def test_every_run_of_the_store_is_judged(run, what):
    code, out, error = run("diagnose", what)
    assert (code, [line.rstrip() for line in out.splitlines()], error) == (0, TEXT, "")


def test_one_run_and_one_rule(run):
    assert run("diagnose", "train", "--run", "train-2")[1].splitlines()[0] == TEXT[4]
    _, out, _ = run("diagnose", "train", "--run", "train-2", "--rule", "EF104")
    assert out.splitlines() == ["train-2: nothing found in 3 steps; 1 rule judged"]


@pytest.mark.parametrize(
    ("key", "level", "code"),
    [
        ("train", "fault", 1),
        ("train", "information", 1),
        ("train-2", "fault", 0),
        ("train-2", "risk", 1),
        (None, "fault", 1),
    ],
)
def test_the_exit_code_says_what_was_found(run, key, level, code):
    which = () if key is None else ("--run", key)
    assert run("diagnose", "train", *which, "--fail-on", level)[0] == code
    assert run("diagnose", "train", *which)[0] == 0


def test_json_is_data_that_come_back(run):
    _, out, _ = run("diagnose", "train", "--format", "json")
    first, second = map(Diagnosis.from_dict, json.loads(out)["diagnoses"])
    assert first == ef.diagnose("runs/train/flow.sqlite", run="train")
    assert second.findings[0].rule == "lr_too_low"


def test_annotations_of_github(run):
    _, out, _ = run("diagnose", "train", "--format", "github")
    assert out.splitlines() == [
        "::error title=EF104 dead_units in train::Dead. What to do: answer_dead_units.",
        "::warning title=EF402 lr_too_low in train-2::Slow. What to do: answer_lr_too_low.",
    ]


@pytest.mark.parametrize("form", ["text", "json", "html", "github"])
def test_it_can_be_written_to_a_file(run, form):
    code, out, error = run(
        "diagnose", "train", "--format", form, "--out", "deep/er/file", "--fail-on", "fault"
    )
    assert (code, out, error) == (1, "", "diagnosis: deep/er/file\n")
    text = Path("deep/er/file").read_text(encoding="utf-8")
    assert "dead_units" in text
    assert "lr_too_low" in text
    assert text.startswith("<!doctype html>") == (form == "html")


def test_a_file_that_cannot_be_written(run):
    code, out, error = run("diagnose", "train", "--out", "runs")
    assert (code, out) == (2, "")
    assert error == "evenflow: --out runs: it cannot be written (Is a directory); give another file\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trian",), 'trian: no such store, and no folder with one; did you mean "train"?'),
        (("xyz",), "xyz: no such store, and no folder with one; 'evenflow watch train.py' records one"),
        (("empty",), "empty: there is no store in this folder; give the file that a probe has written"),
        (("two",), "two: there are several stores, a.sqlite, b.sqlite; give one of them"),
        (("none.sqlite",), "there is no run to judge; a probe, 'evenflow watch' or 'evenflow study' record"),
        (("text",), "text is not a store of Evenflow"),
        (
            ("train", "--run", "trian"),
            'there is no run "trian"; did you mean "train"?; there are train, train-2',
        ),
        (("train", "--rule", "ded_units"), 'rule "ded_units" is not known; did you mean "dead_units"?'),
        (
            ("train", "--fail-on", "error"),
            'Invalid value "error" for --fail-on. Choose from: "fault", "risk",',
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_one_line_and_code_2(run, arguments, message):
    Path("empty").mkdir()
    Path("two").mkdir()
    Path("text").write_text("hello")
    store_of("two/a.sqlite", "a")
    store_of("two/b.sqlite", "b")
    store_of("none.sqlite")
    code, out, error = run("diagnose", *arguments)
    assert (code, out) == (2, "")
    assert error.startswith(f"evenflow: {message}")
    assert error.count("\n") == 1


def test_of_several_stores_the_usual_one_is_meant(run):
    store_of("runs/train/other.sqlite", "other")
    assert "other" not in run("diagnose", "train")[1]


def test_the_rules_are_listed(run):
    code, out, error = run("rules")
    assert (code, error) == (0, "")
    for each in FOUND.values():
        (line,) = [line for line in out.splitlines() if line.split()[:1] == [each.code]]
        assert line.rstrip().split(None, 2)[1:] == [each.name, f"The title of {each.name}"]
    assert max(map(len, out.splitlines())) <= 80


def test_one_rule_is_explained(run, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "80")
    for word in ("vanishing_gradient", "EF101", "vanishing-gradient"):
        code, out, error = run("rules", word)
        assert (code, error) == (0, "")
        assert out.startswith("EF101 vanishing_gradient: ")
        text = " ".join(out.split())
        assert " ".join(rules.RULES["vanishing_gradient"].explanation.split())[:40] in text
        assert "What to do: " in text
        assert max(map(len, out.splitlines())) <= 80


def test_a_rule_that_is_not_there(run):
    code, out, error = run("rules", "lr_to_low")
    assert (code, out) == (2, "")
    assert error == (
        'evenflow: rule "lr_to_low" is not known; did you mean "lr_too_low"?; \'evenflow rules\' lists all 2\n'
    )
