"""The probe: one object around a training loop, and the gradient flow of every layer is on record."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING

from msgspec import structs
from torch import Tensor, nn
from torch.optim import Optimizer

from evenflow.errors import SpecError, StoreError, suggest
from evenflow.measure.copies import is_tapped
from evenflow.measure.ranks import Ranks
from evenflow.measure.recorder import ProbeWarning, Recorder
from evenflow.measure.sites import unwrapped
from evenflow.measure.team import team_of
from evenflow.record.axes import Run
from evenflow.record.schema import STATISTICS
from evenflow.record.store import Store
from evenflow.record.table import Table
from evenflow.spec.setting import Setting
from evenflow.watch.book import Book, free_key
from evenflow.watch.own_loss import OwnLoss
from evenflow.watch.source import source_of
from evenflow.wording import listed

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from evenflow.measure.nonfinite import Origin


__all__ = ["Probe", "ProbeWarning"]


class Probe:
    """Records the gradient flow of a model while it trains, and changes nothing about the training.

    Use it as a context manager around the training loop, or call `attach` and `detach`. Every recorded step is one
    step of the optimiser: forward signal of every activation, the gradient that reaches its pre-activation, and the
    gradient, weight and update of every parameter, before and after clipping.

    Args:
        model: the network; one wrapped by DataParallel, DistributedDataParallel or torch.compile is looked into.
        optimizer: the optimiser or optimisers whose steps count; left out, every one that steps the model.
        every: record every so many steps.
        budget: the share of the training time that recording may take, such as 0.03; `every` is then chosen by
            measuring, and grows or shrinks as the model needs.
        statistics: names of the statistics to record; all of the standard set when left out.
        sites: patterns of the names of sites, such as "layer1.*", or a function of the name. With patterns, any
            module that one of them names is recorded too, whatever it is.
        window: samples that a unit has to be silent for before it is called dead, 1 or more.
        rows: read only so many rows of each batch, chosen anew each step; the table then has the standard errors.
        time_steps: make every time step of a recurrent module a site of its own.
        micro_batches: read the gradient that each backward pass of a step brings, too: phase "micro", as root mean
            square over them. Not under FSDP, which calls no hooks of parameters.
        nonfinite: look for the operation that made the first NaN or infinite value.
        store: a file, or an open `Store`, that is written as the training goes on; the first rank alone writes.
        name: of the run in the table and in the store; name-2, name-3, … where the store has such a run already.
        ranks: whether the table holds the figures of all ranks of a distributed training, the same on each: norms of
            whole parameters, signals of the whole batch. A probe is then attached on every rank at the same place,
            where it waits for the others up to 30 seconds, and all of them end with the first that ends; `every` is
            that of the first rank. Left out: yes, where the model is in DistributedDataParallel or `fully_shard` was
            applied. True: yes, over all ranks of the job. False: no, nothing is sent, and the table is of this rank.

    Raises:
        SpecError: something that is no model or no optimiser, an optimiser of another model, an argument out of
            range, parameters on the meta device.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with Probe(model, optimizer) as probe:
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         model(torch.ones(2, 4)).square().mean().backward()
    ...         optimizer.step()
    >>> probe.table.select(kind="weight", step=2)["name"].tolist()
    ['0.weight', '2.weight']
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer] | None = None,
        *,
        every: int = 1,
        budget: float | None = None,
        statistics: Collection[str] | None = None,
        sites: str | Iterable[str] | Callable[[str], bool] | None = None,
        window: int = 1000,
        rows: int | None = None,
        time_steps: bool = False,
        micro_batches: bool = False,
        nonfinite: bool = True,
        store: str | PathLike[str] | Store | None = None,
        name: str = "probe",
        ranks: bool | None = None,
    ) -> None:
        self.model = _checked(model)
        optimisers = _optimisers(optimizer, self.model)
        for word, value in (("every", every), ("window", window), ("rows", 1 if rows is None else rows)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SpecError(f"{word}={value!r} of the probe: give a whole number, 1 or more")
        if budget is not None and not (isinstance(budget, int | float) and 0 < budget < 1):
            raise SpecError(
                f"budget={budget!r} of the probe: give a share of the time between 0 and 1, such as 0.03"
            )
        if budget is not None and every != 1:
            raise SpecError(
                f"every={every} and budget={budget} of the probe: give one of the two, a budget chooses every"
            )
        self._statistics = None if statistics is None else _known_statistics(statistics)
        team = team_of(model, ranks) if isinstance(model, nn.Module) else None
        self._ranks = None if team is None else Ranks(team, f"{type(self.model).__name__} {name}")
        self._store = None if self._ranks is not None and not self._ranks.first else _opened(store)
        self._path = None if self._store is None or isinstance(store, Store) else self._store.path
        self._sites = sites
        self._recorder = Recorder(
            self.model,
            optimisers,
            every=every,
            window=window,
            chosen=_chooser(sites),
            updates=self._measures("update_norm", "update_to_weight"),
            time_steps=time_steps,
            run=Run(name),
            statistics=self._statistics,
            written=None if self._store is None else self._write,
            budget=budget,
            rows=rows,
            micro_batches=micro_batches,
            nonfinite=nonfinite,
            ranks=self._ranks,
        )
        self._own_loss = OwnLoss(self._recorder)
        self._name = name
        self._run_number: int | None = None
        self._begun = time.time()
        self._attached = self._told = False

    def __enter__(self) -> Probe:
        return self.attach()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:  # the training has failed, perhaps on this rank only: nobody is waited for
            self._recorder.leave(f"has ended with its training ({kind.__name__})")
        self._stop("finished" if error is None else "failed")

    def attach(self) -> Probe:
        """Begin to record; a probe that records already goes on.

        Raises:
            SpecError: the model is in the middle of a forward pass.
        """
        if not self._attached:
            _refuse_inside(self.model)
            if self._store is None and self._path is not None:
                self._store = _opened(self._path)
            taken = [
                name or type(module).__name__
                for name, module in self.model.named_modules()
                if is_tapped(module)
            ]
            if taken:
                _warn(
                    f'another probe listens to "{taken[0]}" and {len(taken) - 1} more modules of this '
                    f"{type(self.model).__name__}: their forward signals are recorded there only"
                )
            if not self._told:
                self._own_loss.attach()
            self._listen()
        return self

    def _listen(self) -> None:
        """Attach where nothing of the model runs, or the one call on the way has not begun."""
        self._begun = time.time()
        self._recorder.attach()
        self._attached = True

    def detach(self) -> None:
        """Record no more, and leave nothing behind in the model; what was recorded stays."""
        self._stop("finished")

    def _stop(self, status: str) -> None:
        if not self._attached:
            return
        self._attached = False
        self._recorder.detach()
        try:
            if self._store is not None and self._run_number is not None:
                self._store.finish(self._run_number, status, self._setting_facts())
        except StoreError as error:
            self._recorder.fail(error)
        if self._store is not None and self._path is not None:
            self._store.close()
            self._store = None
        self._say_what_is_missing()

    def _say_what_is_missing(self) -> None:
        """Warn where the user's patterns have chosen nothing in a training that went on."""
        recorder = self._recorder
        if self._sites is not None and recorder.failure is None and recorder.step and not self._has_sites:
            _warn(f"nothing of the model was recorded in {recorder.step} steps: {self.no_such_sites}")

    @property
    def no_such_sites(self) -> str:
        """What is said of patterns that name nothing; "" where they name something, or nothing was recorded yet."""
        if self._sites is None or not self._recorder.history.steps or self._has_sites:
            return ""
        names = [name for name, _ in self.model.named_parameters()]
        return (
            f"sites={self._sites!r} names no site of this {type(self.model).__name__}, which has "
            f"{listed(names, most=5)}"
        )

    @property
    def _has_sites(self) -> bool:
        """Whether something of the model was recorded, and not what goes in and comes out alone."""
        return any(site.kind not in ("loss", "input") for site in self.latest.sites)

    @property
    def table(self) -> Table:
        """What has been recorded so far: step × site × statistic; its run's facts hold the setting."""
        return self._with_setting(self._recorder.history.table())

    @property
    def setting(self) -> Setting:
        """What is known of the training besides its figures: layers, optimisers, inputs, the end of the model.

        As it was at the first recorded step; empty before that.
        """
        onlooker, origin = self._recorder.onlooker, self.origin
        setting = (None if onlooker is None else onlooker.setting) or Setting()
        if self._recorder.kept.steps:
            setting = structs.replace(setting, uncleared=self._recorder.kept.steps)
        if origin is not None:
            low, high = origin[1].span
            setting = structs.replace(
                setting,
                origin=str(origin[1]),
                origin_step=origin[0],
                origin_lowest=low,
                origin_highest=high,
            )
        return setting

    @property
    def latest(self) -> Table:
        """The last recorded step alone, which costs no more as the table grows."""
        history = self._recorder.history
        return self._with_setting(history.table(max(len(history.steps) - 1, 0)))

    def excerpt(self, steps: int) -> Table:
        """The table with so many recorded steps at most: the first, the last, and some of those between."""
        return self._with_setting(self._recorder.history.excerpt(steps))

    @property
    def every(self) -> int:
        """Every how many steps is recorded now."""
        return self._recorder.every

    @property
    def failure(self) -> Exception | None:
        """The error that stopped the probe, if one did; the training went on."""
        return self._recorder.failure

    @property
    def cost(self) -> float:
        """With a budget: the share of the training time that recording takes, as measured; NaN before that."""
        return math.nan if self._recorder.budget is None else self._recorder.budget.spent

    @property
    def origin(self) -> tuple[int, Origin] | None:
        """The step of the first non-finite value and the operation that made it; None while all is finite."""
        return self._recorder.origin

    def loss(self, value: Tensor | float) -> None:
        """Record the loss of the step that is under way.

        Left out, it is the scalar that `backward` is called of; of several in a step, their sum.
        """
        self._told = True
        self._own_loss.detach()
        self._recorder.loss(value)

    def plot(self, *, columns: int = 2, theme: str = "light") -> go.Figure:
        """The gradient of every layer by depth and through training, updates, dead and saturated units.

        Args:
            columns: 1 puts the panels below one another, for narrow screens.
            theme: "light" or "dark".
        """
        from evenflow.report.flow_figure import flow_figure

        return flow_figure(self.table, columns=columns, theme=theme)

    def __str__(self) -> str:
        from evenflow.report.flow_terminal import flow_text

        text = flow_text(self.table)
        if self.origin is not None:
            text += f"\n first value that is not finite at step {self.origin[0]}, {self.origin[1]}"
        return text

    def __repr__(self) -> str:
        state = "attached" if self._attached else "detached"
        return (
            f"Probe({type(self.model).__name__}, {state}, {len(self._recorder.history.steps)} steps recorded)"
        )

    def _setting_facts(self) -> dict[str, object]:
        setting = self.setting
        return {} if setting == Setting() else {**setting.to_facts(), "about": self._about}

    @cached_property
    def _about(self) -> dict[str, object]:
        """What is recorded, since when, and where its source is."""
        file, line = source_of(self.model)
        place = {"file": file, "line": line} if file else {}
        begun = datetime.fromtimestamp(self._begun).strftime("%Y-%m-%d %H:%M")
        return {"model": type(self.model).__name__, "begun": begun, **place}

    def _with_setting(self, table: Table) -> Table:
        facts = self._setting_facts()
        if not facts:
            return table
        runs = tuple(replace(run, facts={**run.facts, **facts}) for run in table.runs)
        return Table(runs, table.sites, table.index, table.figures)

    def _write(self, table: Table) -> None:
        assert self._store is not None
        if self._run_number is None:
            key = self._name if isinstance(self._store, Book) else free_key(self._store, self._name)
            self._run_number = self._store.begin(key, 0, {})
        self._store.extend(self._run_number, table)

    def _measures(self, *names: str) -> bool:
        return self._statistics is None or not self._statistics.isdisjoint(names)


def _checked(model: object) -> nn.Module:
    """The model itself, out of what wraps it, with values for its parameters."""
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"a probe watches a torch.nn.Module; what was given is of type {type(model).__name__}"
        )
    model = unwrapped(model)
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise SpecError(
                f'parameter "{name}" is on the meta device and has no values; move the model to a real device first, '
                'with model.to_empty(device="cpu") and its initialisation'
            )
    return model


