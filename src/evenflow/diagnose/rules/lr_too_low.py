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
"""Up to this share a twin that is ahead is worth a word (a risk); beyond it, only one that stays ahead."""
SHORT_PATH = 0.2
"""Relative change of half of the weights, at most, over the whole run. Trainings that learn cover 0.3 to 3; a single
weight that began small, as those of places, or that undoes an absurd start, may go further."""
OWN_SIZE = 1.0
"""Path of half of the weights from which on the steps are large enough to make the weights anew, and short of which a
training whose loss falls steadily, or steadily less than its twin's, may be slow."""
FAR = 2.0
"""Loss at the start over that of a constant answer, from which on there is a way to go before anything is learned."""
JUMP = 2.0
"""Highest loss over the first one: steps that have thrown it up are not too small, though most weights hardly moved."""
SHORTER_PATH = 0.03
"""The same where no twin says that the rate is the reason: a tenth of the least that trainings which learn cover."""
FEWEST_STEPS = 50
"""In fewer steps every path is short."""
ENOUGH_STEPS = 150
"""In fewer steps every training is on its way, and a twin that is ahead has had a head start."""
REACHES = 1e-2
"""Elasticity of the loss below which the gradient is at fault rather than the rate; 0.1 to 10 where it arrives."""
ASSUMED = "; the rate was the doctor's own choice, as no optimiser was given"
_STEADY = 2.6  # Kendall's S, in standard deviations


def judge(case: Case) -> Verdict | None:
    """A training whose weights hardly moved, or whose loss fell steadily and not far."""
    curve, moved = learning(case), movement(case)
    steps = len(moved.steps) * moved.stride
    if curve.diverged or steps < FEWEST_STEPS:
        return None
    paths = np.maximum(moved.path, moved.late_path)
    paths = paths[paths > 0.0]
    if not len(paths):
        return None
    path, typical = float(np.max(paths)), float(np.median(paths))
    higher = [
        each for each in compared(case.setting, "learning_rate", curve.reference) if each.trial.factor > 1
    ]
    leads = any(_leads(case.setting, each) for each in higher)
    if path >= SHORT_PATH and curve.overshoot > JUMP:
        return None
    if typical >= SHORT_PATH:
        on_its_way = leads or (curve.fell and curve.falling)
        far = typical >= OWN_SIZE and not _has_far_to_go(case.setting, curve)
        if far or steps < ENOUGH_STEPS or not on_its_way:
            return None
    best = max(higher, key=lambda each: each.points, default=None)
    lasting = best is not None and steps >= ENOUGH_STEPS and best.lasts(curve.falling)
    if lasting and typical >= SHORT_PATH:  # weights that have gone some way: only what was tried longer tells
        lasting = best is not None and bool(best.trial.later_loss)
    severity = _severity(case, curve, path, best, leads=leads, lasting=lasting)
    if severity is not None and case.setting.assumed:
        severity = "information"
    return None if severity is None else _verdict(case, curve, moved, (typical, path), best, severity)


def _severity(
    case: Case, curve: Learning, path: float, best: Comparison | None, *, leads: bool, lasting: bool
) -> Severity | None:
    # A loss below 0 has no end that is known: one that fell has learned something, nobody knows how much.
    little = not curve.fell if math.isnan(curve.learned) else curve.learned < LITTLE
    if best is not None and best.clear:
        if curve.learned >= HALF:
            return "fault" if lasting else None
        return "fault" if little or not curve.fell or lasting else "risk"
    if not little or path >= SHORTER_PATH or not _gradient_arrives(case):
        return None
    return "fault" if best is None or leads or path < SHORTER_PATH / 30 else None


def _gradient_arrives(case: Case) -> bool:
    try:
        return elasticity(case) > REACHES
    except MissingError:
        return True


def _has_far_to_go(setting: Setting, curve: Learning) -> bool:
    """Whether the loss has hardly come anywhere, and the larger the rate, the further it comes.

    Targets far from where the outputs begin are the usual reason: weights made anew are then not large enough yet.
    """
    twins = sorted(compared(setting, "learning_rate", curve.reference), key=lambda each: each.trial.factor)
    neighbours = [each for each in twins if 0.1 <= each.trial.factor <= 10.0]
    losses = [each.loss for each in neighbours]
    if len(losses) < 2 or not curve.learned < LITTLE or not curve.start > FAR * curve.chance:
        return False
    return losses[0] > curve.end > losses[-1] and neighbours[-1].clear


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
    case: Case,
    curve: Learning,
    moved: Movement,
    paths: tuple[float, float],
    best: Comparison | None,
    severity: Severity,
) -> Verdict:
    typical, path = paths
    rates = [group.learning_rate for group in case.setting.optimisers]
    evidence: dict[str, float | int | str] = {
        "relative_change_of_half_of_the_weights_at_most": typical,
        "relative_change_of_weights_at_most": path,
        "update_to_weight_median": moved.median_at(slice(None)),
        "share_learned": curve.learned,
        "loss_start": curve.start,
        "loss_end": curve.end,
    }
    if rates:
        evidence["learning_rate"] = max(rates)
    steps = int(len(moved.steps) * moved.stride)
    which = (
        f"no weight changed by more than {number(path)} of its size"
        if path < SHORT_PATH
        else "the steps were small beside what there is to learn"
        if typical >= SHORT_PATH
        else f"half of the weights changed by no more than {number(typical)} of their size"
    )
    message = (
        f"in {steps} steps {which}, and the loss went from {number(curve.start, 3)} to {number(curve.end, 3)}"
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
        strength=float(np.clip(0.5 + 0.2 * math.log10(SHORT_PATH / typical), 0.1, 0.9)),
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
        *(
            "dead_units",
            "vanishing_gradient",
            "clipping_always_on",
            "exploding_activations",
            "exploding_gradient",
        ),
    ),
    confidence=0.95,
    explanation=(
        "The weights hardly move in the whole run, the loss hardly falls, and the gradient is not to blame: with a "
        "larger learning rate the same training learns. A sum of ‖Δw‖/‖w‖ over all steps bounds how far a weight can "
        "have gone; trainings that learn cover 0.3 and more. Warm-up, a converged training and a vanishing gradient "
        "look alike and are left alone."
    ),
)
