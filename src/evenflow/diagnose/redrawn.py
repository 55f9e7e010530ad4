"""What the twin with weights drawn anew says, for the rules whose root may lie in how the weights were drawn.

Where it is clearly better the start is the root, and drawing it anew the remedy; where it is not, the root lies
elsewhere, in the architecture, the activation or the steps, and a remedy that has been tried in vain is not named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.learning import learning
from evenflow.diagnose.outcome import POOR, STUCK
from evenflow.diagnose.twins import CLEARLY, Comparison, best, compared, skill_of

REMEDY = "reinitialise"


def drawn_anew(case: Case) -> Comparison | None:
    """The twin whose weights are drawn as theory asks, beside the training; None where it has nothing to say."""
    try:
        curve = learning(case)
        start, learned = curve.reference, curve.learned
    except MissingError:
        start, learned = math.nan, math.nan
    return telling(case, "weights", start, learned)


def telling(case: Case, change: str, start: float, learned: float) -> Comparison | None:
    """The best twin with a change, beside the training; None where it has nothing to say.

    That a twin is no better clears what it changed where one of the two has learned, or the training has learned
    something and is clearly ahead. Where both have failed, as in a problem that takes longer than the trial to begin
    with, or by a second fault, nothing is known.

    Args:
        case: that is judged.
        change: of the twins.
        start: the loss at which learning begins.
        learned: share of what can be learned that the training did.
    """
    twin = best(case.setting, change, start)
    if twin is None or twin.clear or learned >= POOR or _learned(twin, start) >= POOR:
        return twin
    return twin if twin.points <= -CLEARLY and learned >= STUCK else None


def _learned(twin: Comparison, start: float) -> float:
    """Of what can be learned, the share that a twin did: by its score, by its loss where it has none."""
    skill = skill_of(twin.trial)
    return (start - twin.loss) / start if math.isnan(skill) and start > 0.0 else skill


def with_the_twin(verdict: Verdict, case: Case, remedies: Sequence[str]) -> Verdict:
    """A verdict with what the twin says: its figure, a word where it is better, and the remedies that are left.

    Args:
        verdict: of a rule.
        case: that was judged.
        remedies: of the rule, for a verdict without its own.
    """
    own = tuple(verdict.remedies or remedies)
    twin = drawn_anew(case) if REMEDY in own and verdict.severity == "fault" else None
    if twin is None:
        return verdict
    message, others = verdict.message, tuple(one for one in own if one != REMEDY)
    if twin.clear and not verdict.evidence.keys() & twin_evidence(twin).keys():
        message = f"{message.rstrip('. ')}; {drawn_anew_words(twin)}."
    return replace(
        verdict,
        message=message,
        evidence={**verdict.evidence, **twin_evidence(twin)},
        remedies=(REMEDY, *others) if twin.clear else others or own,
    )


def decides(case: Case, twin: Comparison | None) -> bool:
    """Whether the twin shows by itself that the weights are the root: clearly better, and than the other twins, too.

    Where inputs, output or what was frozen do as much for the training, they may be what is wrong, and weights only
    another way out. A learning rate that suits such weights takes nothing away, unless a lower one does even better.
    """
    if twin is None or not twin.clear:
        return False
    others = [best(case.setting, change) for change in ("output", "inputs", "unfrozen")]
    lower = [one for one in compared(case.setting, "learning_rate") if one.trial.factor < 1]
    return all(other is None or twin.points >= other.points + CLEARLY for other in others) and all(
        twin.points >= one.points for one in lower
    )


def drawn_anew_words(twin: Comparison | None) -> str:
    """What the twin says, as a part of a sentence; "" without one."""
    if twin is None:
        return ""
    if twin.clear:
        return f"with weights drawn anew the same training is {twin.words}"
    return "with weights drawn anew the same training is not clearly better"


def twin_evidence(twin: Comparison | None) -> dict[str, float | int | str]:
    """The same as a figure, for the evidence."""
    return {} if twin is None else {"redrawn_twin_points": twin.points}
