"""Remedies on a specification: the same changes, by the same names, as `prescribe` makes to a copy of a model.

A name is that of a remedy, or of one of its forms behind a colon: `add_normalisation`, `add_normalisation:batch`.
What a remedy cannot say on a specification at all, or not on this one, it refuses with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from evenflow.errors import SpecError, suggest
from evenflow.spec.activation import activation
from evenflow.spec.initialisation import weight_draw
from evenflow.spec.remedy_changes import CHANGES, Unfit
from evenflow.spec.specification import Specification

ALL = "all"
USUAL: Mapping[str, tuple[str, ...]] = {
    "lower_learning_rate": ("0.1",),
    "raise_learning_rate": ("10",),
    "warm_up": ("linear",),
    "change_optimiser": ("adam 0.001", "sgd 0.01"),
    "clip_gradients": ("norm",),
    "raise_clip_norm": ("none",),
    "standardise_input": ("features",),
    "lower_weight_decay": ("0",),
    "lower_dropout": ("0.1",),
    "change_activation": ("relu", "relu+he", "leaky_relu+he", "gelu+he"),
    "reinitialise": ("he", "xavier", "gain", "orthogonal"),
    "zero_biases": ("",),
    "add_normalisation": ("batch", "layer", "rms"),
    "add_skip_connections": ("plain", "scaled"),
    "scale_residual_branches": ("scaled",),
    "pre_norm": ("",),
    "open_forget_gates": ("1",),
    "replace_recurrence": ("lstm", "gru"),
}
"""The forms that a remedy's bare name stands for."""
NEVER: Mapping[str, str] = {
    "check_inputs": "a specification's data are generated or checked when they are loaded",
    "add_to_optimiser": "every parameter of a specification is in the optimiser",
    "register_modules": "a specification builds no module that its network does not know",
    "raise_epsilon": "the optimisers of a specification have the usual ε, in float32",
    "standardise_target": "the targets of a specification are classes",
    "unfreeze": "no parameter of a specification is frozen",
    "remove_detach": "nothing in a specification cuts the graph",
    "zero_gradients": "a study's own loop sets the gradients to zero",
    "hold_learning_rate": "the learning rate of a specification is constant behind its warm-up",
    "add_activation": "a specification has an activation behind every hidden layer",
    "pass_gradient_through": "no operation of a specification is without a derivative",
    "raise_precision": "a specification is trained in float32",
    "mend_loss": "a specification has one loss, cross-entropy of the logits",
    "guard_operation": "a specification has no operation that is written by hand",
    "take_out_operation": "a specification has no operation that is written by hand",
    "normalise_first_layer": "a specification normalises all hidden layers or none",
    "mend_output_layer": "the output layer of a specification is linear, with one unit a class",
}
"""Remedies without a counterpart among the fields of a specification, and why."""


def remedied(
    specification: Specification, name: str, measured: Mapping[str, float] | None = None
) -> Specification:
    """The specification with a remedy carried out.

    Args:
        specification: the original.
        name: of a remedy in one form, such as "change_activation:relu+he".
        measured: what a training has shown and a specification cannot know: `bound` of `clip_gradients`, `scale`
            of the remedies of residual branches. Without it the customary value is taken.

    Raises:
        SpecError: the name is not known, or the remedy cannot be carried out, with the reason.

    >>> remedied(Specification(), "add_skip_connections:plain").network.residual
    'pre'
    """
    try:
        fields = _fields(specification, name, measured or {})
        changed = specification.with_fields(fields)
        if changed == specification:
            raise Unfit("it is so already")
    except Unfit as reason:
        raise SpecError(f'remedy "{name}" cannot be carried out on this specification: {reason}') from None
    return changed


def why_not(specification: Specification, name: str) -> str:
    """Why a remedy cannot be carried out on a specification, without its name; "" where it can.

    >>> why_not(Specification(), "unfreeze")
    'no parameter of a specification is frozen'
    """
    try:
        remedied(specification, name)
    except SpecError as error:
        return str(error).partition(" cannot be carried out on this specification: ")[2] or str(error)
    return ""


def chosen(words: Iterable[str], place: str = "remedies") -> tuple[str, ...]:
    """The remedies that words stand for, one form each, in the order of the words and none twice.

    Args:
        words: names of remedies, which stand for their usual forms; names with a form; or "all".
        place: of the words, for error messages.

    Raises:
        SpecError: a word is not known, or can never be carried out on a specification.

    >>> chosen(["add_normalisation"])
    ('add_normalisation:batch', 'add_normalisation:layer', 'add_normalisation:rms')
    """
    found: dict[str, None] = {}
    for word in words:
        if word == ALL:
            found |= dict.fromkeys(_named(name, form) for name in USUAL for form in USUAL[name])
            continue
        name, colon, form = word.partition(":")
        if name in NEVER:
            raise SpecError(f'{place}: "{name}" cannot be carried out in a study: {NEVER[name]}')
        if name not in USUAL:
            raise SpecError(
                f'{place}: "{word}" is not known{suggest(name, (*USUAL, ALL))}; known: {ALL}, {", ".join(USUAL)}'
            )
        if colon:
            _check_form(name, form, place)
        found |= dict.fromkeys(_named(name, one) for one in ((form,) if colon else USUAL[name]))
    return tuple(found)


def _fields(specification: Specification, name: str, measured: Mapping[str, float]) -> Mapping[str, object]:
    remedy, _, form = name.partition(":")
    if remedy in NEVER:
        raise Unfit(NEVER[remedy])
    if remedy not in CHANGES:
        raise SpecError(
            f'remedy "{name}" is not known{suggest(remedy, (*USUAL, *NEVER))}; known: {", ".join(USUAL)}'
        )
    return CHANGES[remedy](specification, form, measured)


def _named(name: str, form: str) -> str:
    return f"{name}:{form}" if form else name


def _check_form(name: str, form: str, place: str) -> None:
    """Refuse a form that no specification understands, before anything runs."""
    words = {
        "clip_gradients": ("norm",),
        "raise_clip_norm": ("none",),
        "warm_up": ("linear",),
        "standardise_input": ("features",),
        "reinitialise": ("he", "xavier", "lecun", "gain", "orthogonal"),
        "add_normalisation": ("batch", "layer", "rms"),
        "add_skip_connections": ("plain", "scaled"),
        "scale_residual_branches": ("scaled",),
        "replace_recurrence": ("lstm", "gru"),
        "zero_biases": (),
        "pre_norm": (),
    }.get(name)
    if name == "change_activation":
        function, plus, weights = form.partition("+")
        try:
            activation(function)
            if plus:
                weight_draw(weights, 1, 1, function)
        except SpecError as error:
            raise SpecError(f"{place}: {name}: {error}") from None
    elif words is None or name == "raise_clip_norm":
        number = form.rpartition(" ")[2]
        if form not in (words or ()) and not _is_number(number):
            raise SpecError(f'{place}: "{name}:{form}": a number is needed, such as "{_example(name)}"')
    elif form not in words:
        known = f"; known: {', '.join(words)}" if words else "; it has one form only, without a colon"
        raise SpecError(f'{place}: "{name}:{form}" is not known{suggest(form, words)}{known}')


def _example(name: str) -> str:
    return _named(name, "10" if name == "raise_clip_norm" else USUAL[name][0])


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
