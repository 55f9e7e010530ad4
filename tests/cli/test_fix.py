"""`evenflow fix` as it is typed."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from verify_trainings import NOTHING, RELU, prescription

from evenflow.cli import main
from evenflow.cli.fix import _seconds
from evenflow.errors import SpecError
from evenflow.record.store import Store
from evenflow.verify import repair
from evenflow.verify.repair import Means

SCRIPT = """
import torch
from sklearn.datasets import load_digits
from torch import nn

runs = globals().get("runs", 0) + 1


def make(activation, depth):
    values, classes = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(values[:512] / 16.0).float(), torch.tensor(classes[:512])
    torch.manual_seed(0)
    layers = [nn.Linear(64, 24), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(24, 24), activation()]
    model = nn.Sequential(*layers, nn.Linear(24, 10))
    batches = list(zip(inputs.split(64), targets.split(64)))
    return model, batches, nn.functional.cross_entropy, torch.optim.Adam(model.parameters(), 1e-2)


def setup():
    print("printed by the script")
    return make(nn.Sigmoid, 5)


def sound():
    return make(nn.ReLU, 1)


def largest(model, batches):
    return -max(float(one.abs().max()) for one in model.parameters())


def takes(where):
    return where


def wrong():
    return 3


def raising():
    model, batches, loss_fn, optimizer = setup()
    return model, [(inputs[:, :5], targets) for inputs, targets in batches], loss_fn, optimizer
"""


NAMED = """

def named():
    model, batches, loss_fn, _ = setup()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    return model, batches, loss_fn, optimizer
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "sick_training.py").write_text(SCRIPT)
    means = Means(lambda _: [NOTHING, RELU], lambda *_: ())
    monkeypatch.setattr(repair, "catalogue", lambda: means)
    return tmp_path


def code_of(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(["fix", *arguments])
    return caught.value.code


def test_a_training_that_is_repaired(folder, capsys):
    before = (folder / "sick_training.py").read_text()
    assert code_of("sick_training.py", "--steps", "80", "--store", "kept.sqlite") == 0
    found = capsys.readouterr()
    assert "Repaired: Try change_activation:relu (change_activation:relu)" in found.out
    assert "What to change:" in found.out
    assert "printed by the script" not in found.out
    assert "printed by the script" in found.err
    assert (folder / "sick_training.py").read_text() == before
    with Store.open("kept.sqlite") as store:
        assert store.meta["fix"][0]["repaired"]


def test_a_sound_training_needs_nothing_and_is_no_failure(capsys):
    assert code_of("sick_training.py:sound", "--steps", "80", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["healthy"], found["repaired"], found["steps"]) == (True, False, 0)


def test_what_is_not_repaired_ends_with_1(folder, monkeypatch):
    monkeypatch.setattr(repair, "catalogue", lambda: Means(lambda _: [NOTHING], lambda *_: ()))
    assert code_of("sick_training.py", "--steps", "80", "--format", "html", "--out", "page.html") == 1
    assert "None of the 1 change that was tried is better" in (folder / "page.html").read_text()


def test_ctrl_c_tells_what_was_tried(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    means = Means(lambda _: [RELU, prescription("stop", stop)], lambda *_: ())
    monkeypatch.setattr(repair, "catalogue", lambda: means)
    assert code_of("sick_training.py", "--steps", "80") == 130
    found = capsys.readouterr()
    assert "Stopped by Ctrl-C." in found.out
    assert "tried for 10 steps" in found.out
    assert "not tried" in found.out
    assert "evenflow: stopped" in found.err


def test_a_metric_in_the_same_script(capsys):
    code_of("sick_training.py", "--steps", "40", "--metric", "sick_training.py:largest", "--format", "json")
    assert json.loads(capsys.readouterr().out)["metric"] == "largest"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.py"], "there is no script nothing.py"),
        (["not_there.at_all:make"], "there is no module not_there"),
        (["sick_training.py:takes"], "takes arguments, and is called without any; give each a default"),
        (["sick_training.py:wrong"], "returns int; the doctor needs (model, batches, loss_fn[, optimizer])"),
        (
            ["sick_training.py:raising"],
            "step 0 of the trial: the model raises RuntimeError: mat1 and mat2 shapes",
        ),
        (["sick_training.py", "--budget", "soon"], 'evenflow: --budget "soon": give a time above 0'),
        (["sick_training.py", "--metric", "f1"], 'metric="f1" of fix: give "score", "loss"'),
        (["sick_training.py", "--metric", "sick_training.py:larges"], 'did you mean "largest"?'),
        (["sick_training.py", "--only", "chang_activation"], 'did you mean "change_activation"?'),
    ],
)
def test_what_cannot_be_done_is_said(capsys, arguments, message):
    assert code_of(*arguments, "--steps", "4") == 2
    assert message in capsys.readouterr().err


def test_times_as_people_write_them():
    assert [_seconds(word) for word in ("90", "120s", "5min", "2m", "1h")] == [
        90.0,
        120.0,
        300.0,
        120.0,
        3600.0,
    ]
    for word in ("", "0", "-3s", "nan", "inf"):
        with pytest.raises(SpecError):
            _seconds(word)


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch on this machine")
def test_the_file_is_pointed_into_and_stays_as_it_is(folder, capsys):
    before = folder / "named_training.py"
    before.write_text(SCRIPT + NAMED)
    assert code_of("named_training.py:named", "--steps", "80") == 0
    found = capsys.readouterr().out
    diff = found[found.index("--- a/") : found.index("Or by hand:")]
    assert before.read_text() == SCRIPT + NAMED
    (folder / "change.diff").write_text(diff.strip() + "\n")
    subprocess.run(["patch", "-p1", "-i", "change.diff"], cwd=folder, check=True, capture_output=True)
    assert "model = model  # change_activation:relu" in before.read_text()
