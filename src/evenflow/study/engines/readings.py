"""Reading a network: the rows that one recorded step of a study writes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from evenflow.measure.capture import Signal, captured
from evenflow.measure.sites import parameter_kind
from evenflow.measure.statistics import (
    live_units,
    max_abs,
    mean,
    nonfinite_count,
    norm,
    rms,
    saturated_fraction,
    std,
    zero_fraction,
)
from evenflow.record.schema import Site
from evenflow.spec.families import AnyNetwork
from evenflow.spec.network import Network
from evenflow.spec.properties import properties
from evenflow.study.data import DataSet
from evenflow.study.engines.watched import Watched, watched

# What one recorded step has read so far: (site, phase) -> statistic -> figure.
Readings = defaultdict[tuple[Site, str], dict[str, float]]

# Rows of the data set that are evaluated at once; bounds the memory, changes no figure.
_CHUNK = 2048
_SMALL_CHUNK = 256  # where every unit has a figure for each place or time step


def read_signals(
    readings: Readings, model: nn.Module, network: AnyNetwork, signals: dict[str, Signal]
) -> None:
    """Forward and backward signal of every hidden layer on one batch, after the backward pass.

    Of a recurrent layer the gradient is that with respect to what enters at every time step t, at a site
    `hidden_1[t]` each: it has come back through all later steps.
    """
    for one in watched(network):
        signal = signals.get(one.name)
        if signal is None:  # the step was not to be recorded, but its loss is not finite
            continue
        outputs = signal.outputs.detach()
        units = one.units(outputs)
        found = readings[Site(one.name, "activation", one.depth, units), ""]
        found |= {
            "mean": mean(outputs).item(),
            "std": std(outputs).item(),
            "rms": rms(outputs).item(),
            "max_abs": max_abs(outputs).item(),
            "zero_fraction": zero_fraction(outputs).item(),
            "nonfinite_count": nonfinite_count(outputs).item(),
        }
        slope = one.slope(model, signal)
        if slope is not None and one.function is not None:
            max_slope = properties(one.function).max_slope
            found["saturated_fraction"] = saturated_fraction(slope, max_slope).item()
        gradient = signal.inputs.grad
        if gradient is None:
            continue
        if one.states:
            for step, part in enumerate(gradient.unbind(1)):
                site = Site(f"{one.name}[{step}]", "input", one.depth - 1, part.shape[-1])
                readings[site, "accumulated"]["signal_rms"] = rms(part).item()
        else:
            site = Site(one.name, "pre-activation", one.depth, units)
            readings[site, "accumulated"]["signal_rms"] = rms(gradient).item()


def read_parameters(readings: Readings, model: nn.Module, phase: str) -> None:
    """Gradient of every parameter in this phase, and its norm before the update."""
    for site, parameter in parameter_sites(model):
        if parameter.grad is not None:
            figures = {"grad_norm": norm(parameter.grad).item(), "grad_rms": rms(parameter.grad).item()}
            readings[site, phase] |= figures
        if phase == "accumulated":
            readings[site, phase]["weight_norm"] = norm(parameter.detach()).item()


def read_updates(readings: Readings, model: nn.Module, before: dict[str, Tensor]) -> None:
    """The update that turned the parameters `before` into those that the model has now."""
    for site, parameter in parameter_sites(model):
        update = norm(parameter.detach().double() - before[site.name].double()).item()
        weight = readings[site, "accumulated"]["weight_norm"]
        readings[site, "accumulated"] |= {
            "update_norm": update,
            "update_to_weight": update / weight if weight else math.nan,
        }


def read_results(readings: Readings, model: nn.Module, network: AnyNetwork, data: DataSet) -> None:
    """Loss, accuracy, recall of each class and dead units, over the whole data set in evaluation mode.

    Units are dead or live over the training part.
    """
    model.eval()
    dtype = next(model.parameters()).dtype
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    logits, live = _evaluated(model, network, inputs.to(dtype), watch=True)
    _read_answers(readings, "train", logits, labels)
    for one, units in live.items():
        dead = 1 - units.double().mean().item()
        readings[Site(one.name, "activation", one.depth, len(units)), ""]["dead_fraction"] = dead

    inputs, labels = torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_labels)
    logits, _ = _evaluated(model, network, inputs.to(dtype), watch=False)
    correct = _read_answers(readings, "test", logits, labels)
    for label in range(data.classes):
        of_class = labels == label
        if of_class.any():
            site = Site(f"test class {label}", "class", 0, int(of_class.sum()))
            readings[site, ""]["recall"] = correct[of_class].double().mean().item()


def _read_answers(readings: Readings, part: str, logits: Tensor, labels: Tensor) -> Tensor:
    correct = logits.argmax(1) == labels
    readings[Site(part, "loss", 0, len(labels)), ""] |= {
        "loss": nn.functional.cross_entropy(logits.double(), labels).item(),
        "accuracy": correct.double().mean().item(),
    }
    return correct


def parameter_sites(model: nn.Module) -> Iterator[tuple[Site, nn.Parameter]]:
    """Every parameter with its site; `depth` counts the matrices in their order, and what has one number a unit belongs
    to the matrix before it."""
    depth = 0
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            kind = parameter_kind(module, name, parameter)
            depth += kind == "weight"
            full = f"{path}.{name}" if path else name
            yield Site(full, kind, max(depth, 1), parameter.shape[0]), parameter


def _evaluated(
    model: nn.Module, network: AnyNetwork, inputs: Tensor, *, watch: bool
) -> tuple[Tensor, dict[Watched, Tensor]]:
    """Logits of all `inputs`, and for every activation which units are live (when `watch`)."""
    places = [one for one in watched(network) if one.function is not None] if watch else []
    logits: list[Tensor] = []
    live: dict[Watched, Tensor] = {}
    rows = _CHUNK if isinstance(network, Network) else _SMALL_CHUNK
    with torch.no_grad(), captured({one.name: model.get_submodule(one.name) for one in places}) as signals:
        for chunk in inputs.split(rows):
            logits.append(model(chunk))
            for one in places:
                slope = one.slope(model, signals[one.name])
                assert slope is not None
                units = live_units(slope)
                live[one] = live[one] | units if one in live else units
            signals.clear()
    return torch.cat(logits), live
