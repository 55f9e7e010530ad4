"""What the loss did: how far it came, against noise and chance; whether it falls, stays, swings or runs away.

The loss of a step is a level that changes slowly plus the noise of its batch. The noise is estimated from second
differences, which a slow level hardly enters: for white noise of deviation σ they have deviation √6 σ. Shares are
taken of the way from where the loss stood, or from what a constant answer costs where that is known and lower, down
to 0: a loss that falls from 70 to log K has learned nothing but to be less sure of itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from evenflow.diagnose.case import Case
from evenflow.diagnose.chance import chance_loss
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.trends import since
from evenflow.diagnose.twins import own_trial, skill_of
from evenflow.spec.setting import NAN

Vector = NDArray[np.float64]

FEWEST_STEPS = 10
"""Below this neither noise nor trend can be told."""
_BLOCKS = 16  # a trend is tested on so many means, which weakens the dependence of neighbouring batches
_SIGNIFICANT = 2.6  # standard deviations of Kendall's S: p < 0.005 to one side
_NOISE = 3.0  # standard deviations of the noise
_BAND = 6.0  # the same of a running median's, which is 1.25 times as wide, over all steps at once
_MAD = 1.4826  # median absolute deviation to standard deviation, of a normal distribution
_RUNAWAY = 1.5  # times where it began: no batch noise of a working training lasts there
_SPREAD_OF_SAMPLES = 3.0
"""Deviation of one sample's loss in units of the mean loss: √2 for squared normal errors, about 1 for cross-entropy
before it is learned; three allows for heavy tails."""


@dataclass(frozen=True)
class Learning:
    """What the loss did in one run.

    Args:
        steps: recorded steps with a finite loss.
        loss: at these steps.
        level: smoothed.
        noise: standard deviation of a step's loss around its level.
        start: the loss at the start.
        end: median of the last tenth of the run; infinite where the loss ended as NaN or infinity.
        best: lowest level.
        chance: loss of the best constant answer; NaN where it is not known.
        share: (r − end) / r, r = min(start, chance): of the way to 0, below 0 where it rose; NaN for a loss below 0.
        skill: (score − chance) / (1 − chance) of the training's own trial; NaN where there is none.
        trend: standard deviations by which Kendall's S of the whole curve is off 0; negative while the loss falls.
        late_trend: the same of its last third.
        nonfinite_step: first step whose loss was NaN or infinite; None while it is finite.
        batch: samples in a step; 0 if not known.
    """

    steps: NDArray[np.int64]
    loss: Vector
    level: Vector
    noise: float
    start: float
    end: float
    best: float
    chance: float
    share: float
    skill: float
    trend: float
    late_trend: float
    nonfinite_step: int | None
    batch: int

    @property
    def reference(self) -> float:
        """Where learning begins: the start, or chance where that is lower."""
        return self.start if math.isnan(self.chance) else min(self.start, self.chance)

    @property
    def learned(self) -> float:
        """The better of the loss's share and the score's skill; NaN where neither is known."""
        known = [value for value in (self.share, self.skill) if not math.isnan(value)]
        return max(known) if known else NAN

    @property
    def fell(self) -> bool:
        """Whether the loss ended lower than it began, beyond the noise and by a trend that is no accident."""
        return self.trend < -_SIGNIFICANT and self.end < self.start - self.noise

    @property
    def falling(self) -> bool:
        """Whether it still fell in the last third."""
        return self.late_trend < -_SIGNIFICANT

    @property
    def converged(self) -> bool:
        """Whether hardly anything was left to learn: nine tenths are learned."""
        return self.learned >= 0.9

    @property
    def diverged(self) -> bool:
        """Whether the loss ended as NaN or infinity, or far above where it began."""
        if self.nonfinite_step is not None:
            return True
        last = self.loss[-max(len(self.loss) // 10, 3) :]
        return self.end > _above(self.start, _RUNAWAY) and bool(np.quantile(last, 0.1) > self.start)

    @property
    def first_divergence(self) -> int | None:
        """First step from which the loss never came back to where it began; None where it did."""
        if not self.diverged:
            return None
        left = since(self.steps, self.loss <= _above(self.start, _RUNAWAY))
        return self.nonfinite_step if left is None else left

    @property
    def overshoot(self) -> float:
        """Highest loss on the way over the loss at the start, at least 1; infinite where it was not finite."""
        if self.nonfinite_step is not None:
            return math.inf
        return max(1.0, float(np.max(self.loss)) / self.start) if self.start > 0 else 1.0

    @property
    def swing(self) -> float:
        """Noise over level, in units of what the batch explains: 1 / √batch of three times the level.

        Above 1 the loss swings more than its batches differ. NaN where the batch is not known.
        """
        level = abs(float(np.median(self.level)))
        if self.batch < 1 or level == 0.0:
            return NAN
        return self.noise / (level * _SPREAD_OF_SAMPLES / math.sqrt(self.batch))

    @property
    def flat_since(self) -> int:
        """First step from which the level stays within the noise, or 2 % of the start, of where it ended."""
        band = max(_BAND * self.noise / math.sqrt(2 * _half(len(self.loss)) + 1), 0.02 * abs(self.start))
        away = np.flatnonzero(np.abs(self.level - self.end) > band)
        return int(self.steps[min(away[-1] + 1, len(self.steps) - 1)] if len(away) else self.steps[0])


def learning(case: Case) -> Learning:
    """What the loss of a case did; worked out once, since most rules ask.

    Raises:
        MissingError: no loss, or too few steps of it.
    """
    found = _known.get(case)
    if found is None:
        found = _known[case] = _worked_out(case)
    return found


_known: WeakKeyDictionary[Case, Learning] = WeakKeyDictionary()


def _worked_out(case: Case) -> Learning:
    try:
        series = case.loss
        steps, loss = series.steps, series.values[:, 0]
    except MissingError:
        if nonfinite_loss_step(case) is None:
            raise
        steps, loss = np.zeros(0, dtype=np.int64), np.zeros(0)
    nonfinite = nonfinite_loss_step(case)
    steps, loss = steps[np.isfinite(loss)], loss[np.isfinite(loss)]
    if nonfinite is None and len(loss) < FEWEST_STEPS:
        raise MissingError(
            f"the loss of {len(loss)} steps was recorded; {FEWEST_STEPS} are needed to tell a trend from noise"
        )
    if not len(loss):
        raise MissingError("the loss was NaN or infinite at every step")
    setting = case.setting
    noise = noise_of(loss)
    start = start_of(loss, noise)
    level = smoothed(loss)
    ended = nonfinite is not None and nonfinite >= steps[-1]
    end = math.inf if ended else float(np.median(loss[-max(len(loss) // 10, 3) :]))
    chance = chance_loss(setting, start, end)
    reference = start if math.isnan(chance) else min(start, chance)
    known = bool(np.min(loss) >= 0.0) and reference > 0.0
    own = own_trial(setting)
    return Learning(
        steps=steps,
        loss=loss,
        level=level,
        noise=noise,
        start=start,
        end=end,
        best=float(np.min(level)),
        chance=chance,
        share=(reference - end) / reference if known else NAN,
        skill=NAN if own is None else skill_of(own),
        trend=kendall(loss),
        late_trend=kendall(loss[-max(len(loss) // 3, FEWEST_STEPS) :]),
        nonfinite_step=nonfinite,
        batch=setting.batch,
    )


def nonfinite_loss_step(case: Case) -> int | None:
    """The first step whose loss was NaN or infinite.

    A table does not tell a NaN from what was not measured; the count of non-finite entries of the loss does.
    """
    found = []
    for statistic in ("loss", "nonfinite_count"):
        try:
            series = case.series(statistic, "loss")
        except MissingError:
            continue
        bad = ~np.isfinite(series.values[:, 0]) if statistic == "loss" else series.values[:, 0] > 0
        found.extend(series.steps[bad][:1])
    return int(min(found)) if found else None


def noise_of(loss: Vector) -> float:
    """Standard deviation of a step's loss around its level, from second differences, robust against jumps.

    >>> noise_of(np.linspace(2.0, 1.0, 50)) < 1e-12
    True
    """
    if len(loss) < 4:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        bends = np.diff(loss, 2)
    return _MAD * float(np.median(np.abs(bends))) / math.sqrt(6.0)


def start_of(loss: Vector, noise: float) -> float:
    """The first loss, or the median of the first five where that is lower by no more than the noise explains."""
    first, median = float(loss[0]), float(np.median(loss[:5]))
    return median if first - _NOISE * noise < median < first else first


def smoothed(loss: Vector) -> Vector:
    """Running median over a twentieth of the run (3 to 15 steps), which a single batch cannot bend.

    >>> smoothed(np.array([3.0, 2.0, 90.0, 1.0, 1.0])).tolist()
    [2.5, 3.0, 2.0, 1.0, 1.0]
    """
    half = _half(len(loss))
    return np.array([np.median(loss[max(at - half, 0) : at + half + 1]) for at in range(len(loss))])


def _half(steps: int) -> int:
    """Steps to each side that the running median takes."""
    return min(max(steps // 40, 1), 7)


def kendall(values: Vector) -> float:
    """Standard deviations by which Kendall's S of (means of blocks of) `values` is off 0; negative where they fall.

    S = Σ_{i<j} sign(x_j − x_i), of variance n (n − 1)(2n + 5) / 18 without a trend (Kendall 1938; Mann 1945).

    >>> kendall(np.linspace(2.0, 1.0, 200)) < -5
    True
    """
    blocks = np.array([block.mean() for block in np.array_split(values, min(_BLOCKS, len(values)))])
    count = len(blocks)
    if count < 3:
        return 0.0
    signs = np.sign(blocks[None, :] - blocks[:, None])
    return float(np.triu(signs, 1).sum() / math.sqrt(count * (count - 1) * (2 * count + 5) / 18))


def _above(value: float, factor: float) -> float:
    """`factor` times a value, or as much above it where it is negative."""
    return value + (factor - 1.0) * abs(value)
