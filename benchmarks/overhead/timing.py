"""Interleaved rounds of several contenders on the same training: who is slower, and by how much.

Where a copy of the training happens to lie in memory makes its step one or two per cent faster or slower than that of
an equal copy. Contenders that can be detached therefore change places: each has each copy for an equal part of the
rounds, so that what a place costs or saves is nobody's.

CPU time is that of the process with all its threads; it does not count the time in which another process had the
core, but does count what that process did to the caches. What a contender leaves to other processes is not
counted; only the wall clock sees it, as all run on one core.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .contenders import BARE, BARE_AGAIN, COMPILED_BARE, COMPILED_BARE_AGAIN, Contender, Detach
from .workloads import Training, Workload

AT_ONCE = 3  # contenders beside two bare copies: more make the caches colder than one training does
_BARE = {one.name for one in (BARE, BARE_AGAIN, COMPILED_BARE, COMPILED_BARE_AGAIN)}
TRIAL = 2  # steps before a contender is let in


@dataclass
class Times:
    """Nanoseconds of every round, and why contenders are missing."""

    cpu: dict[str, np.ndarray]
    wall: dict[str, np.ndarray]
    left_out: dict[str, str] = field(default_factory=dict)


def groups(contenders: Sequence[Contender]) -> list[tuple[Contender, ...]]:
    """Contenders that are measured together, each group after its own two bare copies."""
    alike: dict[tuple, list[Contender]] = {}
    for one in contenders:
        alike.setdefault((one.compiled, *sorted(one.environment.items())), []).append(one)
    found: list[tuple[Contender, ...]] = []
    for several in alike.values():
        bare = (COMPILED_BARE, COMPILED_BARE_AGAIN) if several[0].compiled else (BARE, BARE_AGAIN)
        count = -(-len(several) // AT_ONCE)
        size = -(-len(several) // count)
        found += [(*bare, *several[first : first + size]) for first in range(0, len(several), size)]
    return found


def turns(contenders: Sequence[Contender], inner: int, rounds: int) -> tuple[int, int]:
    """How many places each contender has, and rounds at each: whole periods, as many of the dear steps everywhere."""
    if not all(one.detaches for one in contenders):
        return 1, rounds
    unit = math.lcm(*(one.period // math.gcd(one.period, inner) for one in contenders))
    return len(contenders), -(-rounds // (len(contenders) * unit)) * unit


def interleave(
    workload: Workload,
    contenders: Sequence[Contender],
    rounds: int,
    warm_up: int,
    base_width: int,
    tell: Callable[[], object],
) -> Times:
    """Times of `rounds` rounds or a few more: in each, every contender makes its steps, in a new random order.

    `tell` is called after every round, those of the warm-up too.
    """
    source = np.random.default_rng(0)
    copies = [workload.training(base_width) for _ in contenders]
    places, here = turns(contenders, workload.inner, rounds)
    found: list[Times] = []
    for place in range(places):
        turned = copies[place:] + copies[:place]
        found.append(
            _at_one_place(workload, [*zip(contenders, turned, strict=True)], here, warm_up, source, tell)
        )
    left_out = {name: why for times in found for name, why in times.left_out.items()}
    names = [name for name in found[0].cpu if name not in left_out]
    cpu, wall = (
        {name: np.concatenate([getattr(times, clock)[name] for times in found]) for name in names}
        for clock in ("cpu", "wall")
    )
    return Times(cpu, wall, left_out)


def _at_one_place(
    workload: Workload,
    pairs: Sequence[tuple[Contender, Training]],
    rounds: int,
    warm_up: int,
    source: np.random.Generator,
    tell: Callable[[], object],
) -> Times:
    """Times of contenders that keep their copies."""
    entered: dict[str, tuple[Training, Detach]] = {}
    left_out: dict[str, str] = {}
    for one, training in sorted(pairs, key=lambda pair: pair[0].name in _BARE):
        if one.name in _BARE and not entered:
            return Times({}, {}, left_out)  # the bare copies alone tell nothing
        try:
            entered[one.name] = training, enter(training, one)
        except Exception as error:  # whatever a package raises is the reason why it is missing
            left_out[one.name] = reason(error)
    names = list(entered)
    cpu, wall = ({name: np.zeros(rounds, dtype=np.int64) for name in names} for _ in range(2))
    try:
        for index in range(-warm_up, rounds):
            if index == 0:
                gc.collect()  # what attaching has left is no part of a step
            for name in source.permutation(names).tolist():
                passed = steps(entered[name][0], workload.inner)
                if index >= 0:
                    cpu[name][index], wall[name][index] = passed
            tell()
    finally:
        for _, detach in entered.values():
            detach()
    return Times(cpu, wall, left_out)


def enter(training: Training, contender: Contender) -> Detach:
    """Let a contender watch a training, tried on a few steps; gives what detaches it."""
    detach = contender.attach(training)
    try:
        for _ in range(TRIAL):
            training.step()
    except BaseException:
        detach()
        raise
    return detach


def steps(training: Training, count: int) -> tuple[int, int]:
    """Nanoseconds of CPU and of the wall clock that `count` steps take."""
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(count):
        training.step()
    return time.process_time_ns() - cpu, time.perf_counter_ns() - wall


def reason(error: BaseException) -> str:
    """The first line of an error, with its kind."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
