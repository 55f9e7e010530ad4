"""Fault × remedy → effect: every network of a study beside the same network with a remedy, paired by seed.

All of it is read from one table, that of the study's store: originals and changed networks are told apart by their
fields. The promised sign is what a remedy should change besides the accuracy, where the original shows it: losses
that are not finite, dead units, a gradient that does not reach the first layers, saturated activations. It has come
where what was wrong is at most half of what it was, or, of a ratio of gradients, within one decade.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from evenflow.compare.figures import Result
from evenflow.compare.intervals import Interval, mean_interval
from evenflow.compare.paired import Difference, holm, paired_difference
from evenflow.compare.summary import by_fields, text_of
from evenflow.record.table import Table
from evenflow.spec.specification import Specification
from evenflow.spec.study import Study

LEVEL = 0.05
"""Of the paired test over all remedies of a study, after Holm's correction."""
SAME = 0.02
"""Of test accuracy: two points, within which a network counts as the other's equal."""
_HALF = 0.5
_DECADE = 1.0
_MUCH = 0.5
"""Share of dead units or saturated activations in the worst layer from which on it counts as wrong."""


def _diverged(result: Result) -> float:
    return float(result.outcome.diverged)


def _dead(result: Result) -> float:
    return result.outcome.dead_worst


def _decades(result: Result) -> float:
    return abs(result.flow.start.log_ratio)


def _saturated(result: Result) -> float:
    return result.outcome.saturated_worst


_SIGNS: Mapping[str, tuple[Callable[[Result], float], float]] = {
    "finite": (_diverged, 0.0),
    "dead_units": (_dead, _MUCH),
    "gradient_ratio": (_decades, _DECADE),
    "saturation": (_saturated, _MUCH),
}
"""How each sign is read, and the value above which something is wrong; the worst comes first."""
SIGN_WORDS: Mapping[str, str] = {
    "finite": "diverged",
    "dead_units": "dead",
    "gradient_ratio": "decades",
    "saturation": "saturated",
}
"""What a sign counts: trainings, units and activations of the worst layer, and, before training, the decades between
the gradients of the first and the last layer."""
_STEPS = ("finite", "dead_units", "saturation")
_LAYERS = ("finite", "dead_units", "gradient_ratio", "saturation")
_PROMISES: Mapping[str, tuple[str, ...]] = {
    "lower_learning_rate": _STEPS,
    "raise_learning_rate": (),
    "warm_up": _STEPS,
    "change_optimiser": _STEPS,
    "clip_gradients": _STEPS,
    "raise_clip_norm": (),
    "standardise_input": ("finite", "saturation"),
    "lower_weight_decay": (),
    "lower_dropout": (),
}
"""Remedies that cannot change what is there before the first step; all others promise whatever is wrong."""


@dataclass(frozen=True)
class Effect:
    """What a remedy did to one network.

    Args:
        original: fields of the network as it is.
        remedy: with its form, such as "add_normalisation:batch".
        changes: field -> its value before and after.
        before, after: test accuracy at the end, of the original and of the changed network.
        gain: the difference of these, paired by seed.
        adjusted_p_value: of the gain; Holm's, over all effects of the study.
        ratio_before, ratio_after: log10 of the gradient norm of the first layer over that of the last, before
            training.
        ratio: the difference of these, over the seeds where both are finite.
        ratio_end: the same difference at the end of training.
        sign: what the remedy promises of this network, a key of `SIGN_WORDS`; "" where nothing that it could change
            is wrong.
        sign_before, sign_after: its value, mean over the seeds.
        seen: whether the sign has come; None where there is none, or it was not measured.
        diverged: trainings of the changed network that diverged.
    """

    original: Mapping[str, object]
    remedy: str
    changes: Mapping[str, tuple[object, object]]
    before: Interval
    after: Interval
    gain: Difference
    adjusted_p_value: float
    ratio_before: Interval
    ratio_after: Interval
    ratio: Difference
    ratio_end: Difference
    sign: str
    sign_before: float
    sign_after: float
    seen: bool | None
    diverged: int

    @property
    def verdict(self) -> str:
        """What became of the accuracy, as `verdict` has it."""
        return verdict(self.gain, self.adjusted_p_value)


