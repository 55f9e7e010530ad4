"""Activations changed where the user's own classes name them: nn.Sigmoid() in a constructor, torch.sigmoid(x) below.

Only where it is certain: every such module, or call, of every instance of a class is to be changed, so that each of
the places in its source is meant; at the end of a model there has to be one such place.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from evenflow.prescribe.activations import CLASSES, Site
from evenflow.prescribe.prescription import Edit

_HOMES = ("torch.nn.functional", "nn.functional", "functional", "F", "torch")


def activation_edits(model: nn.Module, sites: Sequence[Site], new: str) -> tuple[Edit, ...]:
    """The edits that put another activation in the place of some; nothing unless all of them can be pointed at."""
    wanted: dict[type[nn.Module], set[str]] = {}
    modules = {one.name for one in sites if not one.function}
    for site in sites:
        owner = _owner(model, site.name.rpartition(".")[0] if not site.function else site.name)
        if owner is None or (
            site.function and (type(model.get_submodule(site.name)) is not owner or not site.every)
        ):
            return ()
        old = site.function or type(model.get_submodule(site.name)).__name__
        wanted.setdefault(owner, set()).add(old)
    edits: list[Edit] = []
    for owner, names in wanted.items():
        source = _class_source(owner)
        if source is None or not _all_are_meant(model, owner, names, modules):
            return ()
        found = _replacements(source, names, lambda home, values: _new(home, values, new))
        if {name for name, _ in found} != names or any(edit is None for _, edit in found):
            return ()
        edits += _joined(source, [edit for _, edit in found if edit is not None])
    return tuple(sorted(edits, key=lambda edit: (str(edit.file), edit.line)))


def end_edits(model: nn.Module, module: str, function: str, wanted: str) -> tuple[Edit, ...]:
    """The edits that take the last function off a model, or put another in its place.

    Args:
        model: that is changed.
        module: dotted path of the module that applies the function, or is it.
        function: that is called; "" where it is a module.
        wanted: in its place: "", "log_softmax" or "sigmoid".
    """
    owner = _owner(model, module if function else module.rpartition(".")[0])
    if owner is None or (function and type(model.get_submodule(module)) is not owner):
        return ()
    source = _class_source(owner)
    if source is None:
        return ()
    name = function or type(model.get_submodule(module)).__name__
    found = _replacements(source, {name}, lambda home, values: _end(home, values, wanted))
    edits = [edit for _, edit in found if edit is not None]
    return tuple(_joined(source, edits)) if len(found) == len(edits) == 1 else ()


def _new(home: str, values: str, new: str) -> str:
    """A module in the place of a module, a call in the place of a call."""
    if not values:
        return f"{home}.{CLASSES[new]}()"
    return f"{home if home in _HOMES[:-1] else 'torch.nn.functional'}.{new}({values})"


def _end(home: str, values: str, wanted: str) -> str:
    if not values:
        return f"{home}.{ {'': 'Identity()', 'log_softmax': 'LogSoftmax(dim=1)', 'sigmoid': 'Sigmoid()'}[wanted] }"
    return {
        "": values,
        "log_softmax": f"torch.log_softmax({values}, 1)",
        "sigmoid": f"torch.sigmoid({values})",
    }[wanted]


@dataclass(frozen=True)
class _Source:
    """A class of the user's: its file, that file's text, the class, and names that the file imports."""

    file: Path
    text: str
    tree: ast.ClassDef
    imported: frozenset[str]


@dataclass(frozen=True)
class _Change:
    """Bytes of one line, and what comes in their place."""

    line: int
    start: int
    end: int
    text: str

    def holds(self, other: _Change) -> bool:
        """Whether another change lies within this one."""
        return self.line == other.line and self.start <= other.start and other.end <= self.end


def _replacements(
    source: _Source, names: set[str], write: Callable[[str, str], str]
) -> list[tuple[str, _Change | None]]:
    """The calls of these names in a class, with their changes; None for one that cannot be rewritten."""
    found: list[tuple[str, _Change | None]] = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        home, name = ast.unparse(node.func.value), node.func.attr
        if name.rstrip("_") not in names:
            continue
        if home in ("nn", "torch.nn"):
            values: ast.expr | None = None
        elif home in _HOMES and node.args:
            values = node.args[0]
        else:
            values = node.func.value  # x.sigmoid()
        text = "" if values is None else ast.get_source_segment(source.text, values) or ""
        written = write(home, text)
        root = written.partition(".")[0]
        known = root not in ("torch", "nn", "F", "functional") or root in source.imported
        certain = known and node.lineno == node.end_lineno and name == name.rstrip("_")
        change = _Change(node.lineno, node.col_offset, node.end_col_offset or 0, written)
        found.append((name.rstrip("_"), change if certain and (values is None or text) else None))
    made = [change for _, change in found if change is not None]
    nested = any(one is not other and one.holds(other) for one in made for other in made)
    return [(name, None if nested else change) for name, change in found]


def _joined(source: _Source, changes: Sequence[_Change]) -> list[Edit]:
    """An edit for every line; ast counts columns in bytes."""
    edits = []
    rows = source.text.splitlines()
    for line in sorted({one.line for one in changes}):
        new = rows[line - 1].encode()
        for one in sorted((one for one in changes if one.line == line), key=lambda one: -one.start):
            new = new[: one.start] + one.text.encode() + new[one.end :]
        edits.append(Edit(source.file, line, (rows[line - 1],), (new.decode(),)))
    return edits


def _owner(model: nn.Module, path: str) -> type[nn.Module] | None:
    """The nearest class of the user's around a module."""
    while True:
        kind = type(model.get_submodule(path))
        if not kind.__module__.startswith("torch."):
            return kind
        if not path:
            return None
        path = path.rpartition(".")[0]


def _class_source(owner: type[nn.Module]) -> _Source | None:
    try:
        file = Path(inspect.getsourcefile(owner) or "")
        line = inspect.getsourcelines(owner)[1]
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError):
        return None
    imported = frozenset(
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if line in (first, node.lineno):
                return _Source(file, text, node, imported)
    return None


def _all_are_meant(model: nn.Module, owner: type[nn.Module], names: set[str], modules: set[str]) -> bool:
    """Whether no instance of a class has a module of these kinds that is to stay."""
    for path, one in model.named_modules():
        if type(one).__name__ in names and path and path not in modules:
            parent = _owner(model, path.rpartition(".")[0])
            if parent is owner:
                return False
    return True
