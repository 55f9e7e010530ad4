"""EF405: a gradient that nothing sets to zero, so that every step goes along the sum of all gradients so far."""

from __future__ import annotations

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import Verdict
from evenflow.diagnose.outcome import outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.twins import CLEARLY, own_trial

_FEWEST = 3
"""Steps in which it has to be seen."""
_WELL = 0.9
"""Share of the way from which on nothing can be ten points better."""


def judge(case: Case) -> Verdict | None:
    """What the probe saw when backward passes began; the outcome says how bad it is."""
    seen = case.setting.uncleared
    if seen < _FEWEST:
        return None
    result = outcome(case)
    own = own_trial(case.setting)
    near = own is not None and 100.0 * (1.0 - own.score) < CLEARLY
    well = not result.diverged and (near or result.learned >= _WELL)
    came_of_it = "the training learns in spite of it" if well else result.words
    return Verdict(
        severity="risk" if well else "fault",
        sites=(),
        message=(
            f"The gradient is not set to zero between steps: in each of {seen} steps the backward pass added to what "
            f"the step before had used, so every update goes along the sum of all gradients so far, and {came_of_it}."
        ),
        evidence={"steps_seen": seen, "share_learned": result.learned},
        first_step=1,
        strength=1.0,
        given=True,
    )


RULE = Rule(
    code="EF405",
    name="uncleared_gradient",
    title="the gradient is not set to zero between steps",
    judge=judge,
    remedies=("zero_gradients",),
    confidence=0.91,  # nine of nine trainings drawn for it, as the calibration half has none of it
    explanation=(
        "PyTorch adds each backward pass to `.grad`. Where nothing clears it between two steps of the optimiser, step "
        "t goes along g_1 + … + g_t: gradient descent with momentum 1, which is never damped. The loss swings, wider "
        "and wider, however small the learning rate. Micro-batches added up between two steps are no such thing."
    ),
)
