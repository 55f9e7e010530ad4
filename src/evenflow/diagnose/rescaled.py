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
from evenflow.diagnose.twins import Comparison


def unit_sized(case: Case, result: Outcome) -> Comparison | None:
    """The twin beside the training; None without one, or where both have failed, so that nothing is known."""
    try:
        start = learning(case).reference
    except MissingError:
        start = result.start
    return telling(case, "signals", start, result.learned)


def with_unit_sizes(verdict: Verdict | None, twin: Comparison | None) -> Verdict | None:
    """A verdict with the twin's figure: a fault no more where the twin is no better."""
    if verdict is None or twin is None:
        return verdict
    points = {"unit_signals_twin_points": twin.points}
    if not twin.clear:
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
