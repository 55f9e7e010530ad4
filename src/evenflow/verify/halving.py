"""Successive halving: many candidates for a few steps, the better half for twice as many, and so on.

Jamieson and Talwalkar (AISTATS 2016): with the budget of each round divided equally among those that are left, what is
hopeless is paid for with a few steps, and what is good is trained to the end. Candidates are trained on from round to
round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from evenflow.verify.trial import Trainee

_FEWEST = 10
"""Steps below which a score says nothing, and a unit cannot be called dead."""


class Clock:
    """The time that there is for something.

    >>> Clock(60.0).left > 59.0
    True
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.perf_counter() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when it is over."""
        return max(self._until - time.perf_counter(), 0.0)


@dataclass(frozen=True)
class Halved:
    """How the candidates came out of it.

    Args:
        order: those that could be trained, the best first; one that went further comes first.
        hurried: whether the time was over before it was through.
    """

    order: tuple[Trainee, ...]
    hurried: bool = False

    @property
    def best(self) -> Trainee | None:
        """The one that is left; None where all have fallen."""
        return self.order[0] if self.order else None


def rungs(steps: int, least: int = _FEWEST) -> tuple[int, ...]:
    """Steps after which candidates are judged: an eighth, a quarter, half and all of them.

    >>> rungs(200), rungs(30)
    ((25, 50, 100, 200), (15, 30))
    """
    return (*dict.fromkeys(steps // part for part in (8, 4, 2) if steps // part >= least), steps)


def halve(
    candidates: Sequence[Trainee],
    steps: int,
    clock: Clock,
    *,
    kept: Collection[Trainee] = (),
    enough: Callable[[Trainee], bool] = lambda _: False,
    said: Callable[[Trainee, int], None] = lambda *_: None,
) -> Halved:
    """Train candidates in rounds, and give them in the order in which they came out.

    Args:
        candidates: the best guess first; of equal ones the earlier is kept.
        steps: of the last round.
        clock: of all of it.
        kept: candidates that go on to the end, however slowly they begin, since more is known of them.
        enough: whether a candidate is as good as any can be; the others are then not trained on.
        said: called with a candidate and its number of steps.
    """
    places = {one: place for place, one in enumerate(candidates)}

    def rank(one: Trainee) -> tuple[float, ...]:
        return (-one.steps, *_order(one), places[one])

    alive = list(candidates)
    levels = rungs(steps)
    for number, level in enumerate(levels):
        last = level == levels[-1]
        for one in alive:
            if not clock.left:
                return Halved(_sorted(candidates, rank), hurried=True)
            _to(one, level, look=not number or last, first=levels[0], clock=clock, said=said)
            if one.hurried:
                return Halved(_sorted(candidates, rank), hurried=True)
            if one.alive and enough(one):
                return Halved((one, *_sorted([other for other in candidates if other is not one], rank)))
        alive = sorted((one for one in alive if one.alive), key=rank)
        half = math.ceil(sum(one not in kept for one in alive) / 2)
        ahead = [one for one in alive if one not in kept][:half]
        alive = [one for one in alive if one in kept or one in ahead]
        if not alive:
            break
    return Halved(_sorted(candidates, rank))


def _to(
    one: Trainee,
    level: int,
    *,
    look: bool,
    first: int,
    clock: Clock,
    said: Callable[[Trainee, int], None],
) -> None:
    """Train up to this level; of a last leg that is looked at, the probe sees as many steps as the first leg has."""

    def tell(step: int) -> None:
        said(one, step)

    if look and one.steps and level - first > one.steps:
        one.advance(level - first, seconds=clock.left, said=tell)
        if one.hurried:
            return
    one.advance(level, seconds=clock.left, look=look, said=tell)


def _order(one: Trainee) -> tuple[float, float]:
    """By the value to two digits, then by the loss where that is the original's."""
    merit = one.merit
    if one.metric.is_score:
        merit = round(merit, 2)
    same = one.training is not None and (one.loss is None or one.training.plan.loss is one.loss)
    last = one.losses[-max(len(one.losses) // 10, 1) :]
    level = sum(last) / len(last) if same and last else math.inf
    return -merit, level


def _sorted(
    candidates: Sequence[Trainee], rank: Callable[[Trainee], tuple[float, ...]]
) -> tuple[Trainee, ...]:
    return tuple(sorted((one for one in candidates if one.alive and one.values), key=rank))
