"""Two prescriptions as one: which go together, and in which order they are carried out."""

from __future__ import annotations

from evenflow.prescribe.prescription import Code, Prescription, Training

_ORDER: dict[str, int] = {
    # What takes parameters or layers by their names comes before what puts them, or the model, into others.
    "reinitialise": -1,
    "zero_biases": -1,
    "add_to_optimiser": 1,
    "unfreeze": 1,
    "lower_dropout": 1,
    "change_optimiser": 2,
    "lower_learning_rate": 3,
    "raise_learning_rate": 3,
    "lower_weight_decay": 3,
    "zero_gradients": 3,
    "warm_up": 4,
    "hold_learning_rate": 4,
    "raise_precision": 5,
    "standardise_input": 6,
    "check_inputs": 6,
    "remove_detach": 7,
    "pass_gradient_through": 7,
    "guard_operation": 7,
    "mend_loss": 8,
    "raise_clip_norm": 9,
    "clip_gradients": 9,
}
"""Place in the order; 0 for what changes the layers of a model."""
_RIVALS: tuple[frozenset[str], ...] = (
    frozenset(("lower_learning_rate", "raise_learning_rate", "change_optimiser")),
    frozenset(("clip_gradients", "raise_clip_norm")),
    frozenset(("warm_up", "hold_learning_rate")),
    frozenset(("change_activation", "add_activation")),
    frozenset(("standardise_input", "normalise_first_layer")),
    frozenset(("mend_output_layer", "mend_loss")),
    frozenset(("reinitialise", "zero_biases")),
    frozenset(("reinitialise", "change_activation")),  # which has forms with an initialisation of its own
)
"""Remedies that turn the same screw."""


def fit_together(one: Prescription, other: Prescription) -> bool:
    """Whether two prescriptions can be carried out both: two remedies, that do not do the same thing twice."""
    if one.remedy == other.remedy:
        return False
    return not any(one.remedy in rivals and other.remedy in rivals for rivals in _RIVALS)


def combined(one: Prescription, other: Prescription) -> Prescription:
    """Both, in the order in which they can be carried out."""
    first, second = sorted((one, other), key=lambda each: _ORDER.get(each.remedy, 0))

    def change(training: Training) -> Training:
        return second.change(first.change(training))

    def code() -> Code:
        return joined(first.code(), second.code())

    return Prescription(
        remedy=f"{first.remedy}+{second.remedy}",
        choice="+".join(each.choice for each in (first, second) if each.choice),
        title=f"{first.title}; {second.title[:1].lower()}{second.title[1:]}",
        why=f"one alone is not enough: {_clause(first.why)}; and {_clause(_beyond(first.why, second.why))}",
        sign=one.sign,
        change=change,
        code=code,
        size=max(first.size, second.size) + 1,
        inference=max(first.inference, second.inference),
        keeps_weights=first.keeps_weights and second.keeps_weights,
        parts=(first, second),
    )


def _beyond(first: str, second: str) -> str:
    """What a second reason says that a first one does not: both name the finding that they answer."""
    said = first.rstrip(".").split("; ")
    return "; ".join(part for part in second.rstrip(".").split("; ") if part not in said) or second


def _clause(why: str) -> str:
    """A sentence as part of another; what begins with a name in capitals stays as it is."""
    word = why.partition(" ")[0]
    return (why if word.isupper() and len(word) > 1 else f"{why[:1].lower()}{why[1:]}").rstrip(".")


def joined(first: Code, second: Code) -> Code:
    """The lines of both, one behind the other."""
    places = [first.place] if first.place == second.place else [first.place, second.place]
    return Code(
        snippet=f"# {first.place}\n{first.snippet.rstrip()}\n\n# {second.place}\n{second.snippet}",
        place="; then ".join(places),
        imports=tuple(dict.fromkeys((*first.imports, *second.imports))),
        parts=(first, second),
    )
