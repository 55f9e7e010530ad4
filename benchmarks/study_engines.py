"""Networks·steps per second of four ways to train many small networks, in share of the machine's matrix-product peak.

    python benchmarks/study_engines.py [--widths 32 64 128 256] [--seconds 2] [--rounds 3]
    python benchmarks/study_engines.py --scaling          1 to 1024 networks of width 32
    python benchmarks/study_engines.py --two-cores        the fast engine in one process and in two
    python benchmarks/study_engines.py --study            480 networks, 20 × 64, 500 steps

The ways: the plain loop of a tutorial (`.item()` of every gradient's norm at every tenth step); the torch engine of a
study; batched PyTorch (`vmap` of `grad`, fused Adam); the fast engine. All train 20 layers of ReLU on scikit-learn's
digits with Adam, batch 128, on one thread. *Bare* is steps that are not recorded. *Recorded* is with everything that a
study records at every tenth step, the whole data set evaluated too; the plain loop records gradient norms only.
Rates are per second of processor time on one thread, so that other work on the machine counts least; the ways take
turns, and of each the best round counts. The peak is the
best that any of the sizes and libraries tried reaches in a product of float32 matrices on one core.
"""

from __future__ import annotations

import argparse
import functools
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from evenflow.study.engines.start import one_thread

one_thread()

import jax  # noqa: E402 - the process is made ready for it first
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from evenflow import Data, Network, Training, build  # noqa: E402
from evenflow.spec.study import Cell  # noqa: E402
from evenflow.study.data import DataSet, load  # noqa: E402
from evenflow.study.draws import batch_indices  # noqa: E402
from evenflow.study.engines import jax as engine  # noqa: E402
from evenflow.study.engines.compiled.program import advance  # noqa: E402
from evenflow.study.engines.grouping import alike, group_size  # noqa: E402
from evenflow.study.engines.moment import Stopwatch  # noqa: E402
from evenflow.study.engines.torch import train as train_by_torch  # noqa: E402
from evenflow.study.flops import flops_per_step  # noqa: E402

DEPTH, BATCH, EVERY = 20, 128, 10
DIGITS = Data(name="digits")
Way = Callable[[int, int], "Rates"]


class Rates(NamedTuple):
    """Networks·steps per second: of steps that are not recorded, and of all; seconds to the first result."""

    bare: float
    recorded: float
    first: float = math.nan


def cells(width: int, count: int, steps: int, every: int = EVERY) -> list[Cell]:
    network = Network(depth=DEPTH, width=width, activation="relu", initialisation="he")
    training = Training(steps=steps, batch=BATCH)
    return [
        Cell(network=network, data=DIGITS, training=training, record_every=every, seed=seed)
        for seed in range(count)
    ]


@functools.cache
def digits() -> DataSet:
    return load(DIGITS)


