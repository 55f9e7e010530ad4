"""How many copies of a training the memory has room for.

A copy in training holds its parameters and buffers, their gradients, and what the optimiser keeps, which for Adam is
twice the parameters: four times the parameters. Activations come on top, which nobody knows beforehand; a fifth of the
memory is left for them.
"""

from __future__ import annotations

import torch
from torch import nn

from evenflow.errors import SpecError
from evenflow.measure.sites import unwrapped

_TIMES = 4
_USED = 0.8


def copies(model: object) -> int:
    """Copies of this model that can be in training at a time, beside one that is kept; a large number if not known.

    Raises:
        SpecError: there is no room for one copy that is kept and one that trains.
    """
    if not isinstance(model, nn.Module):  # said elsewhere
        return 2**16
    free = free_bytes(model)
    size = sum(
        one.nbytes for one in (*unwrapped(model).parameters(), *unwrapped(model).buffers()) if _counts(one)
    )
    if free is None or not size:
        return 2**16
    room = int((_USED * free - size) // (_TIMES * size))
    if room < 1:
        raise SpecError(
            f"the {type(model).__name__} has {_shown(size)} of parameters; fix keeps one copy and trains another, "
            f"which takes {_shown((_TIMES + 1) * size)}, and {_shown(int(_USED * free))} are free; give it a smaller "
            "model of the same kind, such as one with fewer layers or units"
        )
    return room


def free_bytes(model: nn.Module) -> int | None:
    """Memory that is free where the model is; None where the machine does not say."""
    first = next(model.parameters(), None)
    if first is not None and first.device.type == "cuda":
        return torch.cuda.mem_get_info(first.device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _counts(one: torch.Tensor) -> bool:
    return not one.is_meta and not torch.nn.parameter.is_lazy(one)


def _shown(size: int) -> str:
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