def verdict(gain: Difference, adjusted_p_value: float) -> str:
    """What a gain in accuracy amounts to: "helps", "harms", "no effect" or "unclear"; "" without two seeds.

    No effect: its whole interval lies within two points. Help or harm: it is beyond chance.
    """
    if math.isnan(gain.low):
        return ""
    if max(abs(gain.low), abs(gain.high)) <= SAME:
        return "no effect"
    if adjusted_p_value < LEVEL and gain.low > 0:
        return "helps"
    if adjusted_p_value < LEVEL and gain.high < 0:
        return "harms"
    return "unclear"


def has_come(sign: str, before: float, after: float) -> bool | None:
    """Whether a promised sign, a key of `SIGN_WORDS`, has come; None where it was not measured afterwards.

    >>> has_come("gradient_ratio", 9.0, 0.8), has_come("dead_units", 1.0, 0.6)
    (True, False)
    """
    if math.isnan(after):
        return None
    near = sign == "gradient_ratio" and after <= _DECADE
    return near or after <= _HALF * before


def effects(table: Table, study: Study) -> tuple[Effect, ...]:
    """Every network of the grid with every remedy that was carried out on it, as far as both have ended.

    Args:
        table: runs of the originals and of the changed networks; others in it are left alone.
        study: with its remedies.
    """
    results = by_fields(table, study.target_accuracy)
    found = []
    for original, remedy, changed in study.trials():
        if not isinstance(changed, Specification):
            continue
        first, second = (_ended(results, one) for one in (original, changed))
        if first and second:
            found.append(_effect(original, remedy, changed, first, second))
    adjusted = holm([one.gain.p_value for one in found])
    return tuple(
        replace(one, adjusted_p_value=float(value)) for one, value in zip(found, adjusted, strict=True)
    )


def left_out(study: Study) -> dict[str, dict[str, int]]:
    """Remedies that were not carried out: name -> reason -> on how many networks of the grid."""
    found: dict[str, dict[str, int]] = {}
    for _, remedy, changed in study.trials():
        if isinstance(changed, str):
            reasons = found.setdefault(remedy, {})
            reasons[changed] = reasons.get(changed, 0) + 1
    return found


def _ended(results: Mapping[str, Mapping[int, Result]], one: Specification) -> dict[int, Result]:
    group = results.get(text_of(one.fields), {})
    return {seed: result for seed, result in group.items() if result.run.status in ("finished", "diverged")}


def _effect(
    original: Specification,
    remedy: str,
    changed: Specification,
    first: Mapping[int, Result],
    second: Mapping[int, Result],
) -> Effect:
    gain = paired_difference(_accuracies(first), _accuracies(second))
    sign, was, now, seen = _sign(remedy.partition(":")[0], list(first.values()), list(second.values()))
    before, after = original.fields, changed.fields
    return Effect(
        original=before,
        remedy=remedy,
        changes={key: (before[key], after[key]) for key in before if before[key] != after[key]},
        before=mean_interval(_accuracies(first).values()),
        after=mean_interval(_accuracies(second).values()),
        gain=gain,
        adjusted_p_value=gain.p_value,
        ratio_before=mean_interval(one.flow.start.log_ratio for one in first.values()),
        ratio_after=mean_interval(one.flow.start.log_ratio for one in second.values()),
        ratio=paired_difference(_ratios(first, "start"), _ratios(second, "start")),
        ratio_end=paired_difference(_ratios(first, "end"), _ratios(second, "end")),
        sign=sign,
        sign_before=was,
        sign_after=now,
        seen=seen,
        diverged=sum(one.outcome.diverged for one in second.values()),
    )


def _accuracies(results: Mapping[int, Result]) -> dict[int, float]:
    return {seed: one.outcome.test_accuracy for seed, one in results.items()}


def _ratios(results: Mapping[int, Result], moment: str) -> dict[int, float]:
    """Seeds whose ratio is finite: a gradient of exactly 0 has no distance from another in decades."""
    found = {seed: getattr(one.flow, moment).log_ratio for seed, one in results.items()}
    return {seed: value if math.isfinite(value) else math.nan for seed, value in found.items()}


def _sign(
    remedy: str, first: Sequence[Result], second: Sequence[Result]
) -> tuple[str, float, float, bool | None]:
    for sign in _PROMISES.get(remedy, _LAYERS):
        read, wrong = _SIGNS[sign]
        was, now = (mean_interval(map(read, some)).mean for some in (first, second))
        if was > wrong:
            return sign, was, now, has_come(sign, was, now)
    return "", math.nan, math.nan, None
