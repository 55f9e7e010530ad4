"""Repairs of a case: Evenflow's `fix`, and AUTOTRAINER's fixed order of solutions, on the same batches.

Both begin with the first 200 steps of the training, in which they find out what is wrong, and have the same seconds
of the processor. What they recommend is trained anew from the start, for as many steps as the trainings that the
truth was found by, and scored like these.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from .published.autotrainer import autotrainer
from .recipe import Case, Training
from .record import record
from .solutions import ORDER, Change
from .trial import built, score, train
from .truth import STEPS, outcome

NEAR = 2.0
"""Points within which of the twin without the fault a training counts as repaired."""
ROUNDS = 10
"""Symptoms that AUTOTRAINER goes after one after the other."""


@dataclass(frozen=True)
class Repair:
    """What came of one repair.

    Args:
        name: of the case.
        before: score of the case as it is, in points.
        twin: score of the twin without the fault, from the same start; of the case itself where it is sound.
        after: score of what is recommended; of the case as it is where nothing is.
        change: what is recommended; "" for nothing.
        found: what was found, the first first.
        said: why nothing is recommended, in the repairer's own words.
        steps: trained, all trainings of the repair together, those of the diagnosis among them.
        trials: of these, steps that tried changes; a training whose loss is no longer finite ends there.
        seconds: of the processor, those of the last training and its score left out.
        tried: solutions, in order (AUTOTRAINER alone).
    """

    name: str
    before: float
    twin: float
    after: float
    change: str
    found: list[str]
    said: str
    steps: int
    trials: int
    seconds: float
    tried: list[str] = field(default_factory=list)


class Steps:
    """How often optimisers have stepped."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[Steps]:
        """Every step of every optimiser, but for those that only keep time."""
        from evenflow.doctor.bystander import Bystander

        def hook(optimiser: Optimizer, *_: object) -> None:
            self.count += not isinstance(optimiser, Bystander)

        handle = register_optimizer_step_post_hook(hook)
        try:
            yield self
        finally:
            handle.remove()


def ours(case: Case, true: dict[str, object], budget: float) -> Repair:
    """What `ef.fix` makes of a case.

    Args:
        case: of the population.
        true: its line of truth.
        budget: seconds of the processor.
    """
    from evenflow.errors import EvenflowError
    from evenflow.verify.repair import repair

    begun = time.process_time()
    training = built(case)
    with Steps().counted() as steps, patch("time.perf_counter", time.process_time):
        try:
            found = repair(
                training.model,
                training.batches,
                training.loss,
                training.optimiser,
                scheduler=training.scheduler,
                clip_norm=training.clip_norm,
                budget=budget,
            )
        except EvenflowError as error:
            return _line(case, true, None, "", [], f"{type(error).__name__}: {error}", steps.count, 0, begun)
    changed = None
    if found.training is not None:
        patient, plan = found.training.patient, found.training.plan
        changed = Training(
            patient.model,
            [(batch.inputs, batch.target) for batch in plan.batches],
            found.training.loss,
            patient.optimizer,
            training.score,
            patient.scheduler,
            plan.clip_norm,
        )
    return _line(
        case,
        true,
        changed,
        found.chosen.name if found.chosen else "",
        [f"{one.rule}: {one.severity}" for one in found.diagnosis],
        found.reason,
        steps.count,
        found.steps,
        begun,
    )


def published(case: Case, true: dict[str, object], budget: float) -> Repair:
    """What AUTOTRAINER makes of a case, for a user who hopes for the score of the twin without the fault.

    Its rules name a symptom; the solutions for it are tried in their order, each in a full training from the start,
    until one comes to what is hoped for. Where none does, the best goes on, with the symptom that it then shows if
    that is another one. Regressions are beyond it, whose rules read accuracies.

    Args:
        case: of the population.
        true: its line of truth.
        budget: seconds of the processor.
    """
    own, twin = _own(case, true), _twin(case, true)
    begun = time.process_time()
    hoped = twin - NEAR
    best: tuple[float, tuple[Change, ...], str] = (own, (), "")
    tried: list[str] = []
    symptoms: list[str] = []
    said = "no symptom"
    trials = 0
    with Steps().counted() as steps:
        for _ in range(ROUNDS if built(case).score == "accuracy" else 0):
            seen = autotrainer(record(case, training=_made(case, best[1])), hoped / 100)
            new = next((one for one in seen if one not in symptoms), None)
            if new is None or new not in ORDER:
                break
            symptoms.append(new)
            said = "no solution left"
            first = best
            for name, change in ORDER[new]:
                if time.process_time() - begun > budget:
                    said = "the time was over"
                    break
                made = _made(case, (*first[1], change))
                if made is None:
                    continue
                tried.append(name)
                before = steps.count
                got = _scored(made)
                trials += steps.count - before
                if got > best[0]:
                    best = (got, (*first[1], change), f"{first[2]}, {name}".strip(", "))
                if got >= hoped:
                    break
            if best[0] >= hoped or best is first:
                break
    spent, trained = time.process_time() - begun, steps.count
    said = "" if best[2] else said
    return Repair(case.name, own, twin, best[0], best[2], symptoms, said, trained, trials, spent, tried)


REPAIRERS: dict[str, Callable[[Case, dict[str, object], float], Repair]] = {
    "Evenflow": ours,
    "AUTOTRAINER": published,
}


def _line(
    case: Case,
    true: dict[str, object],
    changed: Training | None,
    name: str,
    found: list[str],
    said: str,
    steps: int,
    trials: int,
    begun: float,
) -> Repair:
    spent = time.process_time() - begun
    own = _own(case, true)
    after = own if changed is None else _scored(changed)
    return Repair(case.name, own, _twin(case, true), after, name, found, said, steps, trials, spent)


def _made(case: Case, changes: tuple[Change, ...]) -> Training | None:
    """The training with these changes, from its start; None where one of them has nothing to change."""
    training: Training | None = built(case)
    draw = random.Random(case.name)
    for number, change in enumerate(changes):
        if training is None:
            return None
        torch.manual_seed(draw.randrange(2**31) + number)
        training = change(training, draw)
    return training


def _scored(training: Training) -> float:
    """The score after a full training; 0 where it cannot be trained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            train(training, STEPS)
            return score(training)
        except (RuntimeError, ValueError, IndexError):
            return 0.0


def _twin(case: Case, true: dict[str, object]) -> float:
    """Of the first seed, which is the one that is repaired; the truth is the mean where two were needed."""
    if true["verdict"] != "fault":
        return _own(case, true)
    return float(true["twin"]) if true["seeds"] == 1 else outcome(case, 0, faulty=False)  # type: ignore[arg-type]


def _own(case: Case, true: dict[str, object]) -> float:
    return float(true["score"]) if true["seeds"] == 1 else outcome(case, 0)  # type: ignore[arg-type]
