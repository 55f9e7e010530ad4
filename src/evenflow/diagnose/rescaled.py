"""What the twin with signals of unit size says of signals and gradients that grow over depth.

Growth is a fault by what it costs. Where the twin is clearly better, it costs that much, however far the training
has come in spite of it; where it is not, though one of the two has learned, the growth is harmless.
"""

from __future__ import annotations

from dataclasses import replace

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.learning import learning
from evenflow.diagnose.outcome import Outcome
from evenflow.diagnose.redrawn import telling
from evenflow.diagnose.twins import CLEARLY, Comparison

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
