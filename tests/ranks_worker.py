"""What each of two processes does in the tests of a probe over ranks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ranks_training import SAMPLES, Net, optimiser_of, rows, train
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import evenflow as ef
from evenflow.errors import SpecError
from evenflow.measure import ranks
from evenflow.measure.ranks import Ranks

Made = tuple[nn.Module, Callable[[int], Any]]


def ddp() -> Made:
    model = DistributedDataParallel(Net())
    return model, lambda micro: model.no_sync() if micro == 0 else nullcontext()


def fsdp(**options: Any) -> Made:
    model = Net()
    fully_shard(model.second, **options)
    fully_shard(model, **options)

    def unsynchronised(micro: int) -> Any:
        model.set_requires_gradient_sync(micro == 1)  # pyright: ignore[reportCallIssue]
        return nullcontext()

    return model, unsynchronised


def weights(model: nn.Module) -> list[Tensor]:
    """What this rank holds."""
    return [getattr(each, "_local_tensor", each).detach().clone() for each in model.parameters()]


def unwatched(made: Callable[[], Made], rank: int, **options: Any) -> list[Tensor]:
    model, unsynchronised = made()
    train(model, optimiser_of(model), rank, unsynchronised=unsynchronised, **options)
    return weights(model)


@contextmanager
def gathers() -> Iterator[list[int]]:
    """Numbers in each message that is sent."""
    plain, sent = Ranks._exchange, []

    def counted(self: Ranks, message: Any) -> Any:
        sent.append(len(message))
        return plain(self, message)

    Ranks._exchange = counted
    try:
        yield sent
    finally:
        Ranks._exchange = plain


def recorded(
    made: Callable[[], Made],
    rank: int,
    *,
    given: bool = True,
    spoilt: Callable[[ef.Probe], None] = lambda _: None,
    options: dict[str, Any] | None = None,
    **training: Any,
) -> dict[str, Any]:
    """One training with a probe, and whatever there is to say of it."""
    model, unsynchronised = made()
    optimiser = optimiser_of(model)
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as caught, gathers() as sent:
        warnings.simplefilter("always")
        probe = ef.Probe(model, optimiser if given else None, **{"window": SAMPLES, **(options or {})})
        with probe:
            spoilt(probe)

            def told(loss: Tensor) -> None:
                probe.loss(loss)
                turn(probe)

            turn = training.pop("turn", lambda _: None)
            train(model, optimiser, rank, unsynchronised=unsynchronised, told=told, **training)
    return {
        "rows": rows(probe.table),
        "steps": sorted(set(probe.table["step"].tolist())),
        "failure": None if probe.failure is None else str(probe.failure),
        "warnings": [str(one.message) for one in caught if issubclass(one.category, ef.ProbeWarning)],
        "sent": sent,
        "seconds": time.monotonic() - began,
        "weights": weights(model),
    }


def fails_at_step_1(probe: ef.Probe) -> None:
    plain = probe._recorder._bank.forward

    def forward(*arguments: Any) -> None:
        if probe._recorder.step == 1:
            raise ValueError("planted")
        plain(*arguments)

    vars(probe._recorder._bank)["forward"] = forward


def detaches_in_step_1(probe: ef.Probe) -> None:
    if probe._recorder.step == 1:
        probe.detach()


def raises_in_step_1(probe: ef.Probe) -> None:
    if probe._recorder.step == 1:
        raise KeyError("the user's own")


def over_rows(two_dimensions: bool = False) -> nn.Module:
    """Tensor parallelism, alone or beside `fully_shard`: all ranks see one batch."""
    model = Net()
    shape, names = ((1, 2), ("data", "rows")) if two_dimensions else ((2,), ("rows",))
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
    parallelize_module(model, mesh["rows"], {"second": ColwiseParallel()})
    if two_dimensions:
        fully_shard(model.second, mesh=mesh["data"])
    return model


def refusal(model: nn.Module) -> str:
    try:
        ef.Probe(model)
    except SpecError as error:
        return str(error)
    return ""


def data_parallel(rank: int, folder: Path) -> dict[str, Any]:
    second = rank == 1
    found: dict[str, Any] = {
        "bare": unwatched(ddp, rank),
        "plain": recorded(ddp, rank),
        "not given": recorded(ddp, rank, given=False, options={"store": folder / "flow.db"}),
        "scaled": recorded(ddp, rank, scaler=torch.amp.GradScaler("cpu", init_scale=8.0)),
        "every": recorded(ddp, rank, options={"every": 3 if second else 2}, steps=range(6)),
        "fails": recorded(ddp, rank, spoilt=fails_at_step_1 if second else lambda _: None),
        "detaches": recorded(ddp, rank, turn=detaches_in_step_1 if second else lambda _: None),
        "other sites": recorded(ddp, rank, options={"sites": "first*" if second else "*"}),
        "not asked": recorded(ddp, rank, options={"ranks": False}, clip=0.0),
    }
    try:
        recorded(ddp, rank, turn=raises_in_step_1)
    except KeyError as error:
        found["raises"] = str(error)
    ranks.PATIENCE = 0.3
    found["alone"] = recorded(ddp, rank, clip=0.0) if not second else unwatched(ddp, rank, clip=0.0)
    dist.barrier()
    found["later"] = recorded(ddp, rank, given=False)
    return found


def sharded(rank: int, _folder: Path) -> dict[str, Any]:
    second = rank == 1
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("replicate", "shard"))
    return {
        "bare": unwatched(fsdp, rank),
        "plain": recorded(fsdp, rank),
        "not clipped": recorded(fsdp, rank, clip=0.0),
        "hybrid": recorded(lambda: fsdp(mesh=mesh), rank),
        "fails": recorded(fsdp, rank, spoilt=fails_at_step_1 if second else lambda _: None),
        "refused": [
            refusal(FullyShardedDataParallel(Net(), device_id=torch.device("cpu"))),
            refusal(over_rows()),
            refusal(over_rows(two_dimensions=True)),
        ],
    }
