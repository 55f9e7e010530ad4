"""A training on two ranks, in two processes over gloo, and the same training in one."""

from __future__ import annotations

import faulthandler
import os
import pickle
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes

import evenflow as ef
from evenflow.record.table import Table

WORLD, STEPS, SAMPLES = 2, 3, 6
LIMIT = 40  # seconds for all that two ranks do
Rows = dict[tuple[int, str, str, str, str], float]


def spawned(work: Callable[[int, Path], Any], folder: Path) -> list[Any]:
    """What `work` returns on rank 0 and on rank 1."""
    context = start_processes(_process, (work, folder), nprocs=WORLD, join=False, start_method="spawn")
    assert context is not None
    until = time.monotonic() + LIMIT
    while not context.join(timeout=max(until - time.monotonic(), 0)):
        if time.monotonic() < until:
            continue
        for process in context.processes:
            if process is not None:
                process.kill()
        raise TimeoutError("the ranks hang: " + "".join(path.read_text() for path in folder.glob("*.error")))
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(WORLD)]


def _process(rank: int, work: Callable[[int, Path], Any], folder: Path) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    stacks = (folder / f"{rank}.error").open("w")
    faulthandler.dump_traceback_later(LIMIT - 10, file=stacks)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=WORLD)
    try:
        result = work(rank, folder)
    except BaseException:
        stacks.write(traceback.format_exc())
        raise
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(result))
    dist.destroy_process_group()


class Net(nn.Module):
    """A unit of the first layer that is dead, one that is dead on rank 1 alone; five, eight and one rows to share."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 5)
        self.relu = nn.ReLU()
        self.second = nn.Linear(5, 8)
        self.last = nn.Linear(8, 1)
        with torch.no_grad():
            self.first.bias[0] = -100.0
            self.first.weight[1] = torch.tensor([0.0, 0.0, 0.0, 5.0])
            self.first.bias[1] = 0.0

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(torch.tanh(self.second(self.relu(self.first(inputs)))))


def batch(step: int, micro: int, rank: int | None) -> Tensor:
    """The inputs of one rank, or those of all; the last feature is negative on rank 1."""
    if rank is None:
        return torch.cat([batch(step, micro, each) for each in range(WORLD)])
    made = torch.Generator().manual_seed(100 * step + 10 * micro + rank)
    inputs = torch.randn(SAMPLES, 4, generator=made) * (1 + rank)
    inputs[:, 3] = inputs[:, 3].abs() * (1 - 2 * rank)
    return inputs


def optimiser_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def train(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    rank: int | None,
    *,
    steps: Sequence[int] = range(STEPS),
    micros: int = 2,
    clip: float = 0.2,
    unsynchronised: Callable[[int], Any] = lambda _: nullcontext(),
    told: Callable[[Tensor], None] = lambda _: None,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Steps of `micros` batches, whose gradients are clipped, unless `clip` is 0."""
    for step in steps:
        optimiser.zero_grad()
        loss = torch.zeros(())
        for micro in range(micros):
            with unsynchronised(micro):
                part = (model(batch(step, micro, rank)) - 1).square().mean() / micros
                (part if scaler is None else scaler.scale(part)).backward()
            loss = loss + part.detach()
        told(loss)
        if scaler is not None:
            scaler.unscale_(optimiser)
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        if scaler is None:
            optimiser.step()
        else:
            scaler.step(optimiser)
            scaler.update()


def rows(table: Table) -> Rows:
    """Every figure by step, site, kind, phase and statistic, but those that no rank measures of the whole batch."""
    columns = {name: table[name] for name in table.figures}
    where = zip(*(table[name].tolist() for name in ("step", "name", "kind", "phase")), strict=True)
    return {
        (*place, name): float(values[number])
        for number, place in enumerate(where)
        for name, values in columns.items()
        if values[number] == values[number] and place[2] != "input" and name != "cosine"
    }


def alone(rank: int | None = None, *, given: bool = True, **options: Any) -> Rows:
    """The same training in one process, on the batches of all ranks or of one."""
    model = Net()
    optimiser = optimiser_of(model)
    with ef.Probe(model, optimiser if given else None, window=SAMPLES) as probe:
        train(model, optimiser, rank, told=probe.loss, **options)
    return rows(probe.table)
