from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
from prescribed_trainings import named, state, view_of
from torch import nn

from evenflow.prescribe import change_activation, mend_output_layer, reinitialise, replace_recurrence
from evenflow.prescribe.code import edits_in, edits_of
from evenflow.prescribe.diff import applied, folder_of, unified_diff
from evenflow.prescribe.prescription import Edit
from evenflow.spec.setting import Output

SCRIPT = '''
"""A script."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.act = nn.Linear(8, 8), nn.Sigmoid()
        self.more = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid())

    def forward(self, x):
        return torch.sigmoid(self.more(self.act(self.linear(x))))


def setup():
    torch.manual_seed(5)
    net = nn.Sequential(Block(), Block(), nn.Linear(8, 3))
    net[2].bias.data.zero_()
    data = [(torch.ones(16, 8), torch.zeros(16, dtype=torch.long))]
    loss = nn.CrossEntropyLoss()
    adam = torch.optim.Adam(net.parameters())
    return net, data, loss, adam
'''


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that writes a script and imports it."""
    monkeypatch.chdir(tmp_path)

    def make(text: str = SCRIPT, name: str = "training_script"):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return make


def test_a_diff_applies_and_the_script_then_makes_the_changed_model(script, tmp_path):
    module = script()
    model = module.setup()[0]
    view = view_of(model, None, "vanishing_gradient")
    one = named(change_activation.REMEDY.forms(view), "relu+he")
    diff = unified_diff(edits_in(one.code(), module.setup))
    assert "+++ b/training_script.py" in diff
    assert "net.set_submodule" in diff
    assert diff.index("class Instead") < diff.index(" def setup")
    (tmp_path / "change.diff").write_text(diff, encoding="utf-8")
    subprocess.run(["git", "apply", "change.diff"], cwd=tmp_path, check=True)
    changed = script((tmp_path / "training_script.py").read_text(encoding="utf-8"), "changed_script")
    net, *_, adam = changed.setup()
    mine = state(one.change(view.training.copied()).patient.model)
    theirs = state(net)
    assert list(mine) == list(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert {id(each) for each in adam.param_groups[0]["params"]} == {id(each) for each in net.parameters()}


def test_the_users_classes_are_changed_where_they_name_the_activation(script, tmp_path):
    module = script()
    view = view_of(module.setup()[0], None, "vanishing_gradient")
    edits = named(change_activation.REMEDY.forms(view), "gelu").code().edits
    text = applied((tmp_path / "training_script.py").read_text(encoding="utf-8"), edits)
    assert "Sigmoid" not in text
    assert "torch.sigmoid" not in text
    assert "self.linear, self.act = nn.Linear(8, 8), nn.GELU()" in text
    assert "return torch.nn.functional.gelu(self.more(self.act(self.linear(x))))" in text
    changed = script(text, "changed_classes").setup()[0]
    x = torch.randn(4, 8)
    by_remedy = (
        named(change_activation.REMEDY.forms(view), "gelu").change(view.training.copied()).patient.model
    )
    assert torch.equal(changed(x), by_remedy(x))


ENDS = {
    "a function": ("return torch.softmax(self.end(torch.relu(self.body(x))), dim=-1)",
                   "return self.end(torch.relu(self.body(x)))"),
    "a method": ("return self.end(self.body(x)).softmax(-1)", "return self.end(self.body(x))"),
    "a module": ("return nn.Sequential(nn.Softmax(dim=1))(self.end(self.body(x)))", ""),
    "a module of its own": ("return self.squash(self.end(self.body(x)))", "self.squash = nn.Identity()"),
    "two of them": ("return torch.softmax(self.end(torch.softmax(self.body(x), 1)), 1)", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDS)
def test_the_end_is_mended_in_the_users_class(script, tmp_path, case):
    line, wanted = ENDS[case]
    module = script(
        f"""
        import torch
        from torch import nn

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.end = nn.Linear(8, 8), nn.Linear(8, 3)
                self.squash = nn.Softmax(dim=1)

            def forward(self, x):
                {line}
        """
    )
    model = module.Model()
    output = Output(
        layer="end", units=3, activation="softmax", loss="cross_entropy", minimum=0.0, maximum=1.0
    )
    view = view_of(model, None, "bad_output_layer", output=output)
    (one,) = mend_output_layer.REMEDY.forms(view)
    edits = one.code().edits
    if not wanted:
        assert edits == ()
        return
    text = applied((tmp_path / "training_script.py").read_text(encoding="utf-8"), edits)
    assert wanted in text
    again = script(text, "mended_script").Model()
    again.load_state_dict(model.state_dict())
    x = torch.randn(4, 8)
    assert torch.equal(again(x), one.change(view.training.copied()).patient.model(x))


def test_a_class_whose_gate_stays_is_not_edited(script):
    line = "return torch.sigmoid(self.more(self.act(self.linear(x))))"
    assert line in SCRIPT
    gated = SCRIPT.replace(line, "return self.linear(self.more(x)) * self.act(self.linear(x))")
    view = view_of(script(gated).setup()[0], None, "vanishing_gradient")
    one = named(change_activation.REMEDY.forms(view), "gelu")
    assert one.code().edits == ()
    torchs = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3))
    assert named(change_activation.REMEDY.forms(view_of(torchs)), "gelu").code().edits == ()


BEFORE, AFTER = "    adam = torch.optim.Adam(net.parameters())\n", "    return net, data, loss, adam\n"
UNCERTAIN = {
    "two returns": (
        "    loss = nn",
        "    if data is None:\n        return net, data, loss, None\n    loss = nn",
    ),
    "no names": (AFTER, "    return nn.Sequential(net), data, loss, adam\n"),
    "optimiser first": (AFTER, "    net = nn.Sequential(net)\n    return net, data, loss, adam\n"),
    "optimiser not returned": (AFTER, "    return net, data, loss\n"),
    "variables of the same name": (BEFORE, f"    layer = 3\n{BEFORE}    print(layer)\n"),
}


@pytest.mark.parametrize("case", UNCERTAIN)
def test_what_is_not_certain_is_left_to_the_snippet(script, case):
    module = script(SCRIPT.replace(*UNCERTAIN[case]))
    view = view_of(script(name="plain_script").setup()[0], None, "poor_init")
    assert edits_in(named(reinitialise.REMEDY.forms(view), "he").code(), module.setup) == ()


def test_batches_take_the_name_that_they_have_there(script):
    module = script()
    view = view_of(module.setup()[0], None, "poor_init")
    edits = edits_in(named(reinitialise.REMEDY.forms(view), "data").code(), module.setup)
    assert any("sample, _ = next(iter(data))" in line for edit in edits for line in edit.new)
    without = script(SCRIPT.replace("return net, data,", "return net, [*data],"), "inline")
    assert edits_in(named(reinitialise.REMEDY.forms(view), "data").code(), without.setup) == ()


def test_functions_without_a_source_and_files_that_changed(script, tmp_path):
    view = view_of(script().setup()[0], None, "poor_init")
    code = named(reinitialise.REMEDY.forms(view), "he").code()
    assert edits_in(code, eval("lambda: None")) == ()
    assert edits_in(code, len) == ()
    with pytest.raises(ValueError, match="does not hold these lines at 2"):
        applied("a\nb\n", [Edit(tmp_path / "x", 2, ("c",), ("d",))])


def test_a_snippet_runs_by_itself_in_another_python(tmp_path):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.end = nn.RNN(8, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            return self.end(self.cells(x[:, None])[0][:, -1])

    code = named(replace_recurrence.REMEDY.forms(view_of(Words())), "lstm").code()
    script = tmp_path / "pasted.py"
    lines = [
        *code.imports,
        "import torch",
        "class Model(torch.nn.Module): pass",
        "model = Model()",
        "model.cells = torch.nn.RNN(8, 8, batch_first=True)",
        code.snippet,
        "print(type(model.cells).__name__, 'evenflow' in __import__('sys').modules)",
    ]
    script.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["LSTMForRNN", "False"]


def test_paths_of_a_diff_begin_where_the_files_are(script, tmp_path, monkeypatch):
    module = script(name="my training")
    view = view_of(module.setup()[0], None, "poor_init")
    edits = edits_in(named(reinitialise.REMEDY.forms(view), "he").code(), module.setup)
    within = unified_diff(edits, tmp_path.parent)
    assert f"+++ b/{tmp_path.name}/my training.py\t\n" in within
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert folder_of(edits) == tmp_path.resolve()
    (tmp_path / "change.diff").write_text(unified_diff(edits), encoding="utf-8")
    for command in (["git", "apply", "--check"], ["patch", "-p1", "--dry-run", "-i"]):
        subprocess.run([*command, "change.diff"], cwd=tmp_path, check=True, capture_output=True)


def test_a_file_without_an_end_of_line_gets_a_diff_that_applies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.py").write_text("one = 1\ntwo = 2", encoding="utf-8")
    diff = unified_diff([Edit(tmp_path / "short.py", 2, ("two = 2",), ("two = 3",))])
    (tmp_path / "change.diff").write_text(diff, encoding="utf-8")
    subprocess.run(["git", "apply", "change.diff"], cwd=tmp_path, check=True)
    assert (tmp_path / "short.py").read_text(encoding="utf-8") == "one = 1\ntwo = 3"


def test_what_needs_late_batches_goes_behind_them_where_no_parameter_is_new(script):
    data = "    data = [(torch.ones(16, 8), torch.zeros(16, dtype=torch.long))]\n"
    module = script(SCRIPT.replace(data, "").replace(BEFORE, BEFORE + data))
    view = view_of(module.setup()[0], None, "poor_init")
    code = named(reinitialise.REMEDY.forms(view), "data").code()
    assert code.place == "after the model and the batches are made, before the training"
    edits = edits_in(code, module.setup)
    text = applied((edits[-1].file).read_text(encoding="utf-8"), edits)
    assert text.index("data = [(") < text.index("net(sample)") < text.index("return net")
    net, data, _, adam = script(text, "late_script").setup()
    with torch.no_grad():
        assert float(net(data[0][0]).std()) == pytest.approx(1.0, rel=0.06)  # what these lines promise
    assert {id(each) for each in adam.param_groups[0]["params"]} == {id(each) for each in net.parameters()}
    assert edits_in(replace(code, in_place=False), module.setup) == ()


def test_of_a_change_in_parts_all_can_be_pointed_at_or_none(script, tmp_path):
    module = script()
    view = view_of(module.setup()[0], None, "vanishing_gradient")
    one = named(change_activation.REMEDY.forms(view), "relu+he")
    edits = edits_of(one.code(), module.setup)
    text = applied((tmp_path / "training_script.py").read_text(encoding="utf-8"), edits)
    assert "class Instead" not in text
    assert "nn.ReLU()" in text
    assert text.count("nn.init.kaiming") == 1
    mine = state(one.change(view.training.copied()).patient.model)
    theirs = state(script(text, "both_parts").setup()[0])
    assert [list(each.shape) for each in mine.values()] == [list(each.shape) for each in theirs.values()]
    assert all(torch.equal(*pair) for pair in zip(mine.values(), theirs.values(), strict=True))
    assert edits_of(one.code(), None) == ()  # nor the half of it that is in the class
