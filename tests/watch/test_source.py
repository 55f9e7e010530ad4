"""Where a model's class is written, for what shows findings beside the code."""

from __future__ import annotations

import importlib.util
import sys

from torch import nn

from evenflow.watch.source import place_of, source_of

TEXT = """from torch import nn


class Block(nn.Module):
    def forward(self, x):
        return x
"""


def module_at(path, monkeypatch, name="a_model_of_a_test"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_the_class_of_the_model_or_of_its_first_own_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = module_at(tmp_path / "src" / "model.py", monkeypatch).Block
    assert source_of(block()) == ("src/model.py", 4)
    assert source_of(nn.Sequential(nn.Linear(2, 2), block())) == ("src/model.py", 4)
    assert source_of(nn.Sequential(nn.Linear(2, 2))) == ("", 0)


def test_what_lies_outside_of_the_folder_or_in_a_library_has_no_place(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert source_of(module_at(tmp_path / "model.py", monkeypatch).Block()) == ("", 0)
    library = module_at(here / "venv" / "site-packages" / "model.py", monkeypatch, "a_library_of_a_test")
    assert source_of(library.Block()) == ("", 0)
    assert place_of(len) == ("", 0)
