"""Memory: how much is free, and how much copies of a training take.

A copy in training holds its parameters and buffers, their gradients, and what the optimiser keeps, which for Adam is
twice the parameters; a probe keeps a copy of the weights besides: five times the parameters in all. Activations come
on top, which nobody knows beforehand; a fifth of the memory is left for them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from evenflow.measure.sites import unwrapped

IN_TRAINING = 5
"""Times the parameters of a copy in training."""
_USED = 0.8


def size_of(model: nn.Module) -> int:
    """Bytes of the parameters and buffers of a model that are there."""
    inner = unwrapped(model)
    return sum(one.nbytes for one in (*inner.parameters(), *inner.buffers()) if _counts(one))


def usable_bytes(model: nn.Module) -> int | None:
    """Of the memory that is free where a model is, what may go to copies; None where the machine does not say."""
    free = free_bytes(model)
    return None if free is None else int(_USED * free)


def why_no_twin(model: nn.Module) -> str:
    """Why there is no memory for another copy in training; "" where there is."""
    usable, needed = usable_bytes(model), IN_TRAINING * size_of(model)
    if usable is None or needed <= usable:
        return ""
    return f"it would take {shown(needed)} of memory, and {shown(usable)} are free"


def free_bytes(model: nn.Module) -> int | None:
    """Memory that is free where the model is; None where the machine does not say.

    On a CPU the least of what the machine has, what the container may have (cgroup), and what the process may have
    (`ulimit -v`).
    """
    first = next(model.parameters(), None)
    if first is not None and first.device.type == "cuda":
        return torch.cuda.mem_get_info(first.device)[0]
    known = [one for one in (_machine(), _container(), _process()) if one is not None]
    return min(known, default=None)


def _machine() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = next((line for line in file if line.startswith("MemAvailable:")), "")
        return int(found.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None


_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),  # version 2
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def _container() -> int | None:
    for limit, used in _GROUPS:
        try:
            return max(int(Path(limit).read_text()) - int(Path(used).read_text()), 0)
        except (OSError, ValueError):  # "max" where there is no limit
            continue
    return None


def _process() -> int | None:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(limit - pages * resource.getpagesize(), 0)


def _counts(one: torch.Tensor) -> bool:
    return not one.is_meta and not torch.nn.parameter.is_lazy(one)


def shown(size: int) -> str:
    """A number of bytes for people.

    >>> shown(384_160_016), shown(1500)
    ('384 MB', '1.5 kB')
    """
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
