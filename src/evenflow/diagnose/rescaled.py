"""What the twin with signals of unit size says of signals and gradients that grow over depth.

Growth is a fault by what it costs. Where the twin is clearly better, it costs that much, however far the training
has come in spite of it; where it is not, though one of the two has learned, the growth is harmless.
"""

from __future__ import annotations

import math
from dataclasses import replace

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.learning import learning
from evenflow.diagnose.outcome import Outcome
from evenflow.diagnose.redrawn import telling
from evenflow.diagnose.twins import CLEARLY, Comparison, best
from evenflow.wording import number

ABSURD = 10.0
"""Loss in units of a guess's, that weights and inputs of usual scale stay below from the start."""


def unit_sized(case: Case, result: Outcome) -> Comparison | None:
    """The twin beside the training; None without one, or where both have failed, so that nothing is known."""
    try:
        start = learning(case).reference
    except MissingError:
        start = result.start
    return telling(case, "signals", start, result.learned)


def costs(result: Outcome, twin: Comparison | None) -> bool:
    """Whether the growth costs something: the twin is clearly better.

    Where the loss begins and still ends at ten times a guess's, half as much is enough, if the twin's is ten times
    lower: such answers are right by accident, and how many are is no measure of what the growth costs.
    """
    if twin is None or twin.clear:
        return twin is not None
    absurd = result.absurd_start > ABSURD and result.end > ABSURD * result.chance > 0.0
    return absurd and twin.points >= CLEARLY / 2 and twin.loss * ABSURD < twin.own_loss


def with_unit_sizes(verdict: Verdict | None, twin: Comparison | None, result: Outcome) -> Verdict | None:
    """A verdict with the twin's figure: a fault no more where the twin is no better."""
    if verdict is None or twin is None:
        return verdict
    points = {"unit_signals_twin_points": twin.points}
    if not costs(result, twin):
        words = "the same training from signals of unit size is not clearly better"
        severity = "risk" if verdict.severity == "fault" else verdict.severity
    else:
        words = f"from signals of unit size the same training is {twin.words}"
        severity = verdict.severity
    return replace(
        verdict,
        severity=severity,
        message=f"{verdict.message.rstrip('. ')}; {words}.",
        evidence={**verdict.evidence, **points},
    )


def by_the_twin(case: Case, result: Outcome, twin: Comparison | None) -> Verdict | None:
    """Where no activation shows it, as in a chain of linear layers: an absurd start that unit sizes alone mend."""
    if twin is None or not twin.clear or not result.absurd_start > ABSURD:
        return None
    others = [
        best(case.setting, change) for change in ("weights", "inputs", "output", "unfrozen", "learning_rate")
    ]
    if any(other is not None and other.points > twin.points - CLEARLY for other in others):
        return None
    layers = [layer.name for layer in case.setting.layers if layer.used]
    return Verdict(
        severity="fault",
        sites=tuple(layers[-1:]),
        message=(
            f"The signals grow on their way to the output: before the first step the loss is "
            f"{number(result.start, 3)}, {number(result.absurd_start)} times that of a guess; from signals of unit "
            f"size the same training is {twin.words}, and {result.words}."
        ),
        evidence={
            "loss_at_start_over_chance": result.absurd_start,
            "unit_signals_twin_points": twin.points,
            "share_learned": result.learned,
        },
        first_step=int(case.steps[0]),
        strength=min(math.log10(result.absurd_start) / 4.0, 1.0),
    )
