"""Predict what a network will show on its first batch, as a table; and draw real networks to hold beside it."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table
from evenflow.spec.content import content_hash
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.plan import Plan, plan_of
from evenflow.spec.properties import properties
from evenflow.theory.dead_units import dead_fraction, dead_units
from evenflow.theory.losses import Gradient, loss_gradient
from evenflow.theory.precision import float32_depths
from evenflow.theory.propagate import Forecast, propagate

if TYPE_CHECKING:
    from torch import nn

    from evenflow.study.data import DataSet

Array = NDArray[np.float64]
Loss = str | Callable[..., Any]
MOST = 256
"""Samples of a batch that a prediction carries; the first of a larger one stand for it."""

Row = tuple[int, int, Site, str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Question:
    """What theory is asked about.

    Args:
        plan: the network.
        inputs: the batch, shape (samples, features).
        gradient: of the loss with respect to the logits.
        window: the samples among which dead units are sought.
        fields, key: of the run in the table.
        whole: samples of the batch, of which `inputs` may hold the first only.
    """

    plan: Plan
    inputs: Array
    gradient: Gradient
    window: Array
    fields: dict[str, object]
    key: str
    whole: int


def predict(
    network: Network | nn.Module,
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

    Raises:
        SpecError: the network, the data or the loss do not fit or leave the reach of the theory.

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
    run = Run(asked.key, seed, asked.fields, "finished", 0, facts)
    rows = _rows(plan, forecast, asked.window, len(inputs), seeds)
    return Table.from_rows([run], rows, source="predicted")


def question(
    network: Network | nn.Module,
    data: Data | Sequence[Any] | None,
    loss: Loss | None,
    *,
    batch: int,
    seed: int,
) -> Question:
    """Bring a network, its data and its loss into the form that theory takes; arguments as of `predict`."""
    if isinstance(network, Network):
        if not (data is None or isinstance(data, Data)):
            raise SpecError(
                "a specification is predicted on a data set, Data(name=...); a batch goes with a torch model"
            )
        chosen = data or Data()
        samples = _load(chosen)
        inputs, labels = _batch(samples, batch, seed)
        whole, inputs, labels = len(inputs), inputs[:MOST], labels[:MOST]
        return Question(
            plan_of(network, samples.train_inputs.shape[1], samples.classes),
            inputs,
            _gradient(loss, labels, samples.classes),
            samples.train_inputs.astype(np.float64),
            {**network.plain, "data": chosen.name},
            content_hash([network.hash, chosen, str(loss), batch, seed]),
            whole,
        )
    plan, inputs, gradient, whole = _from_model(network, data, loss)
    key = content_hash([plan.widths, [layer.name for layer in plan.layers], len(inputs), seed])
    return Question(plan, inputs, gradient, inputs, {"model": type(network).__name__}, key, whole)


def draw(
    network: Network,
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
    chosen = data or Data()
    samples = _load(chosen)
    features, classes = samples.train_inputs.shape[1], samples.classes
    plan_of(network, features, classes)  # refuses what is not to be predicted, and so not compared
    batch_inputs, batch_labels = _batch(samples, batch, seed)
    inputs, labels = torch.from_numpy(batch_inputs), torch.from_numpy(batch_labels)
    everything = torch.from_numpy(samples.train_inputs).double()
    names = [f"activation_{layer}" for layer in range(1, network.layers + 1)]
    watched = [bool(properties(function).dead) for function in network.activations]
    runs, rows = [], []
    for place in range(seeds):
        model = build(network, features, classes, place).double().train()
        modules = {name: model.get_submodule(name) for name in names}
        with captured(modules) as signals:
            value = _torch_loss(loss, model(inputs), labels)
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
        runs.append(Run(content_hash([network.hash, chosen, place]), place, network.plain, "finished"))
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


def _load(data: Data) -> DataSet:
    from evenflow.study.data import load

    return load(data)


def _batch(samples: DataSet, batch: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    from evenflow.study.draws import batch_indices

    if batch < 1:
        raise SpecError(f"batch = {batch}: a batch has 1 sample or more")
    chosen = batch_indices(0, len(samples.train_inputs), batch, seed)
    return samples.train_inputs[chosen].astype(np.float64), samples.train_labels[chosen]


def _gradient(loss: Loss | None, labels: NDArray[np.int64], outputs: int) -> Gradient:
    if loss is None or isinstance(loss, str):
        return loss_gradient(loss or "cross_entropy", labels, outputs)
    import torch

    return _torch_gradient(loss, torch.from_numpy(labels))


def _torch_gradient(loss: Loss, targets: Any) -> Gradient:
    """The gradient of a loss written for torch, one draw of the logits at a time."""
    import torch

    def gradient(logits: Array) -> Array:
        found = np.empty_like(logits)
        for place, one in enumerate(logits):
            leaf = torch.tensor(one, dtype=torch.float64, requires_grad=True)
            value = _torch_loss(loss, leaf, targets)
            if not value.requires_grad:
                raise SpecError("the loss does not depend on the logits: it has no gradient")
            found[place] = torch.autograd.grad(value, leaf)[0].numpy()
        return found

    return gradient


def _torch_loss(loss: Loss | None, logits: Any, targets: Any) -> Any:
    import torch

    if loss is None or loss == "cross_entropy":
        return torch.nn.functional.cross_entropy(logits, targets)
    if loss == "mse":
        wanted = torch.nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        return torch.nn.functional.mse_loss(logits, wanted)
    if isinstance(loss, str):
        loss_gradient(loss, np.zeros(1, dtype=np.int64), 1)  # says which losses are known
    assert callable(loss)
    # targets of regression come as float32 beside logits in float64
    if isinstance(targets, torch.Tensor) and targets.is_floating_point():
        targets = targets.to(logits.dtype)
    value = loss(logits, targets)
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = (
            f"a tensor of shape {tuple(value.shape)}"
            if isinstance(value, torch.Tensor)
            else type(value).__name__
        )
        raise SpecError(f"the loss returned {got}, but a scalar tensor is needed: its mean over the batch")
    return value.reshape(())


def _from_model(model: Any, data: Any, loss: Loss | None) -> tuple[Plan, Array, Gradient, int]:
    import torch

    from evenflow.measure.plan_reader import read_plan

    if not isinstance(model, torch.nn.Module):
        raise SpecError(f"predict takes a Network or a torch model, not a {type(model).__name__}")
    if not (isinstance(data, Sequence) and len(data) == 2):
        raise SpecError(
            "a torch model is predicted on a batch: give (inputs, targets) as the second argument"
        )
    inputs, targets = (torch.as_tensor(one) for one in data)
    whole, inputs, targets = len(inputs), inputs[:MOST], targets[:MOST]
    plan = read_plan(model, inputs)
    if isinstance(loss, str) or loss is None:
        if targets.is_floating_point() or targets.ndim != 1 or len(targets) != len(inputs):
            raise SpecError(
                f"{loss or 'cross_entropy'} takes one class number a sample as targets; give a loss of your own, "
                "such as torch.nn.MSELoss(), for others"
            )
        outputs = plan.layers[-1].fan_out
        if int(targets.min()) < 0 or int(targets.max()) >= outputs:
            raise SpecError(f"targets run to class {int(targets.max())}, but the model has {outputs} outputs")
        gradient = loss_gradient(loss or "cross_entropy", targets.numpy(), outputs)
    else:
        gradient = _torch_gradient(loss, targets)
    flat = inputs.detach().reshape(len(inputs), -1).double().numpy()
    return plan, flat, gradient, whole


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
