"""How many copies of a training the memory has room for."""

from __future__ import annotations

from torch import nn

from evenflow.doctor.memory import IN_TRAINING, shown, size_of, usable_bytes
from evenflow.errors import SpecError


def copies(model: object) -> int:
    """Copies of this model that can be in training at a time, beside one that is kept; a large number if not known.

    Raises:
        SpecError: there is no room for one copy that is kept and one that trains.
    """
    if not isinstance(model, nn.Module):  # said elsewhere
        return 2**16
    usable, size = usable_bytes(model), size_of(model)
    if usable is None or not size:
        return 2**16
    room = (usable - size) // (IN_TRAINING * size)
    if room < 1:
        raise SpecError(
            f"the {type(model).__name__} has {shown(size)} of parameters; fix keeps one copy and trains another, "
            f"which takes {shown((IN_TRAINING + 1) * size)}, and {shown(usable)} are free; give it a smaller model of "
            "the same kind, such as one with fewer layers or units"
        )
    return room
