"""`evenflow doctor` as it is typed."""

from __future__ import annotations

import json

import pytest

from evenflow.cli import main
from evenflow.record.store import Store

SCRIPT = """
import torch
from torch import nn

assert __name__ != "__main__"


def {name}():
    torch.manual_seed(0)
    inputs = torch.randn(32, 4)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, (inputs, inputs[:, :3].argmax(1)), nn.functional.cross_entropy, optimizer


other = 3


def broken():
    raise ValueError("no data")


def short():
    return {name}()[:2]


def asks(where):
    return where


class Stuck(torch.optim.lr_scheduler.LRScheduler):
    def get_lr(self):
        if self.last_epoch > 1:
            raise RuntimeError("no rate")
        return self.base_lrs


def scheduled():
    model, batches, loss_fn, optimizer = {name}()
    return model, batches, loss_fn, optimizer, Stuck(optimizer)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def write(folder, name="setup", file="training_script.py"):
    (folder / file).write_text(SCRIPT.format(name=name))


def code_of(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(["doctor", *arguments])
    return caught.value.code


def test_a_script_with_a_function_that_it_looks_for(folder, capsys):
    write(folder)
    assert code_of("training_script.py", "--steps", "4", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    (diagnosis,) = found["diagnoses"]
    assert (diagnosis["run"], diagnosis["steps"]) == ("doctor", 4)


def test_a_scheduler_behind_the_optimizer_is_stepped(folder, capsys):
    write(folder)
    assert code_of("training_script.py:scheduled", "--steps", "4") == 2
    assert "step 1 of the trial: the scheduler raises RuntimeError: no rate" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize("target", ["sub/training_script.py:make", "made_up_module:make"])
def test_a_function_that_is_named(folder, capsys, target):
    (folder / "sub").mkdir()
    write(folder, "make", "sub/training_script.py")
    write(folder, "make", "made_up_module.py")
    assert code_of(target, "--steps", "3") == 0
    assert "in 3 steps" in capsys.readouterr().out


def test_the_exit_code_says_whether_something_was_found(folder):
    (folder / "still.py").write_text(
        SCRIPT.format(name="setup")
        .replace("lr=0.1)", "lr=0.0)")
        .replace("    return model", "    return model", 1)
    )
    assert code_of("still.py", "--steps", "40", "--fail-on", "fault") == 1
    assert code_of("still.py", "--steps", "40") == 0


def test_figures_are_kept_where_a_store_is_named(folder):
    write(folder)
    assert code_of("training_script.py", "--steps", "3", "--store", "kept.sqlite") == 0
    with Store.open("kept.sqlite") as store:
        assert [run.key for run in store.runs()] == ["doctor"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing.py", "there is no script nothing.py"),
        ("training_scrip.py", 'did you mean "training_script.py"?'),
        ("training_script.py:setu", 'has no function "setu"; did you mean "setup"?'),
        ("training_script.py:broken", "training_script.py:broken raises ValueError: no data"),
        (
            "training_script.py:short",
            "returns 2 things; the doctor needs (model, batches, loss_fn[, optimizer[, scheduler]])",
        ),
        ("training_script.py:asks", "takes arguments, and is called without any; give each a default"),
        ("not_there.at_all:make", "there is no module not_there"),
        (
            "empty.py",
            "has no function doctor or setup that returns (model, batches, loss_fn[, optimizer[, scheduler]])",
        ),
        (
            "wrong.py",
            "wrong.py raises ZeroDivisionError: division by zero (wrong.py, line 1) when it is imported",
        ),
    ],
)
def test_what_cannot_be_examined_is_said(folder, capsys, target, message):
    write(folder)
    (folder / "empty.py").write_text("")
    (folder / "wrong.py").write_text("1 / 0")
    assert code_of(target) == 2
    error = capsys.readouterr().err
    assert message in error
    assert ("def doctor():" in error) == (target == "empty.py")


def test_the_optimiser_that_it_chose_is_said(folder, capsys):
    write(folder)
    text = (folder / "training_script.py").read_text().replace("cross_entropy, optimizer", "cross_entropy")
    (folder / "training_script.py").write_text(text)
    assert code_of("training_script.py", "--steps", "12") == 0
    words = " ".join(capsys.readouterr().out.split())
    assert (
        "trained with Adam at learning rate 0.001 (the doctor's own choice: no optimiser was given)" in words
    )
    assert "the doctor put" not in words


def test_annotations_stand_beside_the_function_that_makes_the_training(folder, capsys):
    (folder / "still.py").write_text(SCRIPT.format(name="setup").replace("lr=0.1)", "lr=0.0)"))
    assert code_of("still.py", "--steps", "40", "--format", "github") == 0
    assert capsys.readouterr().out.startswith(
        "::error file=still.py,line=8,title=EF403 frozen_layers in doctor::"
    )
