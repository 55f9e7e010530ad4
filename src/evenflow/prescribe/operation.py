"""Operations: lines of plain PyTorch that change a training, carried out on a copy as they will be printed.

What is tried and what is recommended are the same text, so that nothing can lie between the two. Classes and functions
that lines use are those of `prescribe.parts`, which need nothing but torch; their source is printed in front.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from evenflow.doctor.copying import untouched_randomness
from evenflow.prescribe import parts
from evenflow.prescribe.adopt import Before, adopt
from evenflow.prescribe.prescription import Code, Edit, Training

BEFORE_OPTIMISER = "after the model is made, before the optimiser"
BEHIND_MODEL = "after the model is made, before the training"
BEHIND_BATCHES = "after the model and the batches are made, before the training"

_IMPORTS: dict[str, tuple[str, Any]] = {
    "torch": ("import torch", torch),
    "F": ("import torch.nn.functional as F", functional),
    "Tensor": ("from torch import Tensor", Tensor),
    "nn": ("from torch import nn", nn),
    "TorchFunctionMode": ("from torch.overrides import TorchFunctionMode", TorchFunctionMode),
}


@dataclass(frozen=True)
class Operation:
    """A change as code.

    Args:
        lines: on the names `model`, `optimizer`, `loss_fn` and `batches`, of which it may give new values to the first.
        place: where a user puts them.
        in_place: whether every parameter stays the one it was.
    """

    lines: str
    place: str = BEFORE_OPTIMISER
    in_place: bool = False

    def __call__(self, training: Training) -> Training:
        """Carry it out on a copy, in place; random numbers stay where they were."""
        patient, plan = training.patient, training.plan
        before = Before.of(patient.model)
        names: dict[str, Any] = {word: value for word, (_, value) in _IMPORTS.items()}
        names |= {word: getattr(parts, word) for word in parts.__all__}
        names |= {
            "model": patient.model,
            "optimizer": patient.optimizer,
            "loss_fn": training.loss,
            "batches": [(batch.inputs, batch.target) for batch in plan.batches],
        }
        with untouched_randomness():
            exec(compile(self.lines, "<remedy>", "exec", dont_inherit=True), names)
        changed = adopt(before, replace(patient, model=names["model"]))
        return replace(training, patient=changed)

    def code(self, edits: tuple[Edit, ...] = ()) -> Code:
        """As a user pastes it."""
        needed = _parts(self.lines)
        source = "\n\n\n".join([*(_source(word) for word in needed), self.lines.strip()]) + "\n"
        used = _names(source)
        imports = tuple(line for word, (line, _) in _IMPORTS.items() if word in used)
        place = self.place
        if self.in_place and place == BEFORE_OPTIMISER:
            place = BEHIND_BATCHES if "batches" in used else BEHIND_MODEL
        return Code(source, place, imports, edits, self.in_place)

    def then(self, other: Operation) -> Operation:
        """One after the other."""
        lines = f"{self.lines.strip()}\n{other.lines.strip()}\n"
        return replace(self, lines=lines, in_place=self.in_place and other.in_place)


def _parts(lines: str) -> list[str]:
    """The parts that lines use, and those that these use, in the order of their module."""
    needed: set[str] = set()
    waiting = [lines]
    while waiting:
        for word in _names(waiting.pop()) & set(parts.__all__) - needed:
            needed.add(word)
            waiting.append(_source(word))
    return [word for word in parts.__all__ if word in needed]


@functools.cache
def _source(word: str) -> str:
    return re.sub(r"  # pyright:.*", "", textwrap.dedent(inspect.getsource(getattr(parts, word)))).strip()


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def written(values: Iterable[object], width: int = 100) -> str:
    """A tuple as code, in lines of bearable length.

    >>> written(["0", "2"]), written([3])
    ('("0", "2")', '(3,)')
    """
    shown = [f'"{one}"' if isinstance(one, str) else repr(one) for one in values]
    one_line = f"({', '.join(shown)}{',' * (len(shown) == 1)})"
    if len(one_line) <= width:
        return one_line
    return "(\n" + textwrap.fill(", ".join(shown) + ",", width, initial_indent="    ", subsequent_indent="    ",
                                 break_long_words=False, break_on_hyphens=False) + "\n)"  # fmt: skip
