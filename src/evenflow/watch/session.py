"""What watches a script: a probe for every model that an optimiser steps, all in one store.

A model is looked for when an optimiser is made, so that its first step is on record, and else when one first steps.
An optimiser of other parameters of the same model belongs to the same run. One that takes over parameters of an
earlier optimiser, or comes when that one has stepped already, begins a second training and a run of its own.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from evenflow.diagnose.text import one_line
from evenflow.measure import clock
from evenflow.measure.sites import stepped_by
from evenflow.watch.book import Book, Shelf
from evenflow.watch.discovery import models_of, when_called
from evenflow.watch.facts import facts, line_of
from evenflow.watch.live import Live
from evenflow.watch.losses import Losses
from evenflow.watch.news import News
from evenflow.watch.probe import Probe
from evenflow.watch.settings import Settings
from evenflow.watch.summary import Ended, ended
from evenflow.wording import decimal, number

_SITES_ARE_KNOWN = 2
"""Steps after which a pattern of sites that names nothing can be told: the first one is recorded and over."""


class _Run:
    """A model under watch, or one that waits to be called for the first time."""

    def __init__(self, candidates: Sequence[nn.Module], optimiser: Optimizer, book: Book) -> None:
        self.candidates = list(candidates)
        self.optimisers = [optimiser]
        self.book = book
        self.probe: Probe | None = None
        self.call_off: Callable[[], None] = lambda: None
        self.begun = time.monotonic()
        self.steps = 0
        self.news = News()
        self.shown: tuple[int, float] = (0, time.monotonic())  # steps and time of the last line

    def holds(self, candidates: Sequence[nn.Module]) -> bool:
        """Whether one of these modules is in the model of this run."""
        mine = set(self.candidates[0].modules())
        return any(module in mine for module in candidates)

    def begins_with(self, optimiser: Optimizer) -> bool:
        """Whether a new optimiser is one more of the same training: of other parameters, and before the first step."""
        return self.steps == 0 and all(_apart(optimiser, one) for one in self.optimisers)


class Session:
    """Watches all trainings of this process from `start` to `stop`. Whatever fails in here is said, not raised."""

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        live: Live,
        say: Callable[[str], None],
        facts: Mapping[str, object],
    ) -> None:
        self.ended: list[Ended] = []
        self.strangers: dict[str, None] = {}
        """Optimisers that stepped and whose parameters are in no module."""
        self._settings = settings
        self._shelf = shelf
        self._live = live
        self._say = say
        self._facts = dict(facts)
        self._process = os.getpid()
        self._runs: list[_Run] = []
        self._told: set[str] = set()
        self._unknown: set[int] = set()
        self._losses = Losses(self._heard)
        self._plain_init = Optimizer.__init__

    def start(self) -> None:
        """Begin to watch."""
        plain, session = self._plain_init, self

        @wraps(plain)
        def made(optimiser: Optimizer, *arguments: Any, **options: Any) -> None:
            plain(optimiser, *arguments, **options)
            with session._careful():
                session._made(optimiser)

        Optimizer.__init__ = made  # pyright: ignore[reportAttributeAccessIssue]
        self._losses.attach()
        clock.watch(self)

    def stop(self, status: str = "finished", message: str = "") -> None:
        """Watch no more, and leave nothing behind; `message` says how the script ended, if it is worth saying."""
        Optimizer.__init__ = self._plain_init
        self._losses.detach()
        clock.unwatch(self)
        for run in tuple(self._runs):
            self._end(run, status, message)
        self.ended.sort(key=lambda training: training.number)

    # What the clock tells. The probes made later are told after this.

    def before_step(self, optimiser: Optimizer, closure: bool) -> None:
        self._losses.closure = closure
        with self._careful():
            runs = self._runs_of(optimiser)
            if not runs and id(optimiser) not in self._unknown:
                self._made(optimiser, stepping=True)
                runs = self._runs_of(optimiser)
                if not runs and id(optimiser) not in self._unknown:
                    self._unknown.add(id(optimiser))
                    self.strangers[type(optimiser).__name__] = None
                for run in runs:
                    self._late(run, optimiser, closure)
            for run in runs:
                if run.probe is None:  # its parts are called one by one
                    run.call_off()
                    self._begin(run, run.candidates[0])
                    self._late(run, optimiser, closure)

    def after_step(self, optimiser: Optimizer, closure: bool) -> None:  # noqa: ARG002 - the clock tells it
        self._losses.closure = False
        with self._careful():
            loss = self._losses.taken(optimiser)
            for run in self._runs_of(optimiser):
                if run.probe is None:
                    continue
                if loss is not None:
                    run.probe.loss(loss)
                run.steps += optimiser is run.optimisers[0]
                if run.steps == _SITES_ARE_KNOWN and self._settings.sites and run.probe.no_such_sites:
                    self._say(run.probe.no_such_sites.replace("sites=", "--sites ", 1))
                if self._live.due:
                    self._show()
                if run.news.due(run.steps) and not self._settings.quiet:
                    self._tell(run, run.probe)

    def unscaled(self, optimiser: Optimizer, scale: float) -> None:
        """Nothing of this is the session's business."""

    def skipped(self, optimiser: Optimizer) -> None:
        """A step that a loss scale has left out has a loss like any other."""
        self.after_step(optimiser, False)

    def _heard(self, loss: Tensor) -> None:
        """Gradients are about to go back from a loss, whose graph says how it comes from the outputs."""
        with self._careful():
            for run in self._runs:
                if run.probe is not None:
                    run.probe._recorder.heard(loss)

    # Runs.

    def _made(self, optimiser: Optimizer, stepping: bool = False) -> None:
        """An optimiser is there: find its models, and the runs they belong to."""
        if os.getpid() != self._process:  # a process that the script has forked
            return
        for candidates in models_of(optimiser):
            known = [run for run in self._runs if run.holds(candidates)]
            if known and (stepping or known[0].begins_with(optimiser)):
                known[0].optimisers.append(optimiser)
                if known[0].probe is not None:
                    known[0].probe._recorder.include(optimiser)
                continue
            for run in tuple(self._runs):
                if run in known or (run.steps and not stepping):
                    self._end(run)  # or the memory of a model that is done with would be held to the end
            for run in tuple(self._runs):
                if run.candidates[0] in set(candidates[0].modules()):  # it is a part of a larger model now
                    self._end(run)
            run = _Run(candidates, optimiser, Book(self._shelf, self._settings.name))
            self._runs.append(run)
            if len(candidates) == 1:
                self._begin(run, candidates[0])
            else:
                run.call_off = when_called(candidates, lambda module, run=run: self._begin(run, module))

    def _begin(self, run: _Run, model: nn.Module) -> None:
        with self._careful(run):
            settings = self._settings
            run.probe = Probe(
                model,
                run.optimisers,
                every=settings.every,
                budget=settings.budget,
                sites=settings.sites,
                window=settings.window,
                store=run.book,
                name=settings.name,
            )
            run.candidates = [run.probe.model]
            run.probe._listen()

    def _late(self, run: _Run, optimiser: Optimizer, closure: bool) -> None:
        """A probe that came during a step is told of it, so that the step's gradients and update are on record."""
        if run.probe is not None and run.steps == 0:
            run.probe._recorder.before_step(optimiser, closure)

    def _end(self, run: _Run, status: str = "finished", message: str = "") -> None:
        """Detach, keep what there is to say, and let go of the model."""
        self._runs.remove(run)
        run.call_off()
        if run.probe is not None:
            with self._careful():
                run.probe.detach()
                if run.steps:
                    seconds = time.monotonic() - run.begun
                    told = {**self._facts, "model": type(run.probe.model).__name__, "seconds": seconds}
                    told |= {"message": message} if message else {}
                    told |= run.probe.setting.to_facts()
                    run.book.close_with(status, told)
                    self.ended.append(ended(run.probe, run.book, run.steps, judged=not self._settings.quiet))

    def _runs_of(self, optimiser: Optimizer) -> list[_Run]:
        return [run for run in self._runs if any(one is optimiser for one in run.optimisers)]

    # What is seen of it.

    def _show(self) -> None:
        """A line about the run whose last line is oldest."""
        moving = [run for run in self._runs if run.probe is not None and run.steps > run.shown[0]]
        if not moving:
            return
        run = min(moving, key=lambda one: one.shown[1])
        assert run.probe is not None
        said = facts(run.probe.latest)
        if not said:  # the first step is not over yet
            return
        steps, before = run.shown
        now = time.monotonic()
        run.shown = (run.steps, now)
        rate = f"{number((run.steps - steps) / (now - before), 3)} steps/s"
        model = type(run.probe.model).__name__ if len(self._runs) > 1 else ""
        share = run.probe.cost
        cost = "" if math.isnan(share) else f"probe {decimal(100 * share, 1)} %"
        self._live.show(line_of([model, f"step {run.steps:,}", rate, *said, cost], said, self._live.width))

    def _tell(self, run: _Run, probe: Probe) -> None:
        """A line for every finding that is new."""
        for finding in run.news.judge(probe, run.steps):
            name = f"{type(probe.model).__name__}: " if len(self._runs) > 1 else ""
            self._live.say(f"evenflow: step {run.steps:,}, {name}{one_line(finding)}")

    @contextmanager
    def _careful(self, run: _Run | None = None) -> Iterator[None]:
        """Whatever goes wrong is said once; the script goes on."""
        try:
            yield
        except Exception as error:
            if run is not None and run in self._runs:
                self._runs.remove(run)
                self._unknown.update(map(id, run.optimisers))
            text = f"not watched: {error}" if run is not None else f"{type(error).__name__}: {error}"
            if text not in self._told:
                self._told.add(text)
                self._say(text)


def _apart(first: Optimizer, second: Optimizer) -> bool:
    """Whether two optimisers have no parameter in common."""
    return stepped_by(first).isdisjoint(stepped_by(second))
