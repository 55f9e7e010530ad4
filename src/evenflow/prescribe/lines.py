"""Lines of the user's own in which certain operations are done, seen while a model and its loss are computed once."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.trial import call
from evenflow.errors import EvenflowError
from evenflow.prescribe.prescription import Edit, Training

_OWN = str(Path(__file__).parent.parent)
_TORCH = str(Path(torch.__file__).parent)
_BETWEEN = (
    str(Path(__file__)),
    *(str(Path(_TORCH) / file) for file in ("overrides.py", "_tensor.py", "autograd/grad_mode.py")),
    str(Path(_TORCH) / "utils" / "_contextlib.py"),
)
"""What stands between an operation and the line that asks for it."""


@dataclass(frozen=True)
class Line:
    """A line that does such an operation.

    Args:
        operation: its name, such as "detach".
        file, number: of the line; "" and 0 where there is none to point at.
    """

    operation: str
    file: str = ""
    number: int = 0

    @property
    def text(self) -> str:
        """As it is written; "" where it cannot be read."""
        return linecache.getline(self.file, self.number).rstrip("\n") if self.file else ""

    @property
    def place(self) -> str:
        """File and line for people; "" where there is none."""
        return f"{Path(self.file).name}, line {self.number}" if self.text else ""

    def edit(self, pattern: str, new: str) -> Edit | None:
        """The line with the one thing that matches replaced; None where it does not match exactly once."""
        changed, count = re.subn(pattern, new, self.text)
        if count != 1 or not Path(self.file).is_file():
            return None
        return Edit(Path(self.file), self.number, (self.text,), (changed,))


Wanted = Callable[[str, Any, tuple[Any, ...]], bool]


class _Listening(TorchFunctionMode):
    """Notes the lines of operations that are wanted."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self.wanted = wanted
        self.found: dict[Line, None] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if func == torch.Tensor.data.__get__:  # pyright: ignore[reportAttributeAccessIssue]
            name = "data"
        if self.wanted(name, func, args):
            self.found[_line(name)] = None
        return func(*args, **(kwargs or {}))


def _line(name: str) -> Line:
    """The line that does it; none where that is one of torch's own, which knows what it does."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith((_OWN, _TORCH, "<")):
        return Line(name)
    return Line(name, frame.f_code.co_filename, frame.f_lineno)


def lines_of(training: Training, wanted: Wanted, *, loss: bool = True) -> tuple[Line, ...]:
    """The lines in which a wanted operation is done for the first batch, in order.

    Args:
        training: a copy of it is asked.
        wanted: whether an operation counts, by name, function and arguments.
        loss: whether to look into the loss function too.
    """
    copied = training.copied()
    batch = copied.plan.batches[0].copied()
    with untouched_randomness(), torch.enable_grad(), _Listening(wanted) as listening:
        try:
            output = call(copied.patient.model, batch.inputs)
            if loss:
                copied.loss(output, batch.target)
        except (RuntimeError, TypeError, ValueError, EvenflowError):
            pass  # as far as it came
    return tuple(listening.found)


def on_gradient(names: Collection[str]) -> Wanted:
    """Operations of these names on tensors that a gradient goes through."""
    return lambda name, _, args: bool(
        name in names and args and isinstance(args[0], Tensor) and args[0].requires_grad
    )


def on_numbers(names: Collection[str]) -> Wanted:
    """Operations of these names on real numbers."""
    return lambda name, _, args: bool(
        name in names and args and isinstance(args[0], Tensor) and args[0].is_floating_point()
    )
