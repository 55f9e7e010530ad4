"""How much longer one thing takes than another: both timed in turns, so that a busy machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from evenflow.claims.figure import Figure
from evenflow.compare.intervals import Interval, mean_interval
from evenflow.spec.network import Network


def ratios(
    actions: Mapping[str, Callable[[], object]], base: str, rounds: int, seconds: float = 0.02
) -> dict[str, Interval]:
    """Time of every action over that of `base`: geometric mean over rounds, with its 95 % interval.

    In every round each action runs for about `seconds` of processor time of this thread, in an order that turns by
    one from round to round. The slowest and the fastest tenth of the rounds is left out for each ratio.

    Args:
        actions: by name, `base` among them.
        base: what the others are compared with.
        rounds: how many.
        seconds: of one action in one round.
    """
    repeats = {name: max(1, int(seconds / _once(action))) for name, action in actions.items()}
    times: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            begun = time.thread_time()
            for _ in range(repeats[name]):
                actions[name]()
            times[name].append((time.thread_time() - begun) / repeats[name])
    found = {}
    for name in names:
        logs = np.sort(np.log(np.array(times[name]) / np.array(times[base])))
        cut = len(logs) // 10
        found[name] = exponential(mean_interval(logs[cut : len(logs) - cut].tolist()))
    return found


def training_step(network: Network, rows: int, seed: int) -> Callable[[], object]:
    """A step of Adam on `rows` samples of 64 features and 10 classes, to be timed."""
    import torch

    from evenflow.study.build import build

    draws = torch.Generator().manual_seed(seed)
    inputs, labels = torch.randn(rows, 64, generator=draws), torch.randint(10, (rows,), generator=draws)
    model = build(network, 64, 10, seed)
    optimiser = torch.optim.Adam(model.parameters())

    def run() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()

    return run


def ratio(text: str, interval: Interval) -> Figure:
    """A ratio of times as a figure."""
    return Figure(text, interval, "times")


def _once(action: Callable[[], object]) -> float:
    """Seconds of one call, warm."""
    action()
    begun = time.thread_time()
    for _ in range(3):
        action()
    return max((time.thread_time() - begun) / 3, 1e-6)


def exponential(interval: Interval) -> Interval:
    """The interval of a ratio from that of its logarithm."""
    middle, low, high = (float(np.exp(value)) for value in (interval.mean, interval.low, interval.high))
    return Interval(middle, low, high, float("nan"), interval.count, interval.missing)
