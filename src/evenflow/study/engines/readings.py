"""Reading a network: the rows that one recorded step of a study writes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from evenflow.measure.capture import Signal, captured
from evenflow.measure.statistics import (
    elementwise_slope,
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
from evenflow.spec.network import Network
from evenflow.spec.properties import properties
from evenflow.study.data import DataSet

# What one recorded step has read so far: (site, phase) -> statistic -> figure.
Readings = defaultdict[tuple[Site, str], dict[str, float]]

# Rows of the data set that are evaluated at once; bounds the memory, changes no figure.
_CHUNK = 2048


def read_signals(readings: Readings, model: nn.Module, network: Network, signals: dict[str, Signal]) -> None:
    """Forward and backward signal of every hidden layer on one batch, after the backward pass."""
    for depth, (name, signal) in enumerate(signals.items(), start=1):
        outputs = signal.outputs.detach()
        slope = elementwise_slope(model.get_submodule(name), signal.inputs)
        max_slope = properties(network.activations[depth - 1]).max_slope
        units = outputs.shape[-1]
        readings[Site(name, "activation", depth, units), ""] |= {
            "mean": mean(outputs).item(),
            "std": std(outputs).item(),
            "rms": rms(outputs).item(),
            "max_abs": max_abs(outputs).item(),
            "zero_fraction": zero_fraction(outputs).item(),
            "saturated_fraction": saturated_fraction(slope, max_slope).item(),
            "nonfinite_count": nonfinite_count(outputs).item(),
        }
        if signal.inputs.grad is not None:
            site = Site(name, "pre-activation", depth, units)
            readings[site, "accumulated"]["signal_rms"] = rms(signal.inputs.grad).item()


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


def read_results(readings: Readings, model: nn.Module, network: Network, data: DataSet) -> None:
    """Loss, accuracy, recall of each class and dead units, over the whole data set in evaluation mode.

    Units are dead or live over the training part.
    """
    model.eval()
    dtype = next(model.parameters()).dtype
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    logits, live = _evaluated(model, network, inputs.to(dtype), watch=True)
    _read_answers(readings, "train", logits, labels)
    for depth, (name, units) in enumerate(live.items(), start=1):
        dead = 1 - units.double().mean().item()
        readings[Site(name, "activation", depth, len(units)), ""]["dead_fraction"] = dead

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
    """Every parameter with its site; `depth` is the number of its layer, the output layer's being the last."""
    depth = 0
    for path, module in model.named_children():
        layer = path.rpartition("_")[2]
        depth = int(layer) if layer.isdigit() else depth + 1
        for name, parameter in module.named_parameters():
            kind = _parameter_kind(module, name)
            yield Site(f"{path}.{name}", kind, depth, parameter.shape[0]), parameter


def _parameter_kind(module: nn.Module, name: str) -> str:
    if isinstance(module, nn.Linear):
        return name
    if isinstance(module, nn.PReLU):
        return "slope"
    return "scale" if name == "weight" else "shift"


def _evaluated(
    model: nn.Module, network: Network, inputs: Tensor, *, watch: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of all `inputs`, and for every activation which units are live (when `watch`)."""
    names = [f"activation_{layer}" for layer in range(1, network.layers + 1)] if watch else []
    modules = {name: model.get_submodule(name) for name in names}
    logits: list[Tensor] = []
    live: dict[str, Tensor] = {}
    with torch.no_grad(), captured(modules) as signals:
        for chunk in inputs.split(_CHUNK):
            logits.append(model(chunk))
            for name, signal in signals.items():
                units = live_units(elementwise_slope(modules[name], signal.inputs))
                live[name] = live[name] | units if name in live else units
            signals.clear()
    return torch.cat(logits), live
