"""The reference engine: one network at a time, in plain PyTorch.

At a recorded step t the figures belong to the weights before update t: forward and backward signals on the batch of
step t in training mode; then the update that the optimiser makes of it. Where the cadence asks for it, accuracy,
loss and dead units over the whole data set come first, in evaluation mode. The last record, at t = steps, is the
trained network: its gradient is measured on the next batch and no update follows.
"""

from __future__ import annotations

import io
import math
import time
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import nn

from evenflow.measure.capture import captured
from evenflow.record.schema import Site
from evenflow.spec.families import AnyNetwork
from evenflow.spec.recurrent import RecurrentNetwork
from evenflow.spec.study import Cell
from evenflow.spec.training import Training
from evenflow.study.build import build
from evenflow.study.data import DataSet
from evenflow.study.draws import batch_indices
from evenflow.study.engines.cadence import cadence
from evenflow.study.engines.moment import Moment, Stopwatch
from evenflow.study.engines.readings import (
    Readings,
    read_parameters,
    read_results,
    read_signals,
    read_updates,
)
from evenflow.study.engines.watched import watched


def train(
    cell: Cell,
    data: DataSet,
    stopwatch: Stopwatch,
    resume: bytes | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Moment]:
    """Train one cell and yield every recorded step.

    A loss that is not finite ends the training after that step has been recorded; the last moment then says
    `diverged`.

    Args:
        cell: what to train.
        data: the data set that `cell.data` names.
        stopwatch: filled with the time of every step.
        resume: what an earlier `Moment.snapshot` returned, to go on behind it.
        dtype: of weights and signals; the initial weights are those of float32.
    """
    torch.manual_seed(cell.seed)  # for dropout; every other draw has its own generator
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    inputs = inputs.to(dtype)
    model = build(cell.network, data.shape, data.classes, cell.seed).to(dtype)
    optimiser = make_optimiser(model, cell.training)
    first = _restore(resume, model, optimiser) if resume else 0
    criterion = nn.CrossEntropyLoss()
    steps = cell.training.steps
    when = cadence(cell, data)

    for step in range(first, steps + 1):
        recorded, evaluated = when.records(step), when.evaluates(step)
        readings: Readings = defaultdict(dict)
        if evaluated:
            read_results(readings, model, cell.network, data)
        chosen = torch.from_numpy(batch_indices(step, len(labels), cell.training.batch, cell.seed))
        started = time.perf_counter()

        model.train()
        batch = inputs[chosen]
        if recorded and isinstance(cell.network, RecurrentNetwork):
            batch.requires_grad_()  # so that the gradient is seen at every time step of the first layer too
        with captured(_activations(model, cell.network) if recorded else {}) as signals:
            loss = criterion(model(batch), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        diverged = not math.isfinite(loss.item())
        if recorded or diverged:
            readings[Site("batch", "loss", 0, len(chosen)), ""]["loss"] = loss.item()
            read_signals(readings, model, cell.network, signals)
            read_parameters(readings, model, "accumulated")
        if clip(model, cell.network) and recorded:
            read_parameters(readings, model, "clipped")
        before = {name: p.detach().clone() for name, p in model.named_parameters()} if recorded else {}
        if step < steps:
            if cell.training.warm_up:
                for group in optimiser.param_groups:
                    group["lr"] = cell.training.rate_at(step)
            optimiser.step()
            if recorded:
                read_updates(readings, model, before)

        (stopwatch.recorded if recorded else stopwatch.plain).append(time.perf_counter() - started)
        if diverged and not evaluated:
            read_results(readings, model, cell.network, data)
        if recorded or diverged:
            rows = [(site, phase, figures) for (site, phase), figures in readings.items()]
            yield Moment(step, rows, diverged, lambda step=step: _snapshot(step, model, optimiser))
        if diverged:
            return


def make_optimiser(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The optimiser that `training` names, with PyTorch's defaults for what it leaves open."""
    parameters, rate, decay = model.parameters(), training.learning_rate, training.decay
    match training.optimiser:
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, weight_decay=decay)
        case "momentum":
            return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=training.momentum)
        case "adam":
            return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)


def clip(model: nn.Module, network: AnyNetwork) -> bool:
    """Clip the gradient in place as the specification says; True when clipping is on."""
    kind, bound = network.clipping
    if bound is None:
        return False
    if kind == "norm":
        nn.utils.clip_grad_norm_(model.parameters(), bound)
    else:
        nn.utils.clip_grad_value_(model.parameters(), bound)
    return True


def _activations(model: nn.Module, network: AnyNetwork) -> dict[str, nn.Module]:
    return {one.name: model.get_submodule(one.name) for one in watched(network)}


def _snapshot(step: int, model: nn.Module, optimiser: torch.optim.Optimizer) -> bytes:
    buffer = io.BytesIO()
    state = {
        "next": step + 1,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": torch.get_rng_state(),
    }
    torch.save(state, buffer)
    return buffer.getvalue()


def _restore(snapshot: bytes, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    state = torch.load(io.BytesIO(snapshot), weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["generator"])
    return state["next"]
