"""Whole scripts under watch: what they compute, what they see of themselves, and what is on record of them."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import training_scripts as scripts

import evenflow as ef
from evenflow.cli import main

SOURCE = Path(ef.__file__).parents[1]
WATCH = ("-m", "evenflow", "watch")


def missing(name: str) -> bool:
    return importlib.util.find_spec(name) is None


def python(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, as a user does."""
    settings = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True, env=settings
    )
    assert process.returncode == code, process.stderr
    return process


@pytest.fixture
def watched(tmp_path, monkeypatch, capsys):
    """(exit code, output, error) of a script under watch in this process."""
    monkeypatch.chdir(tmp_path)

    def call(text, *arguments, options=(), name="train.py"):
        (tmp_path / name).write_text(text)
        with pytest.raises(SystemExit) as caught:
            main(["watch", *options, name, *arguments])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return call


def stored(folder: Path, name: str = "train") -> ef.Store:
    return ef.Store.open(folder / "runs" / name / "flow.sqlite")


def losses(table: ef.Table) -> list[float]:
    values = table["loss"]
    return values[~np.isnan(values)].tolist()


def same_weights(folder: Path, first: str, second: str) -> bool:
    one, other = torch.load(folder / first), torch.load(folder / second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Scripts of every kind, each in a process of its own.


def test_a_script_in_the_style_of_the_examples_of_pytorch(tmp_path):
    (tmp_path / "train.py").write_text(scripts.MLP)
    alone = python(tmp_path, "train.py", "--every", 1, "alone.pt")
    watched = python(tmp_path, *WATCH, "--every", 2, "train.py", "--every", 1, "watched.pt")
    assert watched.stdout == alone.stdout
    assert same_weights(tmp_path, "alone.pt", "watched.pt")
    said = [float(line.split()[-1]) for line in alone.stdout.splitlines() if "loss" in line]
    with stored(tmp_path) as store:
        (run,) = store.runs()
        assert (run.key, run.status, run.facts["model"]) == ("train", "finished", "Net")
        assert run.facts["arguments"] == ["--every", "1", "watched.pt"]
        table = store.table()
    assert np.unique(table["step"]).tolist() == list(range(0, 20, 2))
    assert losses(table) == pytest.approx(said[::2], rel=1e-6)
    assert set(table.select(kind="activation")["name"]) == {":relu"}  # F.relu, in the first step too
    assert table.select(kind="activation", step=0)["zero_fraction"][0] > 0.2
    assert "evenflow: Net, 20 steps" in watched.stderr
    assert "runs/train/flow.sqlite" in watched.stderr


@pytest.mark.parametrize(
    ("text", "steps", "clipped"),
    [
        pytest.param(scripts.LSTM, 6, True, id="a loop by hand, with clipping"),
        pytest.param(
            scripts.ACCELERATE,
            4,
            True,
            id="accelerate",
            marks=pytest.mark.skipif(missing("accelerate"), reason="accelerate is not installed"),
        ),
        pytest.param(
            scripts.LIGHTNING,
            8,
            False,
            id="lightning",
            marks=pytest.mark.skipif(missing("lightning"), reason="lightning is not installed"),
        ),
    ],
)
def test_other_ways_to_train(tmp_path, text, steps, clipped):
    (tmp_path / "train.py").write_text(text)
    python(tmp_path, "train.py", "alone.pt")
    python(tmp_path, *WATCH, "--every", 1, "train.py", "watched.pt")
    assert same_weights(tmp_path, "alone.pt", "watched.pt")
    weights = torch.load(tmp_path / "watched.pt")
    with stored(tmp_path) as store:
        table = store.table()
    assert np.unique(table["step"]).tolist() == list(range(steps))
    assert len(losses(table)) == steps
    assert set(weights) <= set(table["name"])
    assert set(table.select(kind="weight", step=0)["phase"]) >= {"accumulated"}
    assert bool(len(table.select(phase="clipped"))) == clipped
    if not clipped:
        assert table.select(kind="activation")["name"].tolist() == ["1"] * steps


def test_ctrl_c_ends_with_a_summary_and_a_whole_store(tmp_path):
    (tmp_path / "train.py").write_text(scripts.ENDLESS)
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "evenflow: stopped" in error
    assert "Traceback" not in error
    with stored(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.facts["message"]) == ("failed", "stopped by Ctrl-C")
        steps = np.unique(store.table()["step"])
    assert len(steps) >= 50
    assert steps.tolist() == list(range(len(steps)))
    done = (
        f"{len(steps) - 1:,} steps",
        f"{len(steps):,} steps",
    )  # the last may have been cut off in its middle
    assert any(each in error for each in done)


def test_a_killed_script_leaves_a_store_that_can_be_read(tmp_path):
    (tmp_path / "train.py").write_text(scripts.ENDLESS)
    process = start(tmp_path)
    time.sleep(1.2)  # rows are written every second
    process.kill()
    process.communicate(timeout=60)
    with stored(tmp_path) as store:
        steps = np.unique(store.table()["step"])
    assert len(steps) >= 50
    assert steps.tolist() == list(range(len(steps)))


def start(folder: Path) -> subprocess.Popen[str]:
    """The endless script under watch, when it has made 50 steps."""
    settings = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *WATCH, "--every", "1", "train.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=settings,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "50\n"
    return process


# What a script sees of itself; most in this process.


def test_torch_comes_when_the_script_imports_it_and_not_before(tmp_path):
    text = """
import sys
print("torch" in sys.modules)
import torch
print(type(torch.__spec__.loader).__name__, vars(torch.__spec__.loader).keys())
"""
    (tmp_path / "late.py").write_text(text)
    late = python(tmp_path, *WATCH, "late.py").stdout
    assert late == "False\nSourceFileLoader dict_keys(['name', 'path'])\n"


def test_its_names_and_arguments(watched, tmp_path):
    text = "import sys\nprint(sys.argv, sys.path[0], __name__, __file__, __package__, __spec__, sys.stdin.__class__)"
    alone = tmp_path / "sub" / "who.py"
    alone.parent.mkdir()
    arguments = ["--help", "-m", "--", "--every", "x"]
    alone.write_text(text)
    expected = python(tmp_path, "sub/who.py", *arguments).stdout
    code, out, _ = watched(text, *arguments, name="sub/who.py")
    assert (code, out.rsplit(" ", 2)[0]) == (0, expected.rsplit(" ", 2)[0])
    assert expected.startswith("['sub/who.py', '--help', '-m', '--', '--every', 'x']")


def test_a_module_runs_as_after_python_m(tmp_path):
    (tmp_path / "package").mkdir()
    text = (
        "import sys\nfrom . import other\nprint(sys.argv, sys.path[0], __name__, __package__, __spec__.name)"
    )
    (tmp_path / "package" / "train.py").write_text(text)
    (tmp_path / "package" / "other.py").touch()
    arguments = ("-m", "package.train", "--lr", "1", "--help")
    watched = python(tmp_path, "-m", "evenflow", "watch", "-q", *arguments)
    assert watched.stdout == python(tmp_path, *arguments).stdout
    assert watched.stderr == ""


def test_its_own_classes_can_be_pickled(watched):
    text = """
import pickle
class Own:
    def __eq__(self, other):
        return type(other) is type(self)
if __name__ == "__main__":
    text = pickle.dumps(Own())
    print(b"__main__" in text, pickle.loads(text) == Own())
"""
    main_module, path, argv = sys.modules["__main__"], sys.path[:], sys.argv
    assert watched(text)[:2] == (0, "True True\n")
    assert (sys.modules["__main__"], sys.path, sys.argv) == (main_module, path, argv)


@pytest.mark.parametrize(
    ("ending", "code", "error"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('no data')", 1, "no data\n"),
        ("sys.exit(True)", 1, ""),
        ("raise KeyboardInterrupt", 130, "evenflow: stopped\n"),
    ],
)
def test_its_exit_code_is_the_exit_code(watched, ending, code, error):
    found, _, said = watched(f"import sys\n{ending}", options=["--quiet"])
    assert (found, said) == (code, error)


FAILING = """
import torch
from torch import nn
model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(5, 1))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
optimiser.step()
def forward():
    try:
        model(torch.ones(2, 4))
    except RuntimeError as error:
        raise ValueError("the model is wrong") from error
forward()
"""


def test_a_traceback_shows_the_frames_of_the_user(watched):
    code, _, error = watched(FAILING)
    assert code == 1
    trace, _, summary = error.partition("ValueError: the model is wrong\n")
    assert "mat1 and mat2 shapes cannot be multiplied" in trace
    assert f'{os.sep}train.py", line 9, in forward' in trace
    assert "evenflow" not in trace
    assert "runpy" not in trace
    assert "evenflow: Sequential, 1 step\n" in summary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trian.py",), 'trian.py: no such script; did you mean "train.py"?'),
        (("nowhere/train.py",), "nowhere/train.py: no such script"),
        ((".",), ". is a folder; give the script in it, or a module with -m"),
        (("wrong.py",), "wrong.py, line 2: '(' was never closed (SyntaxError); nothing was run"),
        (
            ("-m", "no_such_module"),
            "No module named no_such_module; 'evenflow watch -m' takes the name of a module",
        ),
    ],
)
def test_what_cannot_be_run_is_one_line_and_code_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    (tmp_path / "wrong.py").write_text("print('never')\nx = (\n")
    with pytest.raises(SystemExit) as caught:
        main(["watch", *arguments])
    captured = capsys.readouterr()
    assert (caught.value.code, captured.out) == (2, "")
    assert captured.err.startswith(f"evenflow: {message}")
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_store_that_is_none_is_said_before_the_script_runs(watched, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    code, out, error = watched("print('ran')", options=["--out", "notes.txt"])
    assert (code, out) == (2, "")
    assert "is not a store" in error
