"""A training under trial: the original or a candidate, that goes on in legs and is judged after each.

Trainings that are compared begin at the same copy, see the same batches in the same order, draw the same random
numbers, and take the same number of steps. One that goes on is trained on, not anew: its state, its random numbers
and its place among the batches are kept, so that two legs of 25 steps are bit for bit one of 50.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from msgspec import structs

from evenflow.doctor.bystander import Bystander
from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.examine import dead_window, stepping
from evenflow.doctor.recurrence import recurrences
from evenflow.doctor.trial import train
from evenflow.prescribe.modes import LossGuarded
from evenflow.prescribe.prescription import Training
from evenflow.record.table import Table
from evenflow.spec.setting import NAN, Recurrence, Setting
from evenflow.verify.metric import Metric
from evenflow.verify.randomness import Randomness
from evenflow.watch.probe import Probe

Make = Callable[[], Training]


@dataclass(eq=False)
class Trainee:
    """One training under trial.

    Args:
        name: of the prescription, or "original".
        make: gives the training at its start; called once, at the first leg.
        metric: by which it is judged.
        randomness: that it draws from.
        loss_kind: of the original, where the candidate's own cannot be read.
        loss: the original's loss function: a candidate with another one cannot be judged by its loss.
        through_time: whether its sign is one of recurrent layers, which are asked before the first step.
    """

    name: str
    make: Make
    metric: Metric
    randomness: Randomness
    loss_kind: str = ""
    loss: object = None
    through_time: bool = False
    training: Training | None = None
    setting: Setting = field(default_factory=Setting)
    losses: list[float] = field(default_factory=list)
    values: dict[int, float] = field(default_factory=dict)
    """Of the metric, by the number of steps after which it was taken."""
    looks: list[Look] = field(default_factory=list)
    problem: str = ""
    """Why it is out of the trial, in words; "" while it is not."""
    seconds: float = 0.0
    """Of steps without a probe."""
    timed: int = 0
    """Steps that took these seconds."""
    hurried: bool = False
    """Whether its time was over before its steps were."""

    @property
    def steps(self) -> int:
        """Taken so far."""
        return len(self.losses)

    @property
    def value(self) -> float:
        """Of the metric, as it stands; NaN before the first leg."""
        return next(reversed(self.values.values()), NAN)

    @property
    def merit(self) -> float:
        """The value, turned so that more is better."""
        return self.metric.merit(self.value)

    @property
    def alive(self) -> bool:
        """Whether it can go on."""
        return not self.problem

    @property
    def seconds_per_step(self) -> float:
        """Without a probe; NaN where no leg had none."""
        return self.seconds / self.timed if self.timed else NAN

    def advance(
        self,
        steps: int,
        *,
        seconds: float = math.inf,
        look: bool = False,
        said: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Train up to this number of steps, counted from the start.

        Whatever the change or the training raises puts it out of the trial; Ctrl-C comes through.

        Args:
            steps: in all.
            seconds: that this leg may take.
            look: whether with a probe, for the signs.
            said: called with the number of steps done.
        """
        if not self.alive or steps <= self.steps:
            return
        try:
            if self.training is None:
                with self.randomness.at_work(), _quiet():
                    self.training = self.make()
            self._leg(self.training, steps - self.steps, seconds, look, said)
        except Exception as error:
            self.problem = " ".join(str(error).split()) or type(error).__name__
            return
        if not math.isfinite(self.losses[-1]):
            self.problem = f"its loss is {self.losses[-1]} at step {self.steps - 1}"

    def _leg(
        self, training: Training, steps: int, seconds: float, look: bool, said: Callable[[int], None]
    ) -> None:
        done = self.steps
        plan = replace(training.plan, steps=steps, first=training.plan.first + done)
        before = time.perf_counter()

        def tell(count: int) -> None:
            nonlocal before
            if count == steps:  # what follows is the score
                self.seconds += 0.0 if look else time.perf_counter() - before
            said(done + count)

        with self.randomness.at_work(), _quiet():
            if look:
                patient = training.patient
                clock = Bystander.of(patient)
                recurrent = () if done or not self.through_time else _through_time(training)
                probe = Probe(patient.model, stepping(patient, clock), window=dead_window(plan.batches))
                with probe:
                    course = train(
                        patient,
                        plan,
                        seconds=seconds,
                        probe=probe,
                        clock=clock,
                        loss_kind=lambda: self._kind(probe.setting),
                        said=tell,
                    )
                if not done:
                    self.setting = probe.setting
                self.looks.append(Look(done, _with_recurrences(probe.table, probe.setting, recurrent)))
            else:
                course = train(
                    training.patient,
                    plan,
                    seconds=seconds,
                    loss_kind=lambda: self._kind(self.setting),
                    said=tell,
                )
                self.timed += len(course.losses) if len(course.losses) == steps else 0
            self.randomness = Randomness.now()
        self.losses.extend(course.losses)
        self.hurried = len(course.losses) < steps and math.isfinite(course.losses[-1])
        loss = training.plan.loss
        if isinstance(loss, LossGuarded):  # which is the original's wherever that is finite
            loss = loss.loss
        comparable = self.metric.name != "loss" or self.loss is None or loss is self.loss
        if not comparable:
            self.problem = (
                "its loss is another one, which cannot be compared with the original's; give a metric"
            )
            return
        self.values[self.steps] = self.metric.of(training.patient, training.plan, self.losses, course.score)

    def _kind(self, setting: Setting) -> str:
        own = setting.output.loss if setting.output is not None else ""
        return own or self.loss_kind


@dataclass(frozen=True)
class Look:
    """What a probe has seen of one leg.

    Args:
        first: the step of the training that the leg began with.
        table: of the leg, whose steps count from 0.
    """

    first: int
    table: Table


def _through_time(training: Training) -> tuple[Recurrence, ...]:
    """The gradient of every time step, on a copy; random numbers stay where they are."""
    with untouched_randomness():
        copied = training.copied()
        return recurrences(copied.patient.model, copied.plan.batches[0], copied.loss)


def _with_recurrences(table: Table, setting: Setting, recurrent: tuple[Recurrence, ...]) -> Table:
    if not recurrent:
        return table
    facts = structs.replace(setting, recurrences=recurrent).to_facts()
    runs = tuple(replace(run, facts={**run.facts, **facts}) for run in table.runs)
    return Table(runs, table.sites, table.index, table.figures)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of a training that is not the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
