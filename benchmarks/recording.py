"""What recording costs: a training that a study records against the same training in a plain PyTorch loop.

One thread, interleaved in one process; the ratio of medians over rounds. The baseline is the loop that
a tutorial writes: forward, backward, step, and nothing read but the loss.

    python benchmarks/recording.py
"""

from __future__ import annotations

import statistics
import time

import torch

from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Cell
from evenflow.spec.training import Training
from evenflow.study.build import build
from evenflow.study.data import DataSet, load
from evenflow.study.draws import batch_indices
from evenflow.study.engines.moment import Stopwatch
from evenflow.study.engines.torch import make_optimiser, train

STEPS, ROUNDS = 60, 7


def cell(record_every: int) -> Cell:
    """The ReLU cell of the default study, shorter."""
    network = Network(depth=20, width=128, activation="relu")
    return Cell(
        network=network, data=Data(), training=Training(steps=STEPS), record_every=record_every, seed=0
    )


def plain(which: Cell, data: DataSet) -> float:
    """Seconds of the plain loop."""
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    model = build(which.network, inputs.shape[1], data.classes)
    optimiser = make_optimiser(model, which.training)
    began = time.perf_counter()
    for step in range(STEPS):
        rows = torch.from_numpy(batch_indices(step, len(labels), which.training.batch, 0))
        loss = torch.nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
    return time.perf_counter() - began


def recorded(which: Cell, data: DataSet) -> float:
    """Seconds of the engine with its records, without the store."""
    began = time.perf_counter()
    for _ in train(which, data, Stopwatch()):
        pass
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    data = load(Data())
    times: dict[str, list[float]] = {"plain loop": [], "record every 10": [], "record every 50": []}
    for _ in range(ROUNDS):
        times["plain loop"].append(plain(cell(10), data))
        times["record every 10"].append(recorded(cell(10), data))
        times["record every 50"].append(recorded(cell(50), data))
    base = statistics.median(times["plain loop"])
    for name, values in times.items():
        ratios = [value / bare for value, bare in zip(values, times["plain loop"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{name:16} {1e3 * statistics.median(values) / STEPS:6.2f} ms a step, ratio {middle:.2f} "
            f"(middle half {low:.2f} to {high:.2f})"
        )
    print(f"20 × 128, digits 28 × 28, batch 128, Adam; {ROUNDS} rounds; baseline {base:.2f} s")


if __name__ == "__main__":
    main()
