"""How near predictions come to real networks: gradient norms of every layer, hundreds of configurations.

For each activation × initialisation × depth × width, networks are drawn with PyTorch, one batch of 64 digits goes
through each forwards and backwards in float64, and the mean over seeds of log10 ‖∂L/∂W‖ is held against the
prediction, layer by layer. Seeds are added (20 at least) until the standard error of every layer is below 0.015
decade, or 800, 500 or 80 seeds at width 64, 128 or 512 are done. Two errors are told: of the norm relative to the
last layer's ("ratio") and of the norm itself ("level").

    python benchmarks/prediction.py --depth 5 20 --width 64 128      about 5 minutes on one core
    python benchmarks/prediction.py --keep measured                  all 360, over an hour; goes on where it stopped
"""

from __future__ import annotations

import argparse
import csv
import math
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from evenflow.spec.activation import activation, register_activation
from evenflow.spec.data import Data
from evenflow.spec.initialisation import Draw, bias_draw, weight_draw
from evenflow.spec.network import Network
from evenflow.spec.plan import plan_of
from evenflow.study.data import load
from evenflow.theory.losses import loss_gradient
from evenflow.theory.propagate import propagate

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "mish")
OWN = "own"  # a function that the catalogue does not hold
INITIALISATIONS = ("torch", "xavier", "he")
BATCH = 64
MOST_SEEDS = {64: 800, 128: 500, 512: 80}
ENOUGH = 0.015


@dataclass(frozen=True)
class Result:
    """One configuration, measured and predicted; errors are predicted minus measured, in decades, a layer each."""

    network: Network
    ratio: np.ndarray
    level: np.ndarray
    spread: np.ndarray  # predicted over measured standard deviation between seeds
    seeds: int
    noise: float  # standard error of the measured mean, at its largest
    seconds: float  # of the prediction
    warned: bool


def register_own() -> None:
    """A function that nobody has written formulas for."""
    register_activation(
        OWN, lambda z: z * np.tanh(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0)) + 0.1 * np.sin(3 * z)
    )


def drawn(rule: Draw, shape: tuple[int, ...], source: torch.Generator) -> torch.Tensor:
    """Parameters of several networks at once, in float64."""
    if rule.distribution == "normal":
        return torch.randn(shape, generator=source).double() * rule.scale
    if rule.distribution == "uniform":
        return (torch.rand(shape, generator=source).double() * 2 - 1) * (math.sqrt(3) * rule.scale)
    return torch.full(shape, rule.scale, dtype=torch.float64)


def gradients(network: Network, seeds: int, source: torch.Generator, batch: tuple) -> np.ndarray:
    """log10 norms of the weights' gradients of `seeds` fresh networks, shape (seeds, layers)."""
    inputs, labels = batch
    functions, before = (*network.activations, None), ("identity", *network.activation_names)
    signal, weights = inputs.expand(seeds, -1, -1), []
    for layer, (fan_in, fan_out) in enumerate(pairwise((inputs.shape[1], *network.widths, 10))):
        weight_rule = weight_draw(network.initialisation, fan_in, fan_out, before[layer])
        bias_rule = bias_draw(network.bias_initialisation, network.initialisation, fan_in)
        weight = drawn(weight_rule, (seeds, fan_out, fan_in), source).requires_grad_()
        bias = drawn(bias_rule, (seeds, 1, fan_out), source)
        weights.append(weight)
        signal = torch.baddbmm(bias, signal, weight.transpose(1, 2))
        function = functions[layer]
        signal = signal if function is None else function(signal)
    losses = torch.nn.functional.cross_entropy(signal.flatten(0, 1), labels.repeat(seeds), reduction="sum")
    found = torch.autograd.grad(losses / len(labels), weights)
    return torch.stack([torch.log10(one.square().sum((1, 2))) / 2 for one in found], dim=1).numpy()


def measured(network: Network, batch: tuple, keep: Path | None) -> np.ndarray:
    """The same of as many seeds as it takes; kept in a file, and read from there the next time."""
    name = f"{network.activation}_{network.initialisation}_{network.layers}_{network.widths[0]}.npy"
    if keep and (keep / name).exists():
        return np.load(keep / name)
    width = network.widths[0]
    at_once = max(1, min(40, int(3e7 / (network.layers * width**2))))
    source = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    found = np.empty((0, network.layers + 1))
    while len(found) < 20 or (noise(found) > ENOUGH and len(found) < MOST_SEEDS.get(width, 200)):
        found = np.concatenate([found, gradients(network, at_once, source, batch)])
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        np.save(keep / f"part-{name}", found)
        (keep / f"part-{name}").rename(keep / name)
    return found


def noise(found: np.ndarray) -> float:
    """Standard error of the mean of the ratio, at the noisiest layer."""
    return float(np.max(np.std(found - found[:, -1:], axis=0, ddof=1))) / math.sqrt(len(found))


def compared(network: Network, batch: tuple, keep: Path | None) -> Result:
    """Measure and predict one configuration."""
    found = measured(network, batch, keep)
    inputs, labels = (one.numpy() for one in batch)
    begun = time.process_time()
    forecast = propagate(
        plan_of(network, inputs.shape[1], 10), inputs, loss_gradient("cross_entropy", labels, 10)
    )
    seconds = time.process_time() - begun
    level = forecast.weight.mean - np.mean(found, axis=0)
    spread = forecast.weight.deviation / np.std(found, axis=0, ddof=1)
    return Result(
        network, level - level[-1], level, spread, len(found), noise(found), seconds, bool(forecast.warnings)
    )


