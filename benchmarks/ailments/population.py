"""The cases: sound recipes drawn from factors, and each mechanism on recipes that suit it.

There are three draws. On the first, the calibration half, rules were made and thresholds chosen. The second, the half
that is held back, was drawn after that, and tells how good they are. The third is drawn as the second was, with seeds
of its own, and was made after rules had been mended by what the second told of them in total.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache

from . import (
    end_faults,
    held_back,
    input_faults,
    nonfinite_faults,
    optimiser_faults,
    signal_faults,
    sound,
    unit_faults,
    unseen_faults,
    unseen_sound,
)
from .plans import FAULTS, FURTHER, SOUND, Plan
from .recipe import Case, Mechanism, Recipe

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
        *unseen_faults.MECHANISMS,
        *unseen_sound.MECHANISMS,
    )
}
UNSEEN = frozenset(one.name for one in (*unseen_faults.MECHANISMS, *unseen_sound.MECHANISMS))
"""Mechanisms of the held-back half alone."""

SEEDS = {"calibration": 1000, "held back": 50_000, "drawn afresh": 90_000}
BEHIND = {"held back": 200, "drawn afresh": 400}
"""Plans of a later draw are numbered from here, so that no case has the name, and with it the seed, of another."""


def _calibration() -> Iterator[Case]:
    for index, plan in enumerate((*FAULTS, *SOUND, *FURTHER)):
        draw = random.Random(SEEDS["calibration"] + index)
        mechanism = MECHANISMS[plan.mechanism] if plan.mechanism else None
        for count in range(plan.count):
            recipe = plan.bases[count % len(plan.bases)](draw)
            dose = mechanism.doses[count % len(mechanism.doses)] if mechanism else 1.0
            yield Case(_name(plan, index, count, recipe), recipe, mechanism, dose)


def _later(drawn: str, known: frozenset[Recipe]) -> Iterator[Case]:
    for index, plan in enumerate(held_back.plans()):
        draw = random.Random(SEEDS[drawn] + index)
        mechanism = MECHANISMS[plan.mechanism] if plan.mechanism else None
        doses = held_back.DOSES.get(plan.mechanism, mechanism.doses if mechanism else (1.0,))
        for count in range(plan.count):
            base = plan.bases[count % len(plan.bases)]
            recipe = held_back.varied(base(draw), draw)
            while recipe in known:
                recipe = held_back.varied(base(draw), draw)
            name = _name(plan, BEHIND[drawn] + index, count, recipe)
            yield Case(name, recipe, mechanism, doses[count % len(doses)], drawn)


def _name(plan: Plan, index: int, count: int, recipe: Recipe) -> str:
    return f"{plan.mechanism or 'plain'}-{index}-{count}-{recipe.family}-{recipe.data}"


@lru_cache
def population() -> tuple[Case, ...]:
    """All cases, the same every time."""
    cases = tuple(_calibration())
    for drawn in BEHIND:
        cases = (*cases, *_later(drawn, frozenset(one.recipe for one in cases)))
    return cases


def half(case: Case) -> str:
    """ "calibration", "held back" or "drawn afresh": which draw the case is of."""
    return case.drawn
