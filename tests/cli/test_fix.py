"""`evenflow fix` as it is typed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from verify_trainings import NOTHING, RELU, prescription

from evenflow.cli import main
from evenflow.cli.fix import _seconds
from evenflow.errors import SpecError, StoreError
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


class Stuck(torch.optim.lr_scheduler.LRScheduler):
    def get_lr(self):
        if self.last_epoch > 1:
            raise RuntimeError("no rate")
        return self.base_lrs


def scheduled():
    model, batches, loss_fn, optimizer = sound()
    return model, batches, loss_fn, optimizer, Stuck(optimizer)


def takes(where):
    return where


def ends():
    raise SystemExit(3)


def without_labels():
    model, batches, _, optimizer = setup()
    return model, [(inputs, None) for inputs, _ in batches], lambda output: output.square().mean(), optimizer


def only_inputs():
    model, batches, loss_fn, optimizer = setup()
    return model, [inputs for inputs, _ in batches], loss_fn, optimizer


class Wrapped(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.first, self.rest = model[:2], model[2:]
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return {"scores": self.rest(self.first(x)), "more": (x, [None])}


def nested():
    model, batches, _, _ = make(lambda: nn.ReLU(inplace=True), 3)
    with torch.no_grad():
        for layer in list(model)[:-1:2]:
            layer.bias.fill_(-10.0)
    model[4] = model[2]  # one layer twice
    model = Wrapped(model)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    loss_fn = lambda output, target: nn.functional.cross_entropy(output["scores"], target)
    return model, batches, loss_fn, optimizer


def trained():
    model, batches, loss_fn, optimizer = sound()
    for _ in range(4):
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()
    optimizer.param_groups[0]["lr"] = 3.0
    return model, batches, loss_fn, optimizer


def full():
    model, batches, loss_fn, optimizer = setup()

    def loss(output, target):
        raise MemoryError("no more")

    return model, batches, loss, optimizer


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
    assert "The one change that was tried is no better" in (folder / "page.html").read_text()


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
        (["sick_training.py:takes"], "such as def setup(): return takes(...)"),
        (["sick_training.py:ends"], "sick_training.py:ends raises SystemExit: 3 (sick_training.py, line"),
        (
            ["sick_training.py:without_labels"],
            "give lambda output, target: ..., and (input, None) as batches",
        ),
        (["sick_training.py:only_inputs"], "or (x, None) where there is no target"),
        (["sick_training.py:full"], "the memory is full: give smaller batches"),
        (["sick_training.py", "--store", "sick_training.py"], "sick_training.py is not a store of Evenflow"),
        (
            ["sick_training.py:wrong"],
            "returns int; the doctor needs (model, batches, loss_fn[, optimizer[, scheduler]])",
        ),
        (
            ["sick_training.py:raising"],
            "step 0 of the trial: the model raises RuntimeError: mat1 and mat2 shapes",
        ),
        (["sick_training.py:scheduled"], "step 1 of the trial: the scheduler raises RuntimeError: no rate"),
        (["sick_training.py", "--budget", "soon"], 'evenflow: --budget "soon": give a time above 0'),
        (["sick_training.py", "--metric", "f1"], 'metric="f1" of fix: give "score", "loss"'),
        (["sick_training.py", "--metric", "sick_training.py:larges"], 'did you mean "largest"?'),
        (["sick_training.py", "--only", "chang_activation"], 'did you mean "change_activation"?'),
    ],
)
def test_what_cannot_be_done_is_said(capsys, arguments, message):
    assert code_of(*arguments, "--steps", "4") == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_what_cannot_be_written_is_told_all_the_same(monkeypatch, capsys):
    assert code_of("sick_training.py:sound", "--steps", "40", "--out", "/dev/full") == 2
    found = capsys.readouterr()
    assert "Nothing needs to change" in found.out
    assert "No space left on device" in found.err

    def full(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(repair, "_keep", full)
    assert code_of("sick_training.py:sound", "--steps", "40", "--store", "kept.sqlite") == 2
    found = capsys.readouterr()
    assert "Nothing needs to change" in found.out
    assert "the outcome could not be kept in the store: the disk is full" in found.err


def test_odd_models_are_repaired(folder, monkeypatch, capsys):
    monkeypatch.undo()  # the remedies that there are
    monkeypatch.chdir(folder)
    for name, remedies in (
        ("nested", ("reinitialise", "zero_biases", "change_activation")),
        ("trained", ("lower_learning_rate",)),
    ):
        only = [word for remedy in remedies for word in ("--only", remedy)]
        assert code_of(f"sick_training.py:{name}", "--steps", "40", "--format", "json", *only) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["repaired"], found["reason"]
        assert found["chosen"]["remedy"] in remedies
        assert any("the weights look trained" in note for note in found["notes"]) == (name == "trained")


@pytest.mark.slow
def test_a_process_that_is_stopped_leaves_files_as_they_were(folder):
    script = folder / "sick_training.py"
    text = script.read_text()
    command = [
        sys.executable,
        "-m",
        "evenflow",
        "fix",
        "sick_training.py",
        "--store",
        "kept.sqlite",
        "--steps",
        "4000",
    ]
    for stop, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        (folder / "kept.sqlite").unlink(missing_ok=True)
        process = subprocess.Popen(
            command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        assert process.stderr is not None
        while "printed by the script" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(stop)
        _, error = process.communicate(timeout=60)
        assert process.returncode == code
        assert "Traceback" not in error
        assert script.read_text() == text
        if (folder / "kept.sqlite").exists():
            with Store.open("kept.sqlite") as store:
                assert "fix" not in store.meta


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
