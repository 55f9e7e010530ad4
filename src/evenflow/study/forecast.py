"""Predict what a network will show on its first batch, as a table; and draw real networks to hold beside it."""

from __future__ import annotations

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table
from evenflow.spec.content import content_hash
from evenflow.spec.data import Data
from evenflow.spec.families import AnyNetwork
from evenflow.spec.plan import Plan, plan_of
from evenflow.spec.properties import properties
from evenflow.study.question import MOST, Loss, first_batch, load_data, predictable, question, torch_loss
from evenflow.theory.dead_units import dead_fraction, dead_units
from evenflow.theory.precision import float32_depths
from evenflow.theory.propagate import Forecast, propagate

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float64]
Row = tuple[int, int, Site, str, dict[str, float]]


def predict(
    network: AnyNetwork | nn.Module,
    data: Data | Sequence[Any] | None = None,
    loss: Loss | None = None,
    *,
    batch: int = 64,
    seed: int = 0,
    seeds: int = 1,
) -> Table:
    """Predict gradients and signals of every layer before any training.

    Args:
        network: a specification; or a torch model that is a chain of known layers, freshly initialised: its
            weights are then taken for one draw from the distribution that they seem to come from.
        data: a data set (digits, when left out); or, necessarily with a torch model, the batch itself: inputs of
            shape (samples, features) and targets as the loss takes them.
        loss: `cross_entropy` (when left out), `mse`, or a callable of torch logits and targets that returns a
            scalar, the mean over the batch.
        batch: samples of the batch, where `data` is a data set.
        seed: chooses the batch as step 0 of a study with this seed has it.
        seeds: of how many networks the mean is asked; the standard deviation is that of their mean.

    Returns:
        A table of source `predicted`, step 0, with the sites of a study's table: `grad_norm`, its
        `grad_norm_log10` (mean over seeds; does not underflow) and `grad_norm_log10_sd` for weights and
        biases, `signal_rms` and `rms` of pre-activations, `rms` and `dead_fraction` of activations. The facts of
        its run hold `warnings` and `float32_depths`, the depths from which `.norm()` of the first layer's gradient
        reads 0 in float32 and from which every entry is 0 (None where the gradient does not vanish).

    Warns:
        UserWarning: each of the `warnings`.

    Raises:
        SpecError: the network, the data or the loss do not fit or leave the reach of the theory.

    >>> from evenflow.spec.network import Network
    >>> table = predict(Network(depth=2, width=32, activation="tanh"))
    >>> len(table.select(kind="weight"))
    3
    """
    if seeds < 1:
        raise SpecError(f"seeds = {seeds}: a mean is taken over 1 network or more")
    begun = time.perf_counter()
    asked = question(network, data, loss, batch=batch, seed=seed)
    plan, inputs = asked.plan, asked.inputs
    forecast = propagate(plan, inputs, asked.gradient, seed=seed)
    first = plan.layers[0]
    lost = float32_depths(forecast.weight.mean, first.fan_in, first.fan_out)
    facts = {
        "warnings": [*forecast.warnings, *_shortened(asked.whole)],
        "float32_depths": [round(depth) if math.isfinite(depth) else None for depth in lost],
        "seconds": time.perf_counter() - begun,
    }
    for text in facts["warnings"]:
        warnings.warn(text, stacklevel=2)
    run = Run(asked.key, seed, asked.fields, "finished", 0, facts, "predicted")
    rows = _rows(plan, forecast, asked.window, len(inputs), seeds)
    return Table.from_rows([run], rows, source="predicted")


