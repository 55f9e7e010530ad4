"""What a training of the user's raises, said with the step, the part of it and the line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from evenflow.errors import SpecError

_FULL = ("can't allocate memory", "out of memory")
"""How torch says so, on a CPU and on a GPU."""
_OWN = str(Path(__file__).parent.parent)


class PartError(Exception):
    """An error, and the part of a step that it comes from."""

    def __init__(self, what: str, error: Exception) -> None:
        self.what, self.error = what, error


@contextmanager
def part(what: str) -> Iterator[None]:
    """Remember which part of a step an error comes from."""
    try:
        yield
    except Exception as error:
        raise PartError(what, error) from error


@contextmanager
def step_named(step: str) -> Iterator[None]:
    """Turn an error of the user's code into one that says at which step, in which part and in which line it arose."""
    try:
        yield
    except SpecError as error:
        raise SpecError(f"{step}: {error}") from error
    except PartError as error:
        first = str(error.error).strip().partition("\n")[0]
        is_full = isinstance(error.error, MemoryError) or any(word in first.lower() for word in _FULL)
        way = (
            "the memory is full: give smaller batches, or a smaller model of the same kind"
            if is_full
            else "the doctor needs a training that runs"
        )
        shown = f"{type(error.error).__name__}: {first}{place_of_error(error.error)}"
        raise SpecError(f"{step}: {error.what} {shown}; {way}") from error.error


def place_of_error(error: BaseException) -> str:
    """The last line of the user's own that an error went through, in brackets; "" where there is none."""
    torch_files = str(Path(torch.__file__).parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (
            not frame.filename.startswith((_OWN, torch_files, "<frozen"))
            and "contextlib" not in frame.filename
        ):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""
