"""The learning rate is too high: the loss runs away, jumps or swings through steps that are too large.

At the first step all is sane; the updates make it insane. That, and a twin with a tenth of the rate which does
clearly better, tells it from a network that was badly drawn.
"""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.domain import outside_its_domain
from evenflow.diagnose.finding import MissingError, Severity, Verdict
from evenflow.diagnose.learning import Learning, learning
from evenflow.diagnose.movement import Movement, movement
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.twins import CLEARLY, Comparison, compared
from evenflow.wording import exact, named, number

LARGE_UPDATE = 0.1
"""‖Δw‖ / ‖w‖ of one step: working trainings stay near 1e-3 and rarely pass 3e-2 behind the first steps."""
HUGE_UPDATE = 0.3
"""Of one step, too: in three such steps nothing is left of what the weights were."""
_STEPS = 3
JUMP = 2.0
"""Highest loss over the first one that batch noise does not explain."""
HIGH_JUMP = 5.0
"""The same where there is no twin to say that a lower rate does better."""
LITTLE = 0.3
"""Share of the way that counts as hardly learned."""
SWING = 1.0
"""Noise of the loss over what its batches explain, three deviations of a sample's loss allowed for."""
ASSUMED = "; the rate was the doctor's own choice, as no optimiser was given"
INSANE_START = 5.0
"""First loss over that of a constant answer: the network was drawn badly, or its inputs are far too large."""


def judge(case: Case) -> Verdict | None:
    """A training that its own steps have spoiled."""
    if outside_its_domain(case.setting):
        return None
    curve, moved = learning(case), _moved(case)
    twins = compared(case.setting, "learning_rate", curve.reference)
    lower = max((each for each in twins if each.trial.factor < 1), key=lambda each: each.points, default=None)
    if lower is not None and lower.clear:
        severity: Severity | None = "fault" if _is_spoiled(curve) else "risk"
    elif lower is not None:
        severity = "fault" if _is_far_too_high(curve, moved, lower) else _swings_on(curve, moved, lower)
    else:
        severity = _without_twin(curve, moved)
    if severity is not None and case.setting.assumed:
        severity = "information"
    return None if severity is None else _verdict(case, curve, moved, lower, severity)


def _moved(case: Case) -> Movement | None:
    try:
        return movement(case)
    except MissingError:
        return None


def _is_spoiled(curve: Learning) -> bool:
    """Whether the loss shows it as well: gone, jumped, swinging, or no longer on its way down."""
    return (
        curve.diverged
        or curve.overshoot > JUMP
        or curve.swing > SWING
        or not curve.falling
        or (curve.learned < LITTLE and not curve.fell)
    )


def _is_far_too_high(curve: Learning, moved: Movement | None, lower: Comparison) -> bool:
    """Whether a tenth of the rate is still too high, so that this twin fails as well."""
    failed = lower.loss == math.inf or lower.loss > 0.7 * curve.reference
    lost = curve.diverged or (curve.overshoot > HIGH_JUMP and not curve.learned >= LITTLE)
    return failed and lost and _largest(moved, curve.first_divergence) > HUGE_UPDATE


def _swings_on(curve: Learning, moved: Movement | None, lower: Comparison) -> Severity | None:
    """Steps that have thrown the loss up and go on throwing it about: where such a training ends is luck."""
    largest = _largest(moved, None)
    thrown = curve.overshoot > HIGH_JUMP and (math.isnan(largest) or largest > HUGE_UPDATE)
    if not (thrown and curve.swing > SWING) or curve.fell or curve.falling:
        return None
    return "fault" if lower.points >= CLEARLY / 2 else "risk"


def _without_twin(curve: Learning, moved: Movement | None) -> Severity | None:
    largest = _largest(moved, curve.first_divergence)
    lost = curve.diverged or (curve.overshoot > HIGH_JUMP and not curve.learned >= LITTLE)
    if lost and (math.isnan(largest) or largest > LARGE_UPDATE):
        return "fault"
    if curve.swing > SWING and not curve.learned >= 0.5 and largest > LARGE_UPDATE:
        return "risk"
    if _is_overwritten(moved) and not curve.falling and not curve.learned >= LITTLE:
        return "fault" if curve.end >= curve.reference else "risk"
    return None


