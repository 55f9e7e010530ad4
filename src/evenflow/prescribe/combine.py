"""Two prescriptions as one: which go together, and in which order they are carried out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

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
    "raise_epsilon": 3,
    "raise_learning_rate": 3,
    "lower_weight_decay": 3,
    "zero_gradients": 3,
    "warm_up": 4,
    "hold_learning_rate": 4,
    "raise_precision": 5,
    "standardise_input": 6,
    "standardise_target": 6,
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
    """Whether prescriptions can be carried out both: other remedies, that do not do the same thing twice."""
    names, others = ({each.remedy for each in _parts(given)} for given in (one, other))
    return not names & others and not any(names & rivals and others & rivals for rivals in _RIVALS)


def _parts(one: Prescription) -> tuple[Prescription, ...]:
    return one.parts or (one,)


def combined(one: Prescription, other: Prescription) -> Prescription:
    """Both, or all that they are made of, in the order in which they can be carried out."""
    parts = sorted((*_parts(one), *_parts(other)), key=lambda each: _ORDER.get(each.remedy, 0))

    def change(training: Training) -> Training:
        for each in parts:
            training = each.change(training)
        return training

    first, *rest = parts
    titles = (f"{each.title[:1].lower()}{each.title[1:]}" for each in rest)
    reasons = [_clause(first.why)]
    for before, each in pairwise(parts):
        reasons.append(_clause(_beyond(before.why, each.why)))
    return Prescription(
        remedy="+".join(each.remedy for each in parts),
        choice="+".join(each.choice for each in parts if each.choice),
        title="; ".join((first.title, *titles)),
        why=f"one alone is not enough: {'; and '.join(reasons)}",
        sign=one.sign,
        change=change,
        code=lambda: reduce(joined, [each.code() for each in parts]),
        size=max(each.size for each in parts) + len(rest),
        inference=max(each.inference for each in parts),
        keeps_weights=all(each.keeps_weights for each in parts),
        parts=tuple(parts),
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
    imports = _merged((*first.imports, *second.imports))
    parts = (*(first.parts or (first,)), second)
    if len({part.place for part in parts}) == 1:
        return Code(f"{first.snippet.rstrip()}\n\n{second.snippet}", first.place, imports, parts=parts)
    groups: list[list[Code]] = []
    for part in parts:
        if groups and groups[-1][0].place == part.place:
            groups[-1].append(part)
        else:
            groups.append([part])
    blocks = [
        "\n".join([f"# {some[0].place}", "\n\n".join(part.snippet.rstrip() for part in some)])
        for some in groups
    ]
    return Code(
        "\n\n".join(blocks) + "\n", "; then ".join(some[0].place for some in groups), imports, parts=parts
    )


def _merged(imports: Sequence[str]) -> tuple[str, ...]:
    """Lines of imports, one for each module.

    >>> _merged(["import torch", "from torch import nn", "from torch import Tensor, nn", "import torch"])
    ('import torch', 'from torch import Tensor, nn')
    """
    found: dict[str, set[str]] = {}
    for line in imports:
        head, _, names = line.partition(" import ") if line.startswith("from ") else (line, "", "")
        found.setdefault(head, set()).update(names.split(", ") if names else ())
    return tuple(
        f"{head} import {', '.join(sorted(names))}" if names else head for head, names in found.items()
    )
