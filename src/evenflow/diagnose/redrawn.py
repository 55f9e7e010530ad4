"""What the twin with weights drawn anew says, for the rules whose root may lie in how the weights were drawn."""

from __future__ import annotations

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.learning import learning
from evenflow.diagnose.twins import CLEARLY, Comparison, best


def drawn_anew(case: Case) -> Comparison | None:
    """The twin whose weights are drawn as theory asks, beside the training; None where there is none."""
    try:
        start = learning(case).reference
    except MissingError:
        return best(case.setting, "weights")
    return best(case.setting, "weights", start)


def decides(case: Case, twin: Comparison | None) -> bool:
    """Whether the twin shows by itself that the weights are the root: clearly better, and than the other twins, too.

    Where inputs, output or what was frozen do as much for the training, they may be what is wrong, and weights only
    another way out; and units that are alike are drawn anew with the same stroke. A learning rate that suits such
    weights takes nothing away.
    """
    if twin is None or not twin.clear:
        return False
    others = [best(case.setting, change) for change in ("output", "inputs", "unfrozen")]
    return all(other is None or twin.points >= other.points + CLEARLY for other in others)


def drawn_anew_words(twin: Comparison | None) -> str:
    """What the twin says, as a part of a sentence; "" without one."""
    if twin is None:
        return ""
    if twin.clear:
        return f"with weights drawn anew the same training is {twin.points:.0f} points better"
    return "with weights drawn anew the same training is not clearly better"


def twin_evidence(twin: Comparison | None) -> dict[str, float | int | str]:
    """The same as a figure."""
    return {} if twin is None else {"redrawn_twin_points": twin.points}
