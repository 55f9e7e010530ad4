"""All remedies by name, one a file: each module named here defines `REMEDY`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from evenflow.errors import SpecError, suggest
from evenflow.prescribe.prescription import Remedy

_STEPS: tuple[str, ...] = (  # how far a step goes
    "lower_learning_rate",
    "raise_learning_rate",
    "warm_up",
    "hold_learning_rate",
    "change_optimiser",
    "raise_epsilon",
    "clip_gradients",
    "raise_clip_norm",
)
_DATA: tuple[str, ...] = (  # what goes in
    "standardise_input",
    "standardise_target",
    "check_inputs",
)
_MOVES: tuple[str, ...] = (  # which weights move, and by what
    "register_modules",
    "add_to_optimiser",
    "unfreeze",
    "remove_detach",
    "zero_gradients",
    "pass_gradient_through",
    "raise_precision",
    "lower_weight_decay",
    "lower_dropout",
)
_ENDS: tuple[str, ...] = (  # what becomes of the outputs
    "mend_loss",
    "guard_operation",
    "take_out_operation",
)
_LAYERS: tuple[str, ...] = (  # what the model is made of, and how it starts
    "change_activation",
    "add_activation",
    "reinitialise",
    "zero_biases",
    "open_forget_gates",
    "add_normalisation",
    "normalise_first_layer",
    "add_skip_connections",
    "scale_residual_branches",
    "pre_norm",
    "replace_recurrence",
    "mend_output_layer",
)
_MODULES = (*_STEPS, *_DATA, *_MOVES, *_ENDS, *_LAYERS)


def _collected() -> Mapping[str, Remedy]:
    remedies = [import_module(f"evenflow.prescribe.{module}").REMEDY for module in _MODULES]
    return {remedy.name: remedy for remedy in remedies}


REMEDIES: Mapping[str, Remedy] = _collected()
"""All remedies by name."""


def remedy_named(word: str) -> Remedy:
    """The remedy of this name.

    Raises:
        SpecError: there is none.

    >>> remedy_named("warm-up").name
    'warm_up'
    """
    key = word.strip().lower().replace("-", "_")
    if key in REMEDIES:
        return REMEDIES[key]
    near = suggest(key, REMEDIES)
    between = " There are" if near else "; there are"  # behind a question mark
    raise SpecError(f'remedy "{word}" is not known{near}{between} {", ".join(REMEDIES)}')
