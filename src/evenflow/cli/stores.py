"""Which store is meant by what was typed: a file, a folder with one, or the name of a folder in runs."""

from __future__ import annotations

from pathlib import Path

NAMES = ("flow.sqlite", "study.sqlite")
"""What `evenflow watch` and `evenflow study` call their stores."""


def store_in(given: Path) -> Path:
    """The path of the store that is meant.

    Raises:
        StoreError: there is none, or it is not clear which.
    """
    from evenflow.errors import StoreError, suggest

    if given.is_file():
        return given
    runs = Path("runs")
    for folder in (given, runs / given):
        if folder.is_dir():
            return _only(folder)
    known = sorted(each.name for each in runs.iterdir() if each.is_dir()) if runs.is_dir() else []
    hint = suggest(given.name, known) or "; 'evenflow watch train.py' records one"
    raise StoreError(f"{given}: no such store, and no folder with one{hint}")


def _only(folder: Path) -> Path:
    from evenflow.errors import StoreError

    found = sorted(each for each in folder.glob("*.sqlite") if each.is_file())
    usual = [each for each in found if each.name in NAMES]
    for candidates in (found, usual):
        if len(candidates) == 1:
            return candidates[0]
    if not found:
        raise StoreError(
            f"{folder}: there is no store in this folder; give the file that a probe has written"
        )
    raise StoreError(
        f"{folder}: there are several stores, {', '.join(each.name for each in found)}; give one of them"
    )