def _optimisers(given: object, model: nn.Module) -> list[Optimizer]:
    if given is None:
        return []
    several = list(given) if isinstance(given, list | tuple) else [given]
    own = set(map(id, model.parameters()))
    found = []
    for one in several:
        optimiser = getattr(one, "optimizer", one)  # as accelerate wraps it
        if not isinstance(optimiser, Optimizer):
            raise SpecError(
                "optimizer of the probe: give a torch.optim.Optimizer, or a list of them; type "
                f"{type(one).__name__} is none"
            )
        if not any(id(parameter) in own for group in optimiser.param_groups for parameter in group["params"]):
            raise SpecError(
                f"the {type(optimiser).__name__} given to the probe steps no parameter of this "
                f"{type(model).__name__}; give the optimiser of the same model"
            )
        found.append(optimiser)
    return found


_NOT_MEASURED = ("accuracy", "recall", "grad_norm_log10", "grad_norm_log10_sd")  # a study does, or theory


def _known_statistics(names: Collection[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise SpecError(f'statistics="{names}" of the probe: give a list of names, such as ["{names}"]')
    measured = [name for name in STATISTICS if name not in _NOT_MEASURED]
    for name in names:
        if name not in measured:
            raise SpecError(
                f'statistic "{name}" is none that a probe measures{suggest(str(name), measured)}; it measures '
                f"{', '.join(measured)}"
            )
    if not names:
        raise SpecError(f"statistics=[] of the probe records nothing; it measures {', '.join(measured)}")
    return frozenset(names)


def _opened(store: str | PathLike[str] | Store | None) -> Store | None:
    if store is None:
        return None
    if not isinstance(store, str | PathLike | Store):
        raise SpecError(
            f"store of the probe: give a path or an open Store; type {type(store).__name__} is neither"
        )
    opened = store if isinstance(store, Store) else Store.open(store, "a")
    if opened.mode != "a":
        raise StoreError(f'store {opened.path} is open for reading only; open it with mode "a" for the probe')
    return opened


def _chooser(sites: str | Iterable[str] | Callable[[str], bool] | None) -> Callable[[str], bool]:
    """Whether a name is chosen; a name behind "=" is a module that is no site unless it is asked for."""
    if sites is None:
        return lambda name: not name.startswith("=")
    if callable(sites):
        return lambda name: bool(sites(name.removeprefix("=")))
    patterns = list(sites) if isinstance(sites, Iterable) and not isinstance(sites, str) else [sites]
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise SpecError(
                f'sites of the probe: {pattern!r} is no pattern of names; give a string such as "layer1.*"'
            )
    return lambda name: any(fnmatchcase(name.removeprefix("="), pattern) for pattern in patterns)


def _refuse_inside(model: nn.Module) -> None:
    own = set(model.modules())
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("_call_impl", "_wrapped_call_impl") and frame.f_locals.get("self") in own:
            raise SpecError(
                "a probe cannot be attached inside the forward pass of its model; attach it before the model is called"
            )
        frame = frame.f_back


def _warn(message: str) -> None:
    warnings.warn(message, ProbeWarning, stacklevel=3)
