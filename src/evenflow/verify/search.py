"""The search for the change that helps: candidates in brackets, halved; combinations of two; the best on other starts.

A bracket is small, since candidates come best guess first; the next one is opened only if the first does not hold what
is good enough, and combinations of two only after that. Whatever happens on the way, what was tried is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from evenflow.prescribe.effect import SEEN, twin
from evenflow.prescribe.prescription import Prescription, Training, View
from evenflow.verify.enough import cannot_be_beaten, is_enough, is_half_way
from evenflow.verify.halving import Clock, halve
from evenflow.verify.metric import Metric
from evenflow.verify.pairs import Paired, pair
from evenflow.verify.randomness import Randomness
from evenflow.verify.trial import Trainee

Offer = Callable[[View], Sequence[Prescription]]
Combine = Callable[[Prescription, Sequence[Prescription]], Iterable[Prescription]]

_FIRST, _SECOND, _COMBINED = 4, 8, 6
"""Candidates of the brackets."""
_ATTEMPTS = 2
"""Candidates that are tried on other starts: a 95 % interval lies above 0 by chance once in 40, so twice in 40."""
_LONGER = 2
"""Times the steps for which a lead has to last where no fault was found."""
HEAD_START = "ahead of the training as it is, and no longer after twice the steps"
"""What became of one whose lead does not last."""
_FEWEST_PAIRED = 20
_PART = 0.25
"""Of the gain that is shown by the steps that pairs begin with."""


@dataclass
class Search:
    """A search and its state.

    Args:
        view: of the original.
        metric: by which trainings are judged.
        own: value of the original after `steps`.
        steps: of a whole trial.
        clock: of the whole search.
        reserve: seconds that are kept for other starts.
        loss_kind: of the original.
        twin: the best score of a twin of the doctor's that was clearly better; NaN without one.
        least: that a change has to gain.
        room: copies that can be in training at a time.
        said: called with what trains, its steps done, and its steps in all.
    """

    view: View
    metric: Metric
    own: float
    steps: int
    clock: Clock
    reserve: float = 0.0
    loss_kind: str = ""
    twin: float = math.nan
    least: float = 0.0
    room: int = 2**16
    said: Callable[[str, int, int], None] = lambda *_: None
    randomness: Randomness = field(default_factory=Randomness.now)
    offered: tuple[Prescription, ...] = ()
    withheld: Mapping[str, str] = field(default_factory=dict)
    """What findings ask for and is not offered, with the reason."""
    trainees: list[Trainee] = field(default_factory=list)
    prescriptions: dict[Trainee, Prescription] = field(default_factory=dict)
    statuses: dict[Trainee, str] = field(default_factory=dict)
    pairs: list[tuple[Trainee, Paired]] = field(default_factory=list)
    hurried: bool = False
    stopped: bool = False
    untried: int = 0
    in_need: bool = True
    """Whether a fault was found, or next to nothing is learned: what is sound gets no change but a large one alone."""
    lost: bool = False
    """Whether the loss of the original was not finite in the end."""
    extra: int = 0
    """Steps that the original was trained for its own value, and of leads that had to last."""

    @property
    def training(self) -> Training:
        """The original."""
        return self.view.training

    @property
    def trained(self) -> int:
        """Steps of all trials together."""
        return sum(one.steps for one in self.trainees) + sum(found.trained for _, found in self.pairs)

    def prescription(self, one: Trainee) -> Prescription:
        """What a trainee tries."""
        return self.prescriptions[one]

    def run(self, offered: Sequence[Prescription], combine: Combine) -> Trainee | None:
        """Try what is offered, and give what is better than the original beyond chance; None where nothing is."""
        self.offered = tuple(offered)
        alone = [one for one in offered[:_FIRST] if one is self.promised or one is self._slip][:1]
        rest = [one for one in offered if one not in alone]
        first = _FIRST - len(alone)
        brackets = [rest[:first], rest[first : first + _SECOND]]
        self._bracket(alone)
        for bracket in brackets:
            if self.hurried or cannot_be_beaten(self):
                break
            self._bracket(bracket)
            if self.hurried or is_enough(self):
                break
        else:
            # Two together, and a third where these do not come half of the way.
            for count in (2, 3) if self.in_need else ():
                chosen = self._to_combine()
                if chosen is None or (count == 3 and (not chosen.parts or is_half_way(self))):
                    break
                others = [one for one in offered if one is not chosen]
                made = combine(chosen, others)
                self._bracket([one for one, _ in zip(made, range(_COMBINED), strict=False)])
        self.untried = max(len(offered) - sum(self.prescription(one) in offered for one in self.trainees), 0)
        return self._confirmed()

    def _to_combine(self) -> Prescription | None:
        """What others are put beside: the best by itself, or what should have helped where no change can be trained."""
        best = self.finalists()[:1]
        return (
            self.prescription(best[0])
            if best
            else self._slip or self.promised or next(iter(self.offered), None)
        )

    def _bracket(self, prescriptions: Sequence[Prescription]) -> None:
        """Halve these candidates, as many at a time as there is room for."""
        for first in range(0, len(prescriptions), max(self.room, 1)):
            part = prescriptions[first : first + max(self.room, 1)]
            found = [self._trainee(one) for one in part]
            self.trainees += found
            halved = halve(
                found,
                self.steps,
                Clock(self.clock.left - self.reserve),
                kept=[one for one in found if self.prescription(one) in (self.promised, self._slip)],
                enough=lambda one: self.metric.cannot_be_beaten(one.value) and self.gain(one) >= self.least,
                said=lambda one, step: self.said(one.name, step, self.steps),
            )
            for one in found:
                if one not in halved.order[:2]:
                    one.training = None  # its memory goes to those that come
            self.hurried = self.hurried or halved.hurried
            if halved.hurried or cannot_be_beaten(self):
                return

    @cached_property
    def promised(self) -> Prescription | None:
        """What the best twin of the doctor's has tried, which was clearly better after all of its steps."""
        found = [(one, twin(self.view, one)) for one in self.offered]
        clear = [(one, seen.points) for one, seen in found if seen is not None and seen.clear]
        return max(clear, key=lambda each: each[1])[0] if clear else None

    @cached_property
    def _slip(self) -> Prescription | None:
        """The first of those that are tried first which takes away a slip that was seen."""
        return next((one for one in self.offered[:_FIRST] if one.remedy in SEEN), None)

    def _trainee(self, prescription: Prescription) -> Trainee:
        one = Trainee(
            prescription.name,
            lambda: prescription.change(self.training.copied()),
            self.metric,
            self.randomness,
            self.loss_kind,
            self.training.plan.loss,
            prescription.sign == "gradient_through_time",
        )
        self.prescriptions[one] = prescription
        return one

    def gain(self, one: Trainee) -> float:
        """By how much a candidate is better than the original."""
        return one.merit - self.metric.merit(self.own)

    def finalists(self) -> list[Trainee]:
        """Those that came to a value, the best first; of equal ones the one that was thought better."""
        known = [one for one in self.trainees if one.alive and one.values]
        through = [one for one in known if one.steps >= self.steps or self.metric.cannot_be_beaten(one.value)]

        def rank(one: Trainee) -> float:
            return -round(one.merit, 2) if self.metric.is_score else -one.merit

        ahead = sorted(through, key=rank)
        behind = sorted((one for one in known if one not in ahead), key=lambda one: (-one.steps, rank(one)))
        return [*ahead, *behind]

    @property
    def has_room(self) -> bool:
        """Whether the original leaves as much to gain as a change has to."""
        return not self.metric.is_score or not 1.0 - self.own < self.least

    def _confirmed(self) -> Trainee | None:
        """The first of the best that is better on other starts, too."""
        ahead = [one for one in self.finalists() if self.gain(one) >= self.least]
        for one in ahead[:_ATTEMPTS]:
            if not self.clock.left:
                self.hurried = True
                break
            found = pair(
                self.training,
                self.prescription(one),
                self.metric,
                self._paired_steps(one),
                self.clock,
                loss_kind=self.loss_kind,
                most=self.steps,
                room=self.room,
                said=lambda what, step: self.said(what, step, self.steps),
            )
            self.pairs.append((one, found))
            same = self.metric.least_gain(self.own)
            if found.beats(self.least, same) or (self._keeps_whole(one) and found.is_as_good(same)):
                if self.view.diagnosis.faults or self._lasts(one):
                    return one
                self.statuses[one] = HEAD_START
                continue
            self.hurried = self.hurried or (found.is_open and not found.problem)
            self.statuses[one] = (
                f"could not be tried from another start: {found.problem}"
                if found.problem
                else "not better beyond chance"
            )
        return None

    def _keeps_whole(self, one: Trainee) -> bool:
        """Whether a candidate stays finite for all the steps in which the original did not.

        A training that ends as NaN is lost, at whichever step another start comes to that.
        """
        if not self.lost:
            return False
        if one.training is not None:
            one.advance(self.steps, seconds=self.clock.left)
        return one.alive and one.steps >= self.steps and self.gain(one) >= self.least

    def _lasts(self, one: Trainee) -> bool:
        """Whether a lead is no head start: it is there after twice as many steps."""
        own = Trainee("original", self.training.copied, self.metric, self.randomness, self.loss_kind)
        other = self._trainee(self.prescription(one))
        for each in (own, other):
            each.advance(_LONGER * self.steps, seconds=self.clock.left)
            self.extra += each.steps
            if not each.values or each.hurried:
                return False
        return other.alive and other.merit - own.merit >= self.least

    def _paired_steps(self, one: Trainee) -> int:
        """The first steps that show a good part of the gain over what the original came to after all of its steps.

        Other starts then cost no more than they have to; what they leave open is trained on.
        """
        gain = self.gain(one)
        for steps, value in one.values.items():
            if (
                steps >= _FEWEST_PAIRED
                and self.metric.merit(value) - self.metric.merit(self.own) >= _PART * gain
            ):
                return steps
        return one.steps


def narrowed(offered: Sequence[Prescription], only: Sequence[str]) -> list[Prescription]:
    """Those of these names: of a remedy, or of a remedy with its choice."""
    wanted = {word.strip().replace("-", "_") for word in only}
    return [one for one in offered if one.remedy in wanted or one.name in wanted]
