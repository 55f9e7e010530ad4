"""The learning rate is too low: the weights hardly move, and where they move faster the network learns.

A small update is no fault by itself, and neither is a slow loss. The rule asks for both, and for a twin: the same
training with ten times the rate. Where no twin is clearly better yet, the two losses are compared batch by batch,
which takes the noise of the batches out: a rate that is the only thing in the way shows in a lead that grows steadily.
"""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Severity, Verdict
from evenflow.diagnose.learning import Learning, kendall, learning
from evenflow.diagnose.movement import Movement, elasticity, movement
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.twins import Comparison, compared, own_trial
from evenflow.spec.setting import Setting
from evenflow.wording import exact, number

LITTLE = 0.25
"""Share of the way that counts as hardly learned; a training beyond it is slow at the worst."""
HALF = 0.6
"""Up to this share a clearly better twin is worth a word (a risk)."""
SHORT_PATH = 0.2
"""Relative change of every weight, at most, over the whole run. Trainings that learn cover 0.3 to 3."""
SHORTER_PATH = 0.03
"""The same where no twin says that the rate is the reason: a tenth of the least that trainings which learn cover."""
FEWEST_STEPS = 50
"""In fewer steps every path is short."""
REACHES = 1e-2
"""Elasticity of the loss below which the gradient is at fault rather than the rate; 0.1 to 10 where it arrives."""
ASSUMED = "; the rate was the doctor's own choice, as no optimiser was given"
_STEADY = 2.6  # Kendall's S, in standard deviations


def judge(case: Case) -> Verdict | None:
    """A training whose weights hardly moved and whose loss hardly fell."""
    curve, moved = learning(case), movement(case)
    if curve.diverged or curve.learned >= HALF or len(moved.steps) * moved.stride < FEWEST_STEPS:
        return None
    path = float(max(np.max(moved.path, initial=0.0), np.max(moved.late_path, initial=0.0)))
    if not 0.0 < path < SHORT_PATH:
        return None
    higher = [
        each for each in compared(case.setting, "learning_rate", curve.reference) if each.trial.factor > 1
    ]
    best = max(higher, key=lambda each: each.points, default=None)
    leads = any(_leads(case.setting, each) for each in higher)
    severity = _severity(case, curve, path, best, leads)
    if severity is not None and case.setting.assumed:
        severity = "information"
    return None if severity is None else _verdict(case, curve, moved, path, best, severity)


def _severity(
    case: Case, curve: Learning, path: float, best: Comparison | None, leads: bool
) -> Severity | None:
    little = math.isnan(curve.learned) or curve.learned < LITTLE
    if best is not None and best.clear:
        return "fault" if little or not curve.fell else "risk"
    if not little or path >= SHORTER_PATH or not _gradient_arrives(case):
        return None
    return "fault" if best is None or leads or path < SHORTER_PATH / 30 else None


def _gradient_arrives(case: Case) -> bool:
    try:
        return elasticity(case) > REACHES
    except MissingError:
        return True


def _leads(setting: Setting, twin: Comparison) -> bool:
    """Whether the twin's lead over the training grows steadily, on the same batches."""
    own = own_trial(setting)
    if own is None:
        return False
    both = min(len(own.loss), len(twin.trial.loss))
    lead = np.subtract(own.loss[:both], twin.trial.loss[:both])
    lead = lead[np.isfinite(lead)]
    return len(lead) >= FEWEST_STEPS and bool(kendall(lead) > _STEADY and np.median(lead[-both // 10 :]) > 0)


def _verdict(
    case: Case, curve: Learning, moved: Movement, path: float, best: Comparison | None, severity: Severity
) -> Verdict:
    rates = [group.learning_rate for group in case.setting.optimisers]
    evidence: dict[str, float | int | str] = {
        "relative_change_of_weights_at_most": path,
        "update_to_weight_median": moved.median_at(slice(None)),
        "share_learned": curve.learned,
        "loss_start": curve.start,
        "loss_end": curve.end,
    }
    if rates:
        evidence["learning_rate"] = max(rates)
    steps = int(len(moved.steps) * moved.stride)
    message = (
        f"in {steps} steps no weight changed by more than {number(path)} of its size, and the loss went from "
        f"{number(curve.start, 3)} to {number(curve.end, 3)}"
    )
    if best is not None:
        evidence["twin_factor"], evidence["twin_points"] = best.trial.factor, best.points
        if best.clear:
            message += (
                f"; with {exact(best.trial.factor)} times the learning rate the same training is {best.words}"
            )
    if case.setting.assumed:
        message += ASSUMED
    return Verdict(
        severity=severity,
        sites=(),
        first_step=int(moved.steps[0]),
        evidence=evidence,
        message=message,
        strength=float(np.clip(0.5 + 0.2 * math.log10(SHORT_PATH / path), 0.1, 0.9)),
    )


RULE = Rule(
    code="EF402",
    name="lr_too_low",
    title="The learning rate is too low",
    judge=judge,
    remedies=("raise_learning_rate", "change_optimiser"),
    follows_from=(
        "uncleared_gradient",
        *("unnormalised_input", "bad_output_layer", "symmetric_init", "poor_init", "saturated_activations"),
        *("dead_units", "vanishing_gradient", "clipping_always_on"),
    ),
    confidence=0.96,
    explanation=(
        "The weights hardly move in the whole run, the loss hardly falls, and the gradient is not to blame: with a "
        "larger learning rate the same training learns. A sum of ‖Δw‖/‖w‖ over all steps bounds how far a weight can "
        "have gone; trainings that learn cover 0.3 and more. Warm-up, a converged training and a vanishing gradient "
        "look alike and are left alone."
    ),
)
