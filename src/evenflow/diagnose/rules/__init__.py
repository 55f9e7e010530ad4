"""The rules, one a file: each module named here defines `RULE`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from evenflow.diagnose.rule import Rule
from evenflow.errors import SpecError, suggest

__all__ = ["RULES", "rule_named"]

_SIGNALS: tuple[str, ...] = (  # EF1xx: what flows forward and back
    "vanishing_gradient",
    "exploding_gradient",
    "exploding_activations",
    "dead_units",
    "saturated_activations",
    "correlation_collapse",
    "not_zero_centred",
)
_START: tuple[str, ...] = (  # EF2xx: how the weights stand before the first step
    "symmetric_init",
    "poor_init",
)
_ENDS: tuple[str, ...] = (  # EF3xx: what goes in, what comes out
    "unnormalised_input",
    "bad_output_layer",
)
_STEPS: tuple[str, ...] = (  # EF4xx: what the optimiser does
    "lr_too_high",
    "lr_too_low",
    "frozen_layers",
)
_GRADIENTS: tuple[str, ...] = ("clipping_always_on", "uncleared_gradient")  # EF404, EF405
_OUTCOME: tuple[str, ...] = ("nonfinite_origin",)  # EF5xx and EF6xx: where a training ends up
_PLATEAU: tuple[str, ...] = ("loss_plateau",)  # EF601
_MODULES = (*_SIGNALS, *_START, *_ENDS, *_STEPS, *_GRADIENTS, *_OUTCOME, *_PLATEAU)


def _collected() -> Mapping[str, Rule]:
    rules = [import_module(f"{__name__}.{module}").RULE for module in _MODULES]
    return {rule.name: rule for rule in sorted(rules, key=lambda rule: rule.code)}


RULES: Mapping[str, Rule] = _collected()
"""All rules by name, in the order of their codes."""


def rule_named(word: str) -> Rule:
    """The rule of this name or code.

    Raises:
        SpecError: there is none.
    """
    key = word.strip().lower().replace("-", "_")
    for rule in RULES.values():
        if key in (rule.name, rule.code.lower()):
            return rule
    known = [*RULES, *(rule.code for rule in RULES.values())]
    raise SpecError(
        f"rule \"{word}\" is not known{suggest(key, known)}; 'evenflow rules' lists all {len(RULES)}"
    )
