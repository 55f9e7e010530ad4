"""The cases: sound recipes drawn from factors, and each mechanism on recipes that suit it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from functools import lru_cache

from . import end_faults, input_faults, nonfinite_faults, optimiser_faults, signal_faults, sound, unit_faults
from .plans import FAULTS, FURTHER, SOUND
from .recipe import Case, Mechanism

MECHANISMS: dict[str, Mechanism] = {
    one.name: one
    for one in (
        *signal_faults.MECHANISMS,
        *unit_faults.MECHANISMS,
        *input_faults.MECHANISMS,
        *end_faults.MECHANISMS,
        *optimiser_faults.MECHANISMS,
        *nonfinite_faults.MECHANISMS,
        *sound.MECHANISMS,
    )
}


def _cases() -> Iterator[Case]:
    for index, plan in enumerate((*FAULTS, *SOUND, *FURTHER)):
        draw = random.Random(1000 + index)
        mechanism = MECHANISMS[plan.mechanism] if plan.mechanism else None
        for count in range(plan.count):
            recipe = plan.bases[count % len(plan.bases)](draw)
            dose = mechanism.doses[count % len(mechanism.doses)] if mechanism else 1.0
            name = f"{plan.mechanism or 'plain'}-{index}-{count}-{recipe.family}-{recipe.data}"
            yield Case(name, recipe, mechanism, dose)


@lru_cache
def population() -> tuple[Case, ...]:
    """All cases, the same every time."""
    return tuple(_cases())


def half(case: Case) -> str:
    """ "calibration" or "held back", by a checksum of the case's name."""
    return "calibration" if zlib.crc32(case.name.encode()) % 2 else "held back"
