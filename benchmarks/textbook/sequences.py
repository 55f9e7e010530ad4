"""Recurrent networks that must remember the first of many symbols, and what remedies make of them.

The first step of a sequence shows one of four symbols, all further steps noise; after the last step the network says
which symbol it was. A guess is right in a quarter of the cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient
from evenflow.doctor.trial import Plan, train
from evenflow.prescribe.catalogue import REMEDIES
from evenflow.prescribe.prescription import Training, View
from evenflow.record.table import Table
from evenflow.spec.setting import Setting

SEEDS, STEPS, BATCH, UNITS, SYMBOLS, TESTED = 5, 250, 32, 32, 4, 1024
PLAIN = {"lstm": "LSTM at PyTorch's own start", "gru": "GRU at PyTorch's own start"}
CHANGES = (
    "clip_gradients:norm",
    "reinitialise:orthogonal",
    *(f"start:{kind}" for kind in PLAIN),
    "replace_recurrence:lstm",
    "replace_recurrence:lstm+length",
    "replace_recurrence:gru",
    "replace_recurrence:gru+length",
    "open_forget_gates:1",
    "open_forget_gates:length",
)
"""Remedies of `prescribe` in one form each, and, for comparison, gated cells as PyTorch makes them."""


@dataclass(frozen=True)
class Sequences:
    """A recurrent network with something wrong.

    Args:
        name, title, what: as those of `faults.Fault`.
        length: steps of a sequence.
        cell: "rnn", "lstm" or "gru".
        scale: factor on orthogonal recurrent weights; 0 leaves PyTorch's own.
        optimiser, rate: of the training.
    """

    name: str
    title: str
    what: str
    length: int
    cell: str = "rnn"
    scale: float = 0.0
    optimiser: str = "Adam"
    rate: float = 0.003


SEQUENCES = (
    Sequences("short_sequences", "RNN on 8 steps", "a plain recurrent layer on sequences of 8 steps", 8),
    Sequences("long_sequences", "RNN on 40 steps", "the same on sequences of 40 steps", 40),
    Sequences("longer_sequences", "RNN on 100 steps", "the same on sequences of 100 steps", 100),
    Sequences(
        "exploding_sequences",
        "exploding RNN on 20 steps",
        "a plain recurrent layer whose recurrent weights are twice an orthogonal matrix, under gradient descent",
        20,
        scale=2.0,
        optimiser="SGD",
        rate=0.1,
    ),
    Sequences(
        "closed_gates",
        "LSTM on 40 steps",
        "an LSTM at PyTorch's own start, whose gates are half closed",
        40,
        "lstm",
    ),
)


class Recurrent(nn.Module):
    """A recurrent layer and a linear map of its last output."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.cells = kind(SYMBOLS + 1, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, SYMBOLS)

    def forward(self, inputs: Tensor) -> Tensor:
        """From (samples, steps, symbols + 1) to (samples, symbols)."""
        return self.head(self.cells(inputs)[0][:, -1])


def drawn(length: int, samples: int, source: torch.Generator) -> Batch:
    """Sequences and their first symbols."""
    symbols = torch.randint(0, SYMBOLS, (samples,), generator=source)
    inputs = torch.zeros(samples, length, SYMBOLS + 1)
    inputs[:, 0, :SYMBOLS] = functional.one_hot(symbols, SYMBOLS).float()
    inputs[:, 1:, SYMBOLS] = torch.randn(samples, length - 1, generator=source)
    return Batch(inputs, symbols)


def original(one: Sequences, seed: int, cell: str = "") -> Training:
    """The training as it is, or with another cell in it."""
    torch.manual_seed(seed)
    model = Recurrent(cell or one.cell)
    if one.scale and not cell:
        with torch.no_grad():
            weight = model.cells.get_parameter("weight_hh_l0")
            nn.init.orthogonal_(weight)
            weight.mul_(one.scale)
    source = torch.Generator().manual_seed(1000 + seed)
    batches = [drawn(one.length, BATCH, source) for _ in range(STEPS)]
    optimiser = getattr(torch.optim, one.optimiser)(model.parameters(), lr=one.rate)
    return Training(
        Patient(model, optimiser), Plan(batches, functional.cross_entropy, STEPS, target="classes")
    )


def changed(one: Sequences, seed: int, name: str) -> Training | str:
    """The training with a remedy carried out, or why it is not."""
    remedy, _, form = name.partition(":")
    if remedy == "start":
        if one.cell == form:
            return "it is one already"
        return original(one, seed, form)
    view = View(original(one, seed), Diagnosis((), judged=()), Table.from_rows([], []), Setting())
    found = {each.choice: each for each in REMEDIES[remedy].forms(view)}
    if form not in found:
        return REMEDIES[remedy].why_not(view) or "sequences of so few steps do not need it"
    torch.manual_seed(seed)
    return found[form].change(view.training.copied())


def ratio(training: Training) -> float:
    """log10 of the gradient that reaches the first step's input over that at the last step's, on the first batch."""
    batch = training.plan.batches[0]
    inputs = batch.inputs.clone().requires_grad_()
    loss = training.plan.loss(training.patient.model(inputs), batch.target)
    (gradient,) = torch.autograd.grad(loss, inputs)
    norms = gradient.double().norm(dim=(0, 2))
    first, last = float(norms[0]), float(norms[-1])
    if not (math.isfinite(first) and math.isfinite(last)) or first == last == 0:
        return math.nan
    return -math.inf if first == 0 else math.inf if last == 0 else math.log10(first / last)


def trained(one: Sequences, training: Training) -> float:
    """The share of new sequences whose symbol is told after training; 0 where the loss is not finite any more."""
    course = train(training.patient, training.plan)
    if not all(map(math.isfinite, course.losses)):
        return 0.0
    batch = drawn(one.length, TESTED, torch.Generator().manual_seed(7))
    with torch.no_grad():
        return float((training.patient.model.eval()(batch.inputs).argmax(1) == batch.target).double().mean())


def measured(one: Sequences, name: str, done: Callable[[], None]) -> tuple[list[float], list[float]] | str:
    """Accuracy and ratio of gradients by seed, of the original (`name` "") or with a remedy; or why there are none."""
    accuracies: list[float] = []
    ratios: list[float] = []
    for seed in range(SEEDS):
        training = changed(one, seed, name) if name else original(one, seed)
        if isinstance(training, str):
            return training
        ratios.append(ratio(training))
        accuracies.append(trained(one, training))
        done()
    return accuracies, ratios


def definition() -> Sequence[object]:
    """All that decides the figures, as plain data."""
    settings = [SEEDS, STEPS, BATCH, UNITS, SYMBOLS, TESTED, list(CHANGES)]
    return [
        settings,
        [[one.name, one.length, one.cell, one.scale, one.optimiser, one.rate] for one in SEQUENCES],
    ]
