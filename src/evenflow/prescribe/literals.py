"""Numbers in the user's own files: the one that an optimiser was made with, where it is certain which one that is."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import torch

from evenflow.prescribe.prescription import Edit, Training

_NOT_THEIRS = (str(Path(torch.__file__).parent), str(Path(__file__).parent.parent))


def optimiser_edits(training: Training, keyword: str, old: float, new: str) -> tuple[Edit, ...]:
    """The edit that puts another number into the line that makes the optimiser.

    Args:
        training: as the user has it.
        keyword: of the optimiser, such as "lr".
        old: the number that is there; another one means that it is another optimiser's line.
        new: as it is to be written.

    Returns:
        Nothing where no file of the user's is known, or where more than one line makes such an optimiser.
    """
    name = type(training.patient.optimizer).__name__
    calls = [(file, call) for file in own_files(training) for call in _calls(file, name)]
    if len(calls) != 1:
        return ()
    file, call = calls[0]
    node = next((each.value for each in call.keywords if each.arg == keyword), None)
    if not isinstance(node, ast.Constant) or node.value != old:
        return ()
    if node.end_lineno != node.lineno or node.end_col_offset is None:
        return ()
    lines = file.read_text(encoding="utf-8").splitlines()
    line = lines[node.lineno - 1].encode()  # columns count bytes
    text = (line[: node.col_offset] + new.encode() + line[node.end_col_offset :]).decode()
    return (Edit(file, node.lineno, (lines[node.lineno - 1],), (text,)),)


def own_files(training: Training) -> tuple[Path, ...]:
    """Files that the model's classes and the loss function were written in, those of torch left out."""
    things = [*{type(one) for one in training.patient.model.modules()}, training.plan.loss]
    return tuple(dict.fromkeys(file for one in things for file in _file(one)))


def _file(thing: object) -> Iterator[Path]:
    try:
        found = inspect.getsourcefile(thing if callable(thing) else type(thing))  # pyright: ignore[reportArgumentType]
    except TypeError:
        return
    if found and not found.startswith(_NOT_THEIRS) and "site-packages" not in found and Path(found).is_file():
        yield Path(found)


def _calls(file: Path, name: str) -> Iterator[ast.Call]:
    """The calls of whatever bears this name in a file."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == name:
            yield node
