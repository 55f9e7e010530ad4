"""Remedies that a twin has tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evenflow.diagnose.twins import Comparison, compared
from evenflow.spec.setting import Setting
from evenflow.wording import number

Tried = tuple[Comparison, ...]

_OTHER_CHANGE: Mapping[str, str] = {
    "standardise_input": "inputs",
    "normalise_first_layer": "inputs",
    "cut_outliers": "outliers",
    "unfreeze": "unfrozen",
    "register_modules": "unfrozen",
    "add_to_optimiser": "unfrozen",
    "mend_output_layer": "output",
    "reinitialise": "weights",
}


def tried(remedy: str, setting: Setting) -> Tried:
    """The twins that did what a remedy says, the best first."""
    if remedy in ("lower_learning_rate", "raise_learning_rate"):
        lower = remedy == "lower_learning_rate"
        found: Iterable[Comparison] = (
            one for one in compared(setting, "learning_rate") if (one.trial.factor < 1.0) == lower
        )
    else:
        change = _OTHER_CHANGE.get(remedy, "")
        found = compared(setting, change) if change else ()
    return tuple(sorted(found, key=lambda one: -one.points))


def came_of_it(twins: Tried, what: str = "that") -> str:
    """What a twin says of a remedy, as the end of a sentence."""
    best = twins[0] if twins else None
    if best is None or not best.clear:
        return ""
    return f": with {what} the same training was {number(best.points)} points better"
