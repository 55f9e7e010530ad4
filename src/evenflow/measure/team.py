"""Which ranks train one model together, and which part of each parameter a rank holds.

DistributedDataParallel keeps the whole of every parameter on every rank. `fully_shard` makes every parameter a DTensor,
of which a rank holds a part; over a mesh with a second dimension that replicates, several ranks hold the same part.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard

import torch.distributed as dist
from torch import Tensor, nn

from evenflow.errors import SpecError
from evenflow.measure.sites import wrappings

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

Team = tuple[int, ...]
"""The global ranks, in ascending order."""


def team_of(model: nn.Module, asked: bool | None = None) -> Team | None:
    """The ranks that train a model together, or None where there is one, or where they must not be asked.

    Args:
        model: as the training calls it, with what wraps it.
        asked: False: none, whatever the model is; True: all ranks of the job where the model does not show which;
            None: only those that the model shows, by DistributedDataParallel or by sharded parameters.

    Raises:
        SpecError: ranks are asked for where no process group is; the model is split in a way whose figures cannot be
            merged: by FullyShardedDataParallel, or over something else than the batch.

    >>> team_of(nn.Linear(2, 2)) is None, team_of(nn.Linear(2, 2), False) is None
    (True, True)
    """
    if asked is False:
        return None
    if not (dist.is_available() and dist.is_initialized()):
        if asked:
            raise SpecError(
                "ranks=True of the probe: torch.distributed is not initialised; call init_process_group first, or "
                "leave ranks out"
            )
        return None
    shown = _shown(model)
    if shown is None and asked:
        shown = set(range(dist.get_world_size()))
    return None if shown is None or len(shown) < 2 else tuple(sorted(shown))


def _shown(model: nn.Module) -> set[int] | None:
    for module in wrappings(model):
        if isinstance(module, nn.parallel.DistributedDataParallel):
            return set(dist.get_process_group_ranks(module.process_group))
    for name, module in model.named_modules():
        if hasattr(module, "summon_full_params"):
            raise SpecError(
                f'"{name or type(model).__name__}" is a FullyShardedDataParallel, which keeps parameters as pieces of '
                "one flat tensor; shard with torch.distributed.fsdp.fully_shard, or give ranks=False to record the "
                "pieces of this rank"
            )
    meshes: dict[Team, str] = {}
    for name, parameter in model.named_parameters():
        if is_sharded(parameter):
            meshes.setdefault(_ranks(parameter), name)
    if not meshes:
        return None
    if len(meshes) > 1:
        first, second, *_ = meshes.values()
        raise SpecError(
            f'parameters "{first}" and "{second}" are sharded over different ranks, whose figures the probe cannot '
            "merge; give ranks=False to record the parts of this rank"
        )
    for name, parameter in model.named_parameters():
        if is_sharded(parameter) and sum(not kind.is_replicate() for kind in parameter.placements) > 1:
            raise SpecError(
                f'parameter "{name}" is sharded over more than one dimension of its mesh, so that not every rank has '
                "a batch of its own; give ranks=False to record the parts of this rank"
            )
    if not any(hasattr(module, "set_requires_gradient_sync") for module in model.modules()):
        raise SpecError(
            f'parameter "{next(iter(meshes.values()))}" is a DTensor and fully_shard was not applied: the probe cannot '
            "tell over which ranks the batch is split; give ranks=False to record the parts of this rank"
        )
    return set(next(iter(meshes)))


def is_sharded(parameter: Tensor) -> TypeGuard[DTensor]:
    """Whether a parameter is a DTensor, which has a mesh of ranks.

    >>> is_sharded(nn.Parameter())
    False
    """
    return hasattr(parameter, "device_mesh") and hasattr(parameter, "placements")


def copies(parameter: Tensor, world: int) -> int:
    """How many of `world` ranks hold the same part of a parameter.

    >>> copies(nn.Parameter(), 4)
    4
    """
    if not is_sharded(parameter):
        return world
    mesh = parameter.device_mesh
    parts = math.prod(
        mesh.size(place) for place, kind in enumerate(parameter.placements) if not kind.is_replicate()
    )
    return world // parts


def holds_nothing(parameter: Tensor) -> bool:
    """Whether the part that this rank holds is empty: there are more ranks than rows.

    >>> holds_nothing(nn.Parameter())
    False
    """
    return is_sharded(parameter) and parameter.numel() > 0 and parameter._local_tensor.numel() == 0


def _ranks(parameter: DTensor) -> Team:
    return tuple(sorted(parameter.device_mesh.mesh.flatten().tolist()))
