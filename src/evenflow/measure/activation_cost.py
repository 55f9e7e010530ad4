"""What an activation costs on this machine, relative to ReLU, forward and backward.

The machine is never equally fast twice, so the activations are timed in turn, round after round, each
against the ReLU of its own round, and the median over the rounds is kept. One thread, so that the figure does
not hang on the number of cores.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_REPEATS = 4  # passes in one timing, so that the clock's own cost does not count
Pass = Callable[[], object]


@dataclass(frozen=True)
class ActivationCost:
    """Time of one pass over the same elements, as a multiple of the time ReLU takes (no unit).

    Args:
        forward: of the function.
        backward: of the gradient through it, and of its learned slopes where it has some.
    """

    forward: float
    backward: float


def activation_costs(
    modules: Mapping[str, nn.Module], *, rows: int = 256, width: int = 256, rounds: int = 30
) -> dict[str, ActivationCost]:
    """Time activation modules in float32 on the CPU, each relative to `torch.nn.ReLU`.

    Args:
        modules: by name; each maps a batch of shape `(rows, width)` to one of the same shape.
        rows, width: shape of the batch; 65 536 elements take long enough to be timed and stay in the cache.
        rounds: how many times each is timed, 1 or more.

    >>> sorted(activation_costs({"tanh": nn.Tanh()}, rounds=3))
    ['tanh']
    """
    batch = torch.randn(rows, width, generator=torch.Generator().manual_seed(0))
    relu = _passes(nn.ReLU(), batch)
    timed = {name: _passes(module, batch) for name, module in modules.items()}
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in range(rounds + 1):
            base = [_seconds(one) for one in relu]
            for name, (forward, backward) in timed.items():
                ratio = _seconds(forward) / base[0], _seconds(backward) / base[1]
                if number > 0:  # the first round fills caches and memory pools
                    ratios[name].append(ratio)
    finally:
        torch.set_num_threads(threads)
    medians = {name: map(statistics.median, zip(*pairs, strict=True)) for name, pairs in ratios.items()}
    return {name: ActivationCost(*both) for name, both in medians.items()}


def _passes(module: nn.Module, batch: Tensor) -> tuple[Pass, Pass]:
    inputs = batch.clone().requires_grad_()
    outputs = module(inputs)
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    sources, direction = [inputs, *learned], torch.ones_like(outputs)

    def forward() -> object:
        return module(inputs)

    def backward() -> object:
        return torch.autograd.grad(outputs, sources, direction, retain_graph=True)

    return forward, backward


def _seconds(run: Pass) -> float:
    run()  # what ran before, with its own data in the cache, does not count
    begin = time.perf_counter()
    for _ in range(_REPEATS):
        run()
    return time.perf_counter() - begin