def rows_of(results: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Classes of configurations, each with its name."""
    yield "all", results
    yield "not warned of", [one for one in results if not one.warned]
    easy = [one for one in results if one.network.layers <= 20 and one.network.widths[0] >= 128]
    yield "depth ≤ 20, width ≥ 128", easy
    for title, key in (
        ("depth", lambda one: one.network.layers),
        ("width", lambda one: one.network.widths[0]),
        ("init", lambda one: one.network.initialisation),
        ("activation", lambda one: one.network.activation),
    ):
        for value in dict.fromkeys(key(one) for one in results):
            yield f"{title} {value}", [one for one in results if key(one) == value]


def summary(results: list[Result]) -> Table:
    """Errors by class, in decades."""
    table = Table(
        title="Worst layer of a configuration, |predicted - measured| in log10", title_justify="left"
    )
    table.add_column("class")
    for column in ("n", "ratio median", "p90", "worst", "≤ 0.1", "≤ 0.3", "level median", "p90", "worst"):
        table.add_column(column, justify="right")
    for column in ("spread ×/÷ 1.5", "seconds"):
        table.add_column(column, justify="right")
    for name, chosen in rows_of(results):
        if not chosen:
            continue
        ratio = np.array([np.max(np.abs(one.ratio)) for one in chosen])
        level = np.array([np.max(np.abs(one.level)) for one in chosen])
        # the last layer's own spread is that of a few logits
        spread = np.abs(np.log(np.concatenate([one.spread for one in chosen])))
        figures = [f"{len(chosen)}"]
        figures += [f"{value:.3f}" for value in (np.median(ratio), np.quantile(ratio, 0.9), np.max(ratio))]
        figures += [f"{np.mean(ratio <= bound):.0%}" for bound in (0.1, 0.3)]
        figures += [f"{value:.3f}" for value in (np.median(level), np.quantile(level, 0.9), np.max(level))]
        figures += [f"{np.mean(spread <= math.log(1.5)):.0%}"]
        figures += [f"{np.median([one.seconds for one in chosen]):.2f}"]
        table.add_row(name, *figures)
    return table


def layers(results: list[Result]) -> Table:
    """Errors of single layers, over all layers of all configurations."""
    table = Table(title="Every layer, |predicted - measured| in log10", title_justify="left")
    for column in ("class", "median", "p90", "worst"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, chosen in list(rows_of(results))[:3]:
        for what in ("ratio", "level"):
            error = np.abs(np.concatenate([getattr(one, what) for one in chosen])) if chosen else np.zeros(1)
            figures = (np.median(error), np.quantile(error, 0.9), np.max(error))
            table.add_row(f"{what}, {name}", *(f"{value:.3f}" for value in figures))
    return table


def write(results: list[Result], path: Path) -> None:
    """One line a layer."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "activation",
                "initialisation",
                "depth",
                "width",
                "layer",
                "ratio",
                "level",
                "spread",
                "seeds",
                "noise",
                "warned",
            ]
        )
        for one in results:
            network = one.network
            head = [network.activation, network.initialisation, network.layers, network.widths[0]]
            for layer, figures in enumerate(zip(one.ratio, one.level, one.spread, strict=True), start=1):
                writer.writerow(
                    [
                        *head,
                        layer,
                        *(f"{value:.4f}" for value in figures),
                        one.seeds,
                        f"{one.noise:.4f}",
                        one.warned,
                    ]
                )


def main() -> None:
    """Read the command line, compare, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--activation", nargs="+", default=[*ACTIVATIONS], help=f'names; "{OWN}" for an unknown one'
    )
    parser.add_argument("--initialisation", nargs="+", default=[*INITIALISATIONS])
    parser.add_argument("--depth", nargs="+", type=int, default=[5, 20, 50, 100], help="hidden layers")
    parser.add_argument("--width", nargs="+", type=int, default=[64, 128, 512])
    parser.add_argument("--keep", type=Path, help="folder for what was measured")
    parser.add_argument("--csv", type=Path, default=Path("prediction.csv"), help="errors of every layer")
    given = parser.parse_args()
    torch.set_num_threads(1)
    register_own()
    for name in given.activation:
        activation(name)
    data = load(Data())
    batch = (
        torch.from_numpy(data.train_inputs[:BATCH]).double(),
        torch.from_numpy(data.train_labels[:BATCH]),
    )
    networks = [
        Network(depth=depth, width=width, activation=name, initialisation=initialisation)
        for width, depth, name, initialisation in product(
            given.width, given.depth, given.activation, given.initialisation
        )
    ]
    results = [compared(network, batch, given.keep) for network in track(networks, "networks")]
    console = Console()
    console.width = max(console.width, 132)  # the table of errors is wide, and is read from files
    console.print(summary(results))
    console.print(layers(results))
    failures = [one for one in results if np.max(np.abs(one.ratio)) > 0.1 or np.max(np.abs(one.level)) > 0.3]
    for one in sorted(failures, key=lambda one: -float(np.max(np.abs(one.ratio)))):
        console.print(
            f"{one.network.activation} {one.network.initialisation}, depth {one.network.layers}, width "
            f"{one.network.widths[0]}: ratio off by {np.max(np.abs(one.ratio)):.2f}, level by "
            f"{np.max(np.abs(one.level)):.2f}; {one.seeds} seeds, standard error {one.noise:.3f}"
            + ("; warned" if one.warned else "")
        )
    write(results, given.csv)
    console.print(f"every layer: {given.csv}")


if __name__ == "__main__":
    main()
