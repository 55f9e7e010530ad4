"""Numbers in the user's own files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from changed_trainings import training_of, view_of

from evenflow.prescribe.diff import applied
from evenflow.prescribe.literals import optimiser_edits, own_files
from evenflow.prescribe.lower_learning_rate import REMEDY as LOWER
from evenflow.prescribe.lower_weight_decay import REMEDY as DECAY

SCRIPT = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.head(inputs)


def made():
    model = Net()
    return model, torch.optim.SGD(model.parameters(), lr=30.0, weight_decay=3.0)  # größer
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def loaded(text: str, name: str = "script"):
        file = tmp_path / f"{name}.py"
        file.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"{name}_of_this_test", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module, file

    return loaded


def training_in(module):
    torch.manual_seed(0)
    model, optimizer = module.made()
    return training_of(model, [(torch.randn(8, 4), torch.randint(0, 3, (8,)))], optimizer=optimizer)


@pytest.mark.parametrize(("remedy", "key"), [(LOWER, "lr"), (DECAY, "weight_decay")])
def test_the_number_in_the_line_that_makes_the_optimiser_is_changed(load, remedy, key):
    module, file = load(SCRIPT)
    training = training_in(module)
    assert own_files(training) == (file,)
    form = remedy.forms(view_of(training))[0]
    (edit,) = form.code().edits
    after, _ = load(applied(SCRIPT, [edit]), "edited")
    changed = form.change(training.copied()).patient.optimizer.param_groups[0]
    was, now = module.made()[1].param_groups[0], after.made()[1].param_groups[0]
    assert now[key] == changed[key] != was[key]
    assert {name for name in was if name != "params" and was[name] != now[name]} == {key}
    assert edit.new[0].endswith("# größer")


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT.replace("lr=30.0", "lr=float(30)"),
        SCRIPT + "\n\ndef other(model):\n    return torch.optim.SGD(model.parameters(), lr=30.0)\n",
        SCRIPT + "\n\ndef other(model, rate):\n    return torch.optim.SGD(model.parameters(), lr=rate)\n",
        SCRIPT.replace("lr=30.0", "lr=20.0 + 10.0"),
    ],
    ids=["no number", "two of them", "one of them computed", "a sum"],
)
def test_what_is_not_certain_is_left_alone(load, text):
    module, _ = load(text)
    assert optimiser_edits(training_in(module), "lr", 30.0, "0.3") == ()


def test_files_of_torch_are_not_the_users():
    training = training_of(torch.nn.Linear(4, 3), [(torch.randn(8, 4), torch.randint(0, 3, (8,)))])
    assert own_files(training) == ()
