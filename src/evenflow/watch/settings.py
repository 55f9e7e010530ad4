"""How a script is watched; a module of its own, since it is needed before torch may be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How every probe of a script is made; the words are those of `Probe`.

    Args:
        name: of the runs in the store; the second is called name-2.
        quiet: nothing is judged, since nobody is to be told.
    """

    name: str
    every: int = 1
    budget: float | None = None
    sites: Sequence[str] | None = None
    window: int = 1000
    quiet: bool = False