def draw(
    network: AnyNetwork,
    data: Data | None = None,
    loss: Loss | None = None,
    *,
    batch: int = 64,
    seed: int = 0,
    seeds: int = 20,
    progress: Callable[[int], None] | None = None,
) -> Table:
    """Build real networks and pass one batch through each, forwards and backwards, in float64.

    Args:
        network, data, loss, batch, seed: as `predict` takes them; the batch is the same.
        seeds: how many networks, with the seeds 0, 1, 2 …
        progress: called with the number of networks done.

    Returns:
        A table of source `simulated`, one run a network, with the sites of `predict`.

    Raises:
        SpecError: `seeds` is below 1, or the network, the data or the loss do not fit.
    """
    import torch

    from evenflow.measure.capture import captured
    from evenflow.measure.statistics import elementwise_slope, live_units, norm, rms
    from evenflow.study.build import build
    from evenflow.study.engines.readings import parameter_sites

    if seeds < 1:
        raise SpecError(f"seeds = {seeds}: draw 1 network or more")
    network = predictable(network)
    chosen = data or Data()
    samples = load_data(chosen)
    features, classes = samples.train_inputs.shape[1], samples.classes
    plan_of(network, features, classes)  # refuses what is not to be predicted, and so not compared
    batch_inputs, batch_labels = first_batch(samples, batch, seed)
    inputs, labels = torch.from_numpy(batch_inputs), torch.from_numpy(batch_labels)
    everything = torch.from_numpy(samples.train_inputs).double()
    names = [f"activation_{layer}" for layer in range(1, network.layers + 1)]
    watched = [bool(properties(function).dead) for function in network.activations]
    runs, rows = [], []
    for place in range(seeds):
        model = build(network, features, classes, place).double().train()
        modules = {name: model.get_submodule(name) for name in names}
        with captured(modules) as signals:
            value = torch_loss(loss, model(inputs), labels)
            value.backward()
        figures: dict[tuple[Site, str], dict[str, float]] = defaultdict(dict)
        for site, parameter in parameter_sites(model):
            if parameter.grad is not None:
                figures[site, "accumulated"]["grad_norm"] = norm(parameter.grad).item()
        for depth, (name, signal) in enumerate(signals.items(), start=1):
            units = signal.outputs.shape[-1]
            before = Site(name, "pre-activation", depth, units)
            figures[before, ""]["rms"] = rms(signal.inputs.detach()).item()
            if signal.inputs.grad is not None:
                figures[before, "accumulated"]["signal_rms"] = rms(signal.inputs.grad).item()
            figures[Site(name, "activation", depth, units), ""]["rms"] = rms(signal.outputs.detach()).item()
        if any(watched):
            model.eval()
            with torch.no_grad(), captured(modules) as signals:
                model(everything)
            for depth, (name, signal) in enumerate(signals.items(), start=1):
                live = live_units(elementwise_slope(modules[name], signal.inputs))
                site = Site(name, "activation", depth, len(live))
                figures[site, ""]["dead_fraction"] = 1 - live.double().mean().item()
        key = content_hash([network.hash, chosen, place])
        runs.append(Run(key, place, network.plain, "finished", source="simulated"))
        rows += [(place, 0, site, phase, found) for (site, phase), found in figures.items()]
        if progress:
            progress(place + 1)
    return Table.from_rows(runs, rows, source="simulated")


def _shortened(samples: int) -> list[str]:
    if samples <= MOST:
        return []
    return [
        f"the first {MOST} of the batch's {samples} samples stand for all, for time grows with their square"
    ]


def _rows(plan: Plan, forecast: Forecast, window: Array, samples: int, seeds: int) -> list[Row]:
    rows: list[Row] = []
    dead = _dead(plan, forecast, window, samples)
    for number, layer in enumerate(plan.layers):
        depth = number + 1
        for kind, level in (("weight", forecast.weight), ("bias", forecast.bias)):
            if kind == "bias" and not layer.bias:
                continue
            log = float(level.mean[number])
            figures = {
                "grad_norm": 10**log,
                "grad_norm_log10": log,
                "grad_norm_log10_sd": float(level.deviation[number]) / math.sqrt(seeds),
            }
            rows.append(
                (0, 0, Site(f"{layer.name}.{kind}", kind, depth, layer.fan_out), "accumulated", figures)
            )
        if not layer.shaped:
            continue
        entries = samples * layer.fan_out
        before = Site(layer.shaped, "pre-activation", depth, layer.fan_out)
        signal = 10 ** (float(forecast.signal.mean[number]) - 0.5 * math.log10(entries))
        rows.append((0, 0, before, "accumulated", {"signal_rms": signal}))
        rows.append((0, 0, before, "", {"rms": 10 ** float(forecast.scale.mean[number])}))
        behind = Site(layer.shaped, "activation", depth, layer.fan_out)
        rows.append(
            (0, 0, behind, "", {"rms": float(forecast.output[number]), "dead_fraction": float(dead[number])})
        )
    return rows


def _dead(plan: Plan, forecast: Forecast, window: Array, samples: int) -> Array:
    """Share of dead units of every hidden layer over the data set that the batch is a sample of."""
    if all(layer.normalisation != "batch" for layer in plan.hidden):
        return dead_units(plan, window)
    shares = []
    for layer, argument in zip(plan.hidden, forecast.arguments, strict=True):
        assert layer.activation is not None
        shares.append(dead_fraction(layer.activation, argument, len(window) / samples))
    return np.array(shares)
