"""EF104: units that are silent for every sample, so many that the layer has nothing left to work with."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.case import Case, Series
from evenflow.diagnose.chance import has_a_floor
from evenflow.diagnose.finding import MissingError, Verdict
from evenflow.diagnose.layers import hidden_activations, silent_where_flat
from evenflow.diagnose.outcome import STUCK, outcome
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import Vector, beginning, middle, since
from evenflow.wording import decimal, named, number

_NEARLY_ALL = 0.9
"""Share of a layer's units; deep ReLU networks are born with a quarter to a half, and train well."""
_MANY = 0.7
"""Where it comes with a training that is stuck, and got here from less."""
_GREW = 0.2
"""By so much the share has to have grown to be something that happened in the training."""
_USUAL = 0.5


def judge(case: Case) -> Verdict | None:
    """The share of dead units of each hidden activation at the start and at the end, and the outcome."""
    dead = hidden_activations(case, "dead_fraction")
    silent = np.flatnonzero(silent_where_flat(case, dead))
    if not len(silent):
        return None
    dead = Series(dead.steps, tuple(dead.sites[place] for place in silent), dead.values[:, silent])
    result = outcome(case)
    start = beginning(dead.values)
    end = middle(dead.values[-max(len(dead) // 10, 3) :])
    worst = int(np.nanargmax(end)) if np.isfinite(end).any() else 0
    share = float(end[worst])
    if math.isnan(share):
        return None
    limit = _NEARLY_ALL if _alive(dead, end, worst) > 1.0 else _MANY
    grew = share - float(start[worst])
    if (share >= limit and result.poor) or (share >= _MANY and grew >= _GREW and result.learned < STUCK):
        severity = "fault"
    elif share >= _NEARLY_ALL or (share >= _MANY and grew >= 2 * _GREW):
        severity = "risk" if share < 1.0 or result.learned < 0.9 else None
    else:
        return None
    if severity is None:
        return None
    # How much was learned is then not known from the loss, and a layer with units left does some of the work.
    on_its_way = result.improving and not result.diverged and result.learned >= STUCK
    if severity == "fault" and on_its_way and share < 1.0 and has_a_floor(case.setting):
        severity = "risk"
    concerned = min(_MANY, share)
    order = [place for place in np.argsort(-end, kind="stable") if end[place] >= concerned]
    onset = _onset(case, dead, worst, max(_USUAL, 0.9 * share))
    born = onset == int(case.steps[0])
    return Verdict(
        severity=severity,
        sites=tuple(dead.names[place] for place in order[:8]),
        message=(
            f"{decimal(100 * share, 0)} % of the {dead.sites[worst].units} units of {named(dead.names[worst])} are "
            f"silent for every sample, {'from the start' if born else f'since step {onset}'}"
            + (f", and {result.words}." if severity == "fault" else "; the others do the work.")
        ),
        evidence={
            "dead_fraction": share,
            "dead_fraction_at_start": float(start[worst]),
            "units_alive": number(_alive(dead, end, worst)),
            "layers_concerned": len(order),
            "share_learned": result.learned,
        },
        first_step=onset,
        strength=min(max((share - _USUAL) / (1.0 - _USUAL), 0.0), 1.0),
    )


def _alive(dead: Series, end: Vector, place: int) -> float:
    return (1.0 - float(end[place])) * dead.sites[place].units


def _onset(case: Case, dead: Series, place: int, limit: float) -> int:
    """The first step from which the share stays above the limit.

    A unit is called dead only after a window of samples; the share of zeros, which is no less, tells at once.
    """
    try:
        zeros = case.series("zero_fraction", "activation")
        shown, column = zeros.steps, zeros.values[:, zeros.names.index(dead.names[place])]
    except (MissingError, ValueError):
        shown, column = dead.steps, dead.values[:, place]
    onset = since(shown, column < limit)
    return int(dead.steps[-1]) if onset is None else onset


RULE = Rule(
    code="EF104",
    name="dead_units",
    title="units that are silent for every sample, and get no gradient to come back",
    judge=judge,
    remedies=("lower_learning_rate", "change_activation", "reinitialise", "add_normalisation", "zero_biases"),
    follows_from=(
        "uncleared_gradient",
        "unnormalised_input",
        "bad_output_layer",
        "symmetric_init",
        "poor_init",
        "lr_too_high",
        "exploding_gradient",
        "exploding_activations",
    ),
    confidence=0.98,
    explanation=(
        "A rectified unit whose pre-activation is below 0 for every sample gives 0 and gets no gradient, so it never "
        "comes back. Half of the units of a deep ReLU network may be so from the start without harm; where a whole "
        "layer is, nothing before it can learn. A unit of a tanh or the like that lies in a flat part is saturated and "
        "not dead: it says something, if always the same."
    ),
)
