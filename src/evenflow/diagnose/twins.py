"""Twins: what the same training does with one thing changed, in points of the score.

A point is a hundredth of the score: of right answers, or of the explained variance; where neither is known, of the
way from where the loss begins down to 0, or to the lowest seen. Ten points are what makes a fault one. Where both have
been trained on, since what a twin was ahead by may be made up, they are compared at the end of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from evenflow.spec.setting import NAN, Setting, Trial
from evenflow.wording import plural

CLEARLY = 10.0
"""Points by which a twin has to be better before what it changed is called a fault."""


@dataclass(frozen=True)
class Comparison:
    """One twin against the training as it is.

    Args:
        trial: the twin.
        points: how much better it was, in points; negative where it was worse.
        loss: its loss at the end; infinite where it diverged.
        own_loss: the training's own.
        steps: at the end of which they are compared.
    """

    trial: Trial
    points: float
    loss: float
    own_loss: float
    steps: int = 0

    @property
    def clear(self) -> bool:
        """Whether the twin was clearly better."""
        return self.points >= CLEARLY

    def lasts(self, falling: bool) -> bool:
        """Whether the lead is no head start: it was there after twice as many steps, or the training had come to rest.

        Args:
            falling: whether the loss of the training still fell at the end of the trial.
        """
        return self.clear and (bool(self.trial.later_loss) or not falling)

    @property
    def words(self) -> str:
        """How much better it was, and after how many steps, as the end of a sentence."""
        return f"{self.points:.0f} points better after {plural(self.steps, 'step')}"

    @property
    def rescued(self) -> bool:
        """Whether the twin came down where the training ran away."""
        first = self.trial.loss[0] if self.trial.loss else NAN
        return self.loss < first < self.own_loss


def own_trial(setting: Setting) -> Trial | None:
    """The training as it is among its twins."""
    return next((trial for trial in setting.twins if trial.change == "nothing"), None)


def loss_level(loss: tuple[float, ...]) -> float:
    """Median of the last tenth; infinite where it is not finite there, NaN without any.

    >>> loss_level((3.0, 2.0, 1.0)), loss_level((3.0, float("nan")))
    (2.0, inf)
    """
    if not loss:
        return NAN
    last = np.array(loss[-max(len(loss) // 10, 3) :])
    return float(np.median(last)) if np.isfinite(last).all() else math.inf


def skill_of(trial: Trial) -> float:
    """(score − chance) / (1 − chance), 0 at the least; NaN where the trial has no score."""
    if math.isnan(trial.chance) or trial.chance >= 1.0:
        return NAN
    if math.isnan(trial.score):
        return 0.0 if loss_level(trial.loss) == math.inf else NAN
    return max(0.0, (trial.score - trial.chance) / (1.0 - trial.chance))


def compared(setting: Setting, change: str, start: float = NAN) -> tuple[Comparison, ...]:
    """The twins with this change against the training itself; none where that is not among the trials.

    Args:
        setting: with the trials.
        change: what the twins changed.
        start: the loss at which learning begins, for trials without a score; the first loss when left out.
    """
    own = own_trial(setting)
    if own is None:
        return ()
    begins = own.loss[0] if math.isnan(start) and own.loss else start
    return tuple(_compare(own, trial, begins) for trial in setting.twins if trial.change == change)


def best(setting: Setting, change: str, start: float = NAN) -> Comparison | None:
    """The twin with this change that did best; see `compared`."""
    return max(compared(setting, change, start), key=lambda each: each.points, default=None)


def _compare(own: Trial, trial: Trial, begins: float) -> Comparison:
    """At the end of the longer trainings where there are both."""
    if not (own.later_loss and trial.later_loss):
        return _compare_at_the_end(own, trial, trial, begins)
    return _compare_at_the_end(_later(own), _later(trial), trial, begins)


def _later(trial: Trial) -> Trial:
    return structs.replace(trial, loss=trial.loss + trial.later_loss, score=trial.later_score)


def _compare_at_the_end(own: Trial, trial: Trial, shown: Trial, begins: float) -> Comparison:
    loss, own_loss = loss_level(trial.loss), loss_level(own.loss)
    scores = _score(trial), _score(own)
    if not math.isnan(scores[0]) and not math.isnan(scores[1]):
        points = 100.0 * (scores[0] - scores[1])
    else:
        finite = [value for value in (*own.loss, *trial.loss) if math.isfinite(value)]
        whole = begins - min(
            0.0, *finite, 0.0
        )  # a loss that goes below 0 has no end that is known but the lowest seen
        points = 100.0 * (min(own_loss, begins) - min(loss, begins)) / whole if whole > 0.0 else 0.0
    return Comparison(shown, points, loss, own_loss, len(trial.loss))


def _score(trial: Trial) -> float:
    """The score, chance at the least: what is worse than a constant answer has learned nothing."""
    if math.isnan(trial.chance):
        return NAN
    if math.isnan(trial.score):
        return trial.chance if loss_level(trial.loss) == math.inf else NAN
    return max(trial.score, trial.chance)
