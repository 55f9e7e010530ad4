"""A short training of a copy, with a probe or without."""

from __future__ import annotations

import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from evenflow.diagnose.twins import CLEARLY
from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import Patient
from evenflow.doctor.failures import part, step_named
from evenflow.doctor.score import NOTHING, score
from evenflow.errors import SpecError
from evenflow.measure.data_facts import input_tensors

if TYPE_CHECKING:
    from evenflow.watch.probe import Probe

LossFunction = Callable[[Any, Any], Tensor]

_AFTER_NONFINITE = 5  # steps that go on behind a loss that is not finite
_SCORED = 4096  # samples, about, that the score is taken of


@dataclass(frozen=True)
class Course:
    """How a trial has gone.

    Args:
        losses: at every step.
        score, chance: at the end; see `doctor.score`.
        seconds: that it took.
        planned: steps that were asked for.
    """

    losses: tuple[float, ...]
    score: float
    chance: float
    seconds: float
    planned: int

    @property
    def settled(self) -> float:
        """The mean loss of the last tenth of the steps; NaN where that is not finite."""
        last = self.losses[-max(len(self.losses) // 10, 1) :]
        value = sum(last) / len(last) if last else math.nan
        return value if math.isfinite(value) else math.nan

    @property
    def near_the_best(self) -> bool:
        """Whether the score is so high that nothing can be clearly better."""
        return 100.0 * (1.0 - self.score) < CLEARLY


@dataclass(frozen=True)
class Plan:
    """What every trial of one examination has in common."""

    batches: Sequence[Batch]
    loss: LossFunction
    steps: int
    clip_norm: float | None = None
    target: str = "other"
    """The kind of the target."""
    first: int = 0
    """The step at which a trial begins that goes on where another one stopped."""


def train(
    patient: Patient,
    plan: Plan,
    *,
    factor: float = 1.0,
    seconds: float = 60.0,
    probe: Probe | None = None,
    clock: Optimizer | None = None,
    loss_kind: Callable[[], str] = str,
    said: Callable[[int], None] = lambda _: None,
) -> Course:
    """Train a copy for a number of steps, or until the time is over or the loss is long not finite.

    Args:
        patient: what is trained; nothing else is touched.
        plan: batches, loss, steps.
        factor: of the learning rate, at every step, whatever a scheduler makes of it.
        seconds: to stop after.
        probe: attached already.
        clock: another optimiser to step beside, by which the probe counts.
        loss_kind: called at the end, for the score.
        said: called with the number of steps done.

    Raises:
        SpecError: something of the user's raises; the message says what, where and at which step.
    """
    model, optimizer, loss_fn = patient.model, patient.optimizer, patient.own(plan.loss)
    if not model.training:
        model.train()
    closed = _needs_closure(optimizer)
    losses: list[float] = []
    bad = 0
    began = time.perf_counter()
    first = plan.first % len(plan.batches)
    batches = itertools.islice(itertools.cycle(plan.batches), first, first + plan.steps)
    with torch.enable_grad():
        for step, kept in enumerate(batches):
            batch = kept.copied()
            with step_named(f"step {step} of the trial"):
                with part("the model raises"):
                    output = call(model, batch.inputs)
                with part("the loss function raises"):
                    loss = loss_fn(output, batch.target)
                _check_loss(loss)
                optimizer.zero_grad()
                if probe is not None:
                    probe.loss(loss)
                if loss.requires_grad:
                    with part("the backward pass raises"):
                        loss.backward()
                if plan.clip_norm is not None:
                    own = [one for one in model.parameters() if one.grad is not None]
                    torch.nn.utils.clip_grad_norm_(own, plan.clip_norm)
                with part("the optimiser raises"), _scaled(optimizer, factor):
                    if closed:
                        _step_again(optimizer, _again(patient, loss_fn, batch))
                    else:
                        optimizer.step()
                if clock is not None:
                    clock.step()
                with part("the scheduler raises"):
                    _advance(patient.scheduler, loss)
            losses.append(float(loss.detach()))
            said(step + 1)
            bad += not math.isfinite(losses[-1])
            if bad > (_AFTER_NONFINITE if probe is not None else 0) or time.perf_counter() - began > seconds:
                break
        found = _score(model, plan, loss_kind()) if not bad else NOTHING
    return Course(tuple(losses), *found, time.perf_counter() - began, plan.steps)


def call(model: nn.Module, inputs: Any) -> Any:
    """Call a model with a batch's inputs: a tuple as several arguments, a mapping as keywords where it takes these."""
    if isinstance(inputs, Mapping):
        return model(**inputs) if _takes(model, inputs) else model(inputs)
    if isinstance(inputs, list | tuple):
        return model(*inputs)
    return model(inputs)


def _takes(model: nn.Module, inputs: Mapping[Any, Any]) -> bool:
    """Whether the forward pass of a model takes arguments of these names."""
    try:
        inspect.signature(model.forward).bind(**inputs)
    except TypeError:
        return False
    return True


@contextmanager
def _scaled(optimizer: Optimizer, factor: float) -> Iterator[None]:
    if factor == 1:
        yield
        return
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def _needs_closure(optimizer: Optimizer) -> bool:
    """Whether a step cannot do without computing the loss again, as that of LBFGS."""
    step = inspect.signature(type(optimizer).step).parameters
    return "closure" in step and step["closure"].default is inspect.Parameter.empty


def _step_again(optimizer: Any, closure: Callable[[], Tensor]) -> None:
    optimizer.step(closure)


def _again(patient: Patient, loss_fn: LossFunction, batch: Batch) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        patient.optimizer.zero_grad()
        loss = loss_fn(call(patient.model, batch.copied().inputs), batch.target)
        loss.backward()
        return loss

    return closure


def _advance(scheduler: Any, loss: Tensor) -> None:
    if scheduler is None:
        return
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(float(loss.detach()))
        return
    scheduler.step()


def _check_loss(loss: object) -> None:
    if not isinstance(loss, Tensor):
        raise SpecError(
            f"the loss function gives {type(loss).__name__}; it has to give a tensor of one number with its graph, "
            "from which gradients can be computed: leave item(), float() and detach() out"
        )
    if loss.numel() != 1:
        raise SpecError(
            f"the loss function gives a tensor of shape {tuple(loss.shape)}, not one number; take its mean"
        )


def _score(model: nn.Module, plan: Plan, loss_kind: str) -> tuple[float, float]:
    """The score on the last batches of the trial, without dropout, normalised over the batch as in training."""
    size = next((len(tensor) for tensor in _first(plan.batches[0].inputs) if tensor.ndim), 1)
    chosen = plan.batches[-max(_SCORED // max(size, 1), 1) :]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()  # after a short trial the running statistics are those of the start
    pairs = []
    with torch.no_grad():
        for batch in chosen:
            own = batch.copied()
            pairs.append((call(model, own.inputs), own.target))
    for module, mode in modes.items():  # as the training may go on
        module.training = mode
    return score(pairs, plan.target, loss_kind)


def _first(inputs: Any) -> list[Tensor]:
    return [tensor for _, tensor in input_tensors(inputs)]