def batches(steps: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    inputs, labels = torch.from_numpy(digits().train_inputs), torch.from_numpy(digits().train_labels)
    for step in range(steps):
        chosen = torch.from_numpy(batch_indices(step, len(labels), BATCH, seed))
        yield inputs[chosen], labels[chosen]


def plain(width: int, steps: int) -> Rates:
    """The loop of a tutorial."""
    model = build(cells(width, 1, steps)[0].network, 64, 10)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    spent = {True: 0.0, False: 0.0}
    for step, (inputs, labels) in enumerate(batches(steps)):
        started = time.process_time()
        optimiser.zero_grad()
        criterion(model(inputs), labels).backward()
        if step % EVERY == 0:
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad.norm().item()
        optimiser.step()
        spent[step % EVERY == 0] += time.process_time() - started
    bare = steps - math.ceil(steps / EVERY)
    return Rates(bare / spent[False], steps / sum(spent.values()))


def by_torch(width: int, steps: int) -> Rates:
    def spent(every: int) -> tuple[float, float]:
        started = time.process_time()
        moments = train_by_torch(cells(width, 1, steps, every)[0], digits(), Stopwatch())
        next(moments)
        first = time.process_time() - started
        for _ in moments:
            pass
        return first, time.process_time() - started

    first, recorded = spent(EVERY)
    return Rates(steps / spent(steps)[1], steps / recorded, first)


def by_vmap(width: int, steps: int, count: int = 16) -> Rates:
    """Batched PyTorch: one gradient function over stacked parameters."""
    from torch.func import functional_call, grad, stack_module_state, vmap

    models = [build(cell.network, 64, 10, cell.seed) for cell in cells(width, count, steps)]
    parameters, buffers = stack_module_state(models)
    optimiser = torch.optim.Adam(list(parameters.values()), lr=1e-3, fused=True)

    def loss(own: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(models[0], (own, buffers), (inputs,)), labels)

    gradient = vmap(grad(loss), in_dims=(0, None, None))
    started = time.process_time()
    for inputs, labels in batches(steps):
        found = gradient({name: value.detach() for name, value in parameters.items()}, inputs, labels)
        for name, parameter in parameters.items():
            parameter.grad = found[name]
        optimiser.step()
    rate = count * steps / (time.process_time() - started)
    return Rates(rate, math.nan)


def by_jax(width: int, steps: int, count: int = 0) -> Rates:
    """The fast engine, in groups of the size that a study takes."""
    some = cells(width, count or 16, steps)
    some = some[: group_size(alike(some[0]), len(some), 64, 10)]
    inside: list[float] = []

    def measured(*arguments: Any) -> Any:
        started = time.process_time()
        found = jax.block_until_ready(advance(*arguments))
        inside.append((time.process_time() - started) / arguments[-1])
        return found

    with patch.object(engine, "advance", measured):  # the steps between two records are one call
        started = time.process_time()
        moments = engine.train(some, digits(), Stopwatch())
        next(moments)
        first = time.process_time() - started
        next(moments)  # compiles what is between two records
        inside.clear()
        started = time.process_time()
        for _ in moments:
            pass
        spent = time.process_time() - started
    return Rates(len(some) / min(inside), len(some) * (steps - EVERY) / spent, first)


WAYS: dict[str, Way] = {"plain": plain, "torch": by_torch, "vmap": by_vmap, "jax": by_jax}


def peak() -> float:
    """GFLOP/s of the best product of float32 matrices on one core: torch and XLA, 256 to 1024 wide."""
    best = 0.0
    product = jax.jit(lambda a, b: a @ b)
    for size in (256, 512, 1024):
        a = torch.randn(size, size)
        b = jax.numpy.asarray(a.numpy())
        for multiply, x in (((lambda x: x @ x), a), ((lambda x: product(x, x).block_until_ready()), b)):
            for _ in range(20):
                started = time.process_time()
                multiply(x)
                best = max(best, 2 * size**3 / (time.process_time() - started) / 1e9)
    return best


def compare(widths: list[int], rounds: int, seconds: float) -> None:
    highest = peak()
    print(f"matrix-product peak of a core: {highest:.0f} GFLOP/s\n")
    print("| width | way | bare /s | × plain | share of the peak | recorded /s | × plain | first result s |")
    print("|---|---|---|---|---|---|---|---|")
    for width in widths:
        steps = {
            name: max(3 * EVERY, int(seconds * way(width, 3 * EVERY).bare)) for name, way in WAYS.items()
        }
        steps["vmap"], steps["jax"] = (max(3 * EVERY, steps[name] // 8) for name in ("vmap", "jax"))
        best = {name: Rates(0, 0, math.inf) for name in WAYS}
        coldest: dict[str, float] = {}
        for _ in range(rounds):
            for name, way in WAYS.items():
                if name == "jax":
                    jax.clear_caches()
                found = way(width, steps[name])
                coldest[name] = found.first
                best[name] = Rates(
                    max(best[name].bare, found.bare), max(best[name].recorded, found.recorded), 0
                )
        operations = flops_per_step(cells(width, 1, 1)[0].network, 64, 10, BATCH)
        for name, rates in best.items():
            share = rates.bare * operations / 1e9 / highest
            print(
                f"| {width} | {name} | {rates.bare:.0f} | {rates.bare / best['plain'].bare:.1f} | {share:.0%} "
                f"| {rates.recorded:.0f} | {rates.recorded / best['plain'].recorded:.1f} | {coldest[name]:.1f} |",
                flush=True,
            )


def scaling() -> None:
    """The fast engine on 1 to 1024 networks of width 32, one group after another; peak memory of the process."""
    print("| networks | groups of | seconds, compilation included | networks·steps/s | memory MiB |")
    print("|---|---|---|---|---|")
    for count in (1, 4, 16, 64, 256, 1024):
        jax.clear_caches()
        some = cells(32, count, 50, every=50)
        size = group_size(alike(some[0]), count, 64, 10)
        started = time.perf_counter()
        for start in range(0, count, size):
            group = some[start : start + size]
            for _ in engine.train([*group, *group[-1:] * (size - len(group))], digits(), Stopwatch()):
                pass
        spent = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {count} | {size} | {spent:.1f} | {50 * count / spent:.0f} | {memory:.0f} |", flush=True)


def two_cores(width: int, seconds: float) -> None:
    """The rate of one process alone on its core, and the sum of two side by side on two."""
    command = [sys.executable, __file__, "--alone", str(width), str(seconds)]

    def side_by_side(cores: tuple[int, ...]) -> float:
        running = [
            subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.PIPE, text=True)
            for core in cores
        ]
        return sum(float(process.communicate()[0]) for process in running)

    one, two = side_by_side((0,)), side_by_side((0, 1))
    print(f"width {width}: one core {one:.0f}, two cores {two:.0f} networks·steps/s: {two / one:.2f} ×")


STUDY = """
name = "many"
seeds = {seeds}
record_every = 10
evaluate_every = {evaluate_every}
[network]
depth = 20
width = 64
[data]
name = "digits"
[training]
steps = 500
[grid]
activation = ["sigmoid", "tanh", "relu", "leaky_relu", "prelu", "elu", "gelu", "silu"]
initialisation = ["torch", "he", "lecun", "gain"]
learning_rate = [0.0003, 0.001, 0.003]
"""


def whole_study(jobs: int, engine: str, seeds: int, evaluate_every: int) -> None:
    """8 activations × 4 initialisations × 3 rates × seeds, compilation included; predictions are told apart."""
    from evenflow import run_study
    from evenflow.spec.files import study_from_text

    study = study_from_text(STUDY.format(seeds=seeds, evaluate_every=evaluate_every), "many.toml", Path())
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), processor_time()
        known = [started]

        def predicted(_done: int, _all: int) -> None:
            known[0] = time.perf_counter()

        outcome = run_study(
            study,
            Path(folder) / "study.sqlite",
            jobs=jobs,
            predicting=predicted,
            engine=engine,  # pyright: ignore[reportArgumentType]
        )
        spent, used = time.perf_counter() - started, processor_time() - before
    print(
        f"{len(outcome.trained)} networks, {engine}, {jobs} processes: {spent:.0f} s, "
        f"of which predictions {known[0] - started:.0f} s; "
        f"{used:.0f} s of processor time in all; {len(outcome.failed)} failed"
    )


def processor_time() -> float:
    """Seconds that this process and those that it has ended have computed."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--seconds", type=float, default=2.0, help="that a way takes in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--two-cores", action="store_true")
    parser.add_argument("--study", action="store_true")
    parser.add_argument("--jobs", type=int, default=2, help="of --study")
    parser.add_argument("--seeds", type=int, default=5, help="of --study, of 96 networks each")
    parser.add_argument("--engine", default="auto", help="of --study")
    parser.add_argument("--evaluate-every", type=int, default=EVERY, help="steps, of --study")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        width, seconds = int(options.alone[0]), float(options.alone[1])
        steps = max(3 * EVERY, int(seconds * by_jax(width, 3 * EVERY).recorded / 4))
        print(by_jax(width, steps).recorded)
    elif options.scaling:
        scaling()
    elif options.two_cores:
        for width in options.widths:
            two_cores(width, options.seconds)
    elif options.study:
        whole_study(options.jobs, options.engine, options.seeds, options.evaluate_every)
    else:
        compare(options.widths, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
