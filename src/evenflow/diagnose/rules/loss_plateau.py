"""The loss does not fall, or stopped far from good: a symptom, whose cause is another finding or lies outside.

Where gradients arrive at the first layer, the weights move and no twin does better, gradient flow is not the matter:
labels that do not follow from the inputs, a model that cannot express the answer, or a task that needs more steps.
"""

from __future__ import annotations

import math

from evenflow.diagnose.case import Case
from evenflow.diagnose.chance import is_plain
from evenflow.diagnose.finding import MissingError, Severity, Verdict
from evenflow.diagnose.learning import Learning, learning
from evenflow.diagnose.movement import movement
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.twins import Comparison, compared
from evenflow.wording import decimal, number

FEWEST_STEPS = 50
"""A network may need some steps before its loss moves."""
ENOUGH_STEPS = 100
"""Steps after which a training that has learned nothing is a risk whatever the reason."""
NOTHING = 0.1
"""Share of the way below which nothing was learned, to speak of."""
LITTLE = 0.3
"""Share of the way below which a plain loss that has come no farther after so many steps may never come far."""
STUCK = 0.5
"""Share of the way below which a loss that has long been flat stopped far from good."""
LONG = 0.5
"""Share of the run that counts as long."""
REACHES = 1e-4
"""Elasticity of the loss with respect to the weakest layer, over that to the strongest, from which it is reached."""
NEAR = 0.1
"""Share of what guessing costs by which a loss may be off it and still be called that."""
MOVES = 0.1
"""Relative change of the weights over the run from which they moved."""


def judge(case: Case) -> Verdict | None:
    """A loss that does not fall, or that falls in vain."""
    curve = learning(case)
    if curve.diverged or curve.learned >= STUCK or len(curve.loss) < FEWEST_STEPS:
        return None
    if (
        math.isnan(curve.learned) and curve.fell
    ):  # a loss below 0 that came down: how far it could, nobody knows
        return None
    twins = [
        each
        for name in ("learning_rate", "inputs", "outliers", "unfrozen", "output", "weights", "signals")
        for each in compared(case.setting, name, curve.reference)
    ]
    best = max(twins, key=lambda each: each.points, default=None)
    if curve.falling:
        return _slow(case, curve, best)
    span = max(int(curve.steps[-1] - curve.steps[0]), 1)
    since = int(curve.steps[0]) if curve.learned < NOTHING else curve.flat_since
    if curve.learned >= NOTHING and curve.steps[-1] - since < LONG * span:
        return _slow(case, curve, best)
    return _verdict(case, curve, since, best, _flows(case))


def _slow(case: Case, curve: Learning, best: Comparison | None) -> Verdict | None:
    """A loss that has not come to rest, while little was learned by it, and that nothing that was tried does better."""
    steps = int(curve.steps[-1] - curve.steps[0]) + 1
    little = curve.learned < LITTLE and steps >= ENOUGH_STEPS and is_plain(case.setting)
    if best is None or best.clear or not little:
        return None
    return Verdict(
        severity="risk",
        sites=(),
        first_step=int(curve.steps[0]),
        evidence={
            "share_learned": curve.learned,
            "loss_start": curve.start,
            "loss_end": curve.end,
            "best_twin_points": best.points,
        },
        message=(
            f"the loss went from {number(curve.start, 3)} to {number(curve.end, 3)} in {steps} steps, but only "
            f"{decimal(100 * max(curve.learned, 0.0), 0)} % of what can be learned was learned, and no twin does "
            "clearly better: look at the labels, the data and what the model can express"
        ),
        strength=0.1,
        remedies=("look_at_the_data",),
    )


def _flows(case: Case) -> bool | None:
    """Whether gradients reach every weight and the weights move; None where that was not recorded."""
    try:
        moved = movement(case)
    except MissingError:
        return None
    path = moved.path
    return bool(len(path) and path.min() > MOVES)


def _verdict(case: Case, curve: Learning, since: int, best: Comparison | None, flows: bool | None) -> Verdict:
    helped = best is not None and best.clear
    outside = bool(flows) and not helped
    evidence: dict[str, float | int | str] = {
        "share_learned": curve.learned,
        "loss_start": curve.start,
        "loss_end": curve.end,
        "loss_noise": curve.noise,
        "flat_since_step": since,
    }
    if not math.isnan(curve.chance) and is_plain(case.setting):
        evidence["loss_of_a_constant_answer"] = curve.chance
    if best is not None:
        evidence["best_twin_points"] = best.points
    message = _what(curve, since)
    if (
        curve.learned < NOTHING
        and is_plain(case.setting)
        and abs(curve.end - curve.chance) < NEAR * curve.chance
    ):
        message += f", about what guessing costs ({number(curve.chance, 3)})"
    alone = ""
    if outside:
        alone = "; every weight gets gradients and moves" + (
            "; whether another learning rate does better, the doctor can try"
            if best is None
            else ", and no twin does clearly better: this is not a matter of gradient flow but of the labels, the data "
            "or what the model can express"
        )
    little = curve.learned < (LITTLE if is_plain(case.setting) else NOTHING)
    in_vain = little and int(curve.steps[-1] - curve.steps[0]) + 1 >= ENOUGH_STEPS
    severity: Severity = "information" if outside and not in_vain else "risk"
    return Verdict(
        severity=severity,
        sites=(),
        first_step=since,
        evidence=evidence,
        message=message,
        alone=alone,
        strength=0.2,
        remedies=("look_at_the_data",) if outside else (),
    )


def _what(curve: Learning, since: int) -> str:
    """What the loss did, with the step at which it stopped where it came down before."""
    start, end = number(curve.start, 3), number(curve.end, 3)
    if since <= int(curve.steps[0]) or not curve.end < curve.start:
        return f"the loss has not fallen to speak of: it began at {start} and stands at {end}"
    return f"the loss fell from {start} to {end} by step {since} and has stood there since"


RULE = Rule(
    code="EF601",
    name="loss_plateau",
    title="The loss does not fall",
    judge=judge,
    remedies=("mend_the_cause",),
    follows_from=(
        "uncleared_gradient",
        *("bad_output_layer", "unnormalised_input", "symmetric_init", "lr_too_high", "dead_units"),
        *("saturated_activations", "vanishing_gradient", "correlation_collapse", "exploding_activations"),
        *(
            "exploding_gradient",
            "poor_init",
            "frozen_layers",
            "lr_too_low",
            "nonfinite_origin",
            "clipping_always_on",
        ),
    ),
    confidence=0.89,
    explanation=(
        "The loss stays where it began, at what guessing costs, or stopped far from good. Its cause is the finding it "
        "follows from; where gradients arrive everywhere, the weights move and no change of learning rate or input "
        "scale does better, it is not a matter of gradient flow: look at labels, data and what the model can express. "
        "So it is where the loss still falls, next to nothing was learned by it, and no twin does better."
    ),
)