def _is_overwritten(moved: Movement | None) -> bool:
    """Whether in three steps and more half of the weights changed so much that nothing is left of what they were.

    By the median over the weights: one that begins at 0, as last layers do on purpose, changes without measure.
    """
    if moved is None or not moved.ratio.size:
        return False
    known = moved.ratio[np.isfinite(moved.ratio).any(axis=1)]
    return int(np.sum(np.nanmedian(known, axis=1) >= HUGE_UPDATE)) >= _STEPS


def _largest(moved: Movement | None, before: int | None) -> float:
    """Largest relative update, up to the step at which the loss ran away; NaN where none was measured."""
    if moved is None:
        return math.nan
    part = moved.ratio if before is None else moved.ratio[moved.steps <= before]
    part = part[np.isfinite(part)]
    return float(np.max(part)) if part.size else math.nan


def _verdict(
    case: Case, curve: Learning, moved: Movement | None, lower: Comparison | None, severity: Severity
) -> Verdict:
    first = curve.first_divergence
    if first is None:
        above = curve.steps[curve.loss > JUMP * abs(curve.start)]
        first = int(above[0]) if len(above) else int(curve.steps[0])
    evidence: dict[str, float | int | str] = {
        "loss_start": curve.start,
        "loss_highest_over_start": curve.overshoot,
        "loss_end": curve.end,
        "update_to_weight_largest": _largest(moved, curve.first_divergence),
        "share_learned": curve.learned,
    }
    rates = [group.learning_rate for group in case.setting.optimisers]
    if rates:
        evidence["learning_rate"] = max(rates)
    if lower is not None:
        evidence["twin_factor"], evidence["twin_points"] = lower.trial.factor, lower.points
    sane = math.isnan(curve.chance) or curve.start < INSANE_START * curve.chance
    return Verdict(
        severity=severity,
        sites=() if moved is None else moved.fastest(),
        first_step=first,
        evidence=evidence,
        message=_message(curve, moved, lower, first) + (ASSUMED if case.setting.assumed else ""),
        strength=(0.8 if curve.diverged else 0.6) if sane else 0.2,
    )


def _message(curve: Learning, moved: Movement | None, lower: Comparison | None, first: int) -> str:
    start, end = number(curve.start, 3), number(curve.end, 3)
    if curve.nonfinite_step is not None:
        what = f"the loss began at {start} and was not finite at step {curve.nonfinite_step}"
    elif curve.diverged:
        what = f"the loss ran away from {start} to {end}, for good from step {first}"
    elif curve.overshoot > JUMP:
        highest = curve.overshoot * curve.start
        what = f"the loss jumped from {start} to {number(highest, 3)} and ended at {end}"
    else:
        what = f"the loss went from {start} to {end} in steps that are too large"
    largest = _largest(moved, curve.first_divergence)
    if largest > LARGE_UPDATE and moved is not None:
        what += f"; one step changed {named(moved.fastest(1)[0])} by {number(largest)} of its size"
    if lower is not None and lower.clear:
        what += (
            f"; with {exact(lower.trial.factor)} times the learning rate the same training is {lower.words}"
        )
    return what


RULE = Rule(
    code="EF401",
    name="lr_too_high",
    title="The learning rate is too high",
    judge=judge,
    remedies=("lower_learning_rate", "warm_up", "clip_gradients", "change_optimiser"),
    follows_from=(
        "uncleared_gradient",
        *(
            "unnormalised_input",
            "bad_output_layer",
            "poor_init",
            "exploding_activations",
            "exploding_gradient",
        ),
    ),
    confidence=0.94,
    explanation=(
        "Each step goes further than the gradient's word holds: along a direction of curvature λ plain gradient "
        "descent converges for η < 2/λ only. The loss runs away, jumps and stays high, or swings more than its "
        "batches differ, and a tenth of the rate does clearly better on the same batches."
    ),
)
