"""A prescription: one change to one training, why it is offered, what should be seen of it, and its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.doctor.copying import Patient
from evenflow.doctor.trial import LossFunction, Plan
from evenflow.prescribe.step_rules import carried
from evenflow.record.table import Table
from evenflow.spec.remedies import remedied
from evenflow.spec.setting import Setting
from evenflow.spec.specification import Specification

Sign = Literal[
    "gradient_ratio",
    "gradient_through_time",
    "activation_growth",
    "gradient_growth",
    "dead_units",
    "saturation",
    "alike_samples",
    "alike_units",
    "moving_weights",
    "smaller_updates",
    "larger_updates",
    "finite",
    "loss",
]
"""What should be seen afterwards: gradient of the first layers over that of the last, or of the first time step over
that of the last, growth of activations or of the gradient per layer, share of dead units, of saturated activations,
mean cosine between samples, share of distinct units, weights that move, relative updates that are smaller or larger,
all values finite, or only the loss."""


@dataclass(frozen=True)
class Training:
    """All that a remedy can change.

    Args:
        patient: a copy of model, optimiser and scheduler, at the start of the training.
        plan: batches, loss, steps, clipping.
    """

    patient: Patient
    plan: Plan

    @property
    def loss(self) -> LossFunction:
        """The loss function as it is to be called of this copy: what it says of weights, it says of the copy's."""
        return self.patient.own(self.plan.loss)

    def copied(self) -> Training:
        """Another copy, which shares only what nobody writes to."""
        patient = self.patient.copied()
        carried(self.patient.optimizer, patient.optimizer)
        return replace(self, patient=patient)


@dataclass(frozen=True)
class View:
    """What a remedy looks at to say whether it applies here, and how.

    Args:
        training: the original; looked at, never changed.
        diagnosis: its findings.
        table: what the doctor measured.
        setting: what is known besides figures.
        keep_activation: whether activations are to stay as they are.
    """

    training: Training
    diagnosis: Diagnosis
    table: Table
    setting: Setting
    keep_activation: bool = False


@dataclass(frozen=True)
class Edit:
    """Lines of a file that change.

    Args:
        file: that the user wrote.
        line: of the first line that goes, from 1.
        old: the lines that go, as they are there; empty where lines are only added in front of `line`.
        new: the lines that come.
    """

    file: Path
    line: int
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """How a user makes the same change.

    Args:
        snippet: lines of plain PyTorch that do it, on the names `model`, `optimizer`, `loss_fn`, `batches`.
        place: where they go, in words, such as "after the model is made, before the optimiser".
        imports: lines that the snippet needs, such as "from torch import nn".
        edits: of the user's own files, where what is to change can be pointed at; empty otherwise.
        in_place: whether every parameter stays the one it was, so that the optimiser may be there already.
        parts: of a change that is made of several, each with a place of its own; empty otherwise.
    """

    snippet: str
    place: str
    imports: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    in_place: bool = False
    parts: tuple[Code, ...] = ()


@dataclass(frozen=True)
class Prescription:
    """One change, ready to be tried.

    Args:
        remedy: its name, as findings name it, such as "change_activation".
        choice: which of its forms, such as "relu"; "" where it has one only.
        title: what it does here, one line with values, such as "Replace sigmoid by ReLU in 20 layers".
        why: one sentence: the finding it answers and what it does about it.
        sign: what should be seen afterwards.
        change: carries it out on a copy, and gives the copy back, or another.
        code: how the user does the same.
        size: of the change: 1 a number in the script, 2 a line, 3 several lines, 4 another architecture.
        inference: what it costs when the trained model is used: 0 nothing, 1 some, 2 a good deal.
        keeps_weights: whether trained weights stay.
        measured: figures of this training that the same change on a specification takes over, by their names in
            `spec.remedies.remedied`.
        parts: the prescriptions that it combines, in their order; empty where it is a single one.
    """

    remedy: str
    choice: str
    title: str
    why: str
    sign: Sign
    change: Callable[[Training], Training]
    code: Callable[[], Code]
    size: int = 2
    inference: int = 0
    keeps_weights: bool = True
    measured: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[Prescription, ...] = ()

    @property
    def name(self) -> str:
        """Remedy and choice, such as "change_activation:relu"."""
        return f"{self.remedy}:{self.choice}" if self.choice else self.remedy

    def specification(self, original: Specification) -> Specification:
        """The same change on a specification.

        Raises:
            SpecError: a specification cannot say it, or this one does not need it; with the reason.
        """
        for part in self.parts:
            original = part.specification(original)
        return original if self.parts else remedied(original, self.name, self.measured)


@dataclass(frozen=True)
class Remedy:
    """A kind of change.

    Args:
        name: as findings name it.
        title: one line for people.
        answers: rules whose findings it can answer, whatever a finding names besides.
        forms: what it could do to a training, the best guess first; empty where it does not apply.
        why_not: why it does not apply to a training, in words; "" where it does.
        explanation: what it does and when it does not help, in Markdown.
    """

    name: str
    title: str
    answers: tuple[str, ...]
    forms: Callable[[View], Sequence[Prescription]]
    why_not: Callable[[View], str] = field(default=lambda _: "")
    explanation: str = ""
