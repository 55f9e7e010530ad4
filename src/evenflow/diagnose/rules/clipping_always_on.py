"""EF404: clipping that acts at every step, and strongly, so that it sets the length of every update."""

from __future__ import annotations

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.layers import adaptive
from evenflow.diagnose.outcome import POOR, outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import Vector
from evenflow.wording import decimal, number

_ACTS = 0.99
"""What clipping left of a gradient, below which it has acted: rounding stays above."""
_ALWAYS = 0.95
_STRONGLY = 0.1
"""A clipped step of plain gradient descent is one with so much less learning rate; a tenth is what makes a twin."""
_WORTH_A_WORD = 0.3


def judge(case: Case) -> Verdict | None:
    """The share of steps at which clipping acted, what it left, and whether the optimiser undoes it."""
    try:
        ratio = case.series("clip_ratio", "weight", phase="clipped")
    except MissingError:
        case.series(
            "grad_norm", "weight"
        )  # where gradients are on record and none was changed, nothing was clipped
        return None
    left = _left(ratio.values)
    left = left[np.isfinite(left)]
    if not len(left):
        return None
    acted, typical = float((left < _ACTS).mean()), float(np.median(left))
    if acted < _ALWAYS or typical > _WORTH_A_WORD:
        return None
    result = outcome(case)
    undone = adaptive(case) is True
    harm = result.learned < POOR and not result.diverged
    fault = harm and not undone and typical <= _STRONGLY
    return Verdict(
        severity="fault" if fault else "information",
        sites=ratio.names[:8],
        message=(
            f"Clipping acted at {decimal(100 * acted, 0)} % of the steps and left {number(typical)} of the gradient"
            + (
                f"; every step is as short as with {number(1 / typical)} times less learning rate, and {result.words}."
                if fault
                else ", which the optimiser makes up for."
                if undone
                else "; the training learns with steps of one length."
                if not harm
                else "."
            )
        ),
        evidence={
            "share_of_steps_clipped": acted,
            "median_share_left": typical,
            "share_learned": result.learned,
        },
        first_step=int(ratio.steps[0]),
        strength=1.0 if fault else min(-float(np.log10(max(typical, 1e-12))) / 4.0, 1.0),
    )


def _left(values: np.ndarray) -> Vector:
    """What was left at each step: the least of any weight, the same for all where the whole norm is clipped."""
    known = np.where(np.isfinite(values), values, np.inf)
    least = known.min(axis=1)
    return np.where(np.isfinite(least), least, np.nan)


RULE = Rule(
    code="EF404",
    name="clipping_always_on",
    title="clipping acts at every step, and strongly",
    judge=judge,
    remedies=("raise_clip_norm", "raise_learning_rate"),
    follows_from=(
        "unnormalised_input",
        "poor_init",
        "lr_too_high",
        "exploding_activations",
        "exploding_gradient",
    ),
    confidence=0.8,
    explanation=(
        "Clipping is there for the rare step that would break everything. Where it acts at every step, the gradient's "
        "length says nothing any more: plain gradient descent goes steps of a fixed length, however near the minimum "
        "is. An optimiser that divides by the gradient's size takes no notice."
    ),
)
