"""Edits of the user's files carried out on their text, and as a unified diff."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from evenflow.prescribe.prescription import Edit


def applied(text: str, edits: Sequence[Edit]) -> str:
    """A file's text with edits of it carried out; those in front of one line in their order.

    >>> print(applied("a\\nb\\n", [Edit(Path("x"), 2, ("b",), ("c", "d"))]), end="")
    a
    c
    d
    """
    lines = text.splitlines()
    for _, edit in sorted(enumerate(edits), key=lambda pair: (pair[1].line, pair[0]), reverse=True):
        place = edit.line - 1
        if tuple(lines[place : place + len(edit.old)]) != edit.old:
            raise ValueError(f"{edit.file} does not hold these lines at {edit.line} any more")
        lines[place : place + len(edit.old)] = edit.new
    return "\n".join(lines) + ("\n" if text.endswith("\n") or not text else "")


def folder_of(edits: Sequence[Edit], folder: Path | None = None) -> Path:
    """Where a diff of these edits begins: the working folder, or that which holds all files where some lie outside.

    `patch -p1` and `git apply` refuse paths that are absolute or lead out of the folder.

    Args:
        edits: of any files.
        folder: in place of the working folder.
    """
    root = (folder or Path.cwd()).resolve()
    files = [edit.file.resolve() for edit in edits]
    if all(file.is_relative_to(root) for file in files):
        return root
    return Path(os.path.commonpath([file.parent for file in files]))


def unified_diff(edits: Sequence[Edit], folder: Path | None = None) -> str:
    """What edits change, as `patch -p1` and `git apply` take it in `folder_of` these edits.

    Args:
        edits: of any files.
        folder: in place of the working folder.
    """
    root = folder_of(edits, folder)
    parts: list[str] = []
    for file in dict.fromkeys(edit.file for edit in edits):
        text = file.read_text(encoding="utf-8")
        after = applied(text, [edit for edit in edits if edit.file == file])
        shown = file.resolve().relative_to(root).as_posix()
        shown += "\t" if " " in shown else ""  # by which the end of such a name is known
        lines = difflib.unified_diff(
            text.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{shown}", f"b/{shown}"
        )
        parts += [
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        ]
    return "".join(parts)
