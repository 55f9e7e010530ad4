"""EF202: weights whose scale is far from what theory asks of this activation at this depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.drawing import DOUBTFUL, FAR, RECURRENT, Scale, far_sides, scales, units_alike
from evenflow.diagnose.finding import MissingError, NotApplicableError, Severity, Verdict
from evenflow.diagnose.layers import hidden_activations, matrices, two_sided
from evenflow.diagnose.outcome import POOR, Outcome, outcome
from evenflow.diagnose.redrawn import decides, drawn_anew, drawn_anew_words, twin_evidence
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.trends import beginning, decades, outer
from evenflow.diagnose.twins import Comparison
from evenflow.wording import named, number

_ABSURD = 3.0
"""Loss at the start in units of chance; drawn by theory, logits are of order 1, and this is 1 to 1.5."""
_HARDLY = math.log10(1.5)
"""Decades by which weights may be off while their signs are the matter."""
_FLAT = 0.3
_LOST = -1.5
"""Decades of the loss that the first layers' matrices move, see `vanishing_gradient`."""
_TROUBLE, _TROUBLE_ABSURD = 0.6, 0.85
"""What may be learned in spite of it, before it is a fault no more; more where the loss began ten times that of a guess
and is not below it yet."""


def judge(case: Case) -> Verdict | None:
    """Each layer's spread against theory and habit, its product over depth; the twin drawn anew, or what shows."""
    found = scales(case.setting)
    if not found:
        if case.examined:
            raise NotApplicableError("no layer's weights have a spread that could be too large or too small")
        raise MissingError(
            "the spread of the weights at the start is not known; the doctor and `evenflow watch` put it on record"
        )
    twin = drawn_anew(case)
    alone = decides(case, twin) and not units_alike(case.setting.layers)
    sides = far_sides(found, DOUBTFUL if alone else FAR)
    if not sides:
        return None
    side = max(sides, key=lambda one: abs(sum(scale.total for scale in one)))
    large = any(scale.off > 0 or scale.one_sign for scale in side)
    result = outcome(case)
    shows = _shows_large(case, side, result) if large else _shows_small(case)
    if alone:
        return _verdict(case, side, shows, result, "fault", twin)
    absurd = result.absurd_start > 10.0 and result.end > result.chance
    limit = _TROUBLE_ABSURD if large and absurd else _TROUBLE if large else POOR
    if not shows or not (result.diverged or result.learned < limit):
        return None
    return _verdict(case, side, shows, result, "fault" if twin is None or twin.clear else "risk", twin)


def _shows_large(case: Case, side: Sequence[Scale], result: Outcome) -> str:
    """What at the start comes of weights too large, in words; "" if nothing does."""
    if result.absurd_start >= _ABSURD:
        return f"the loss begins at {number(result.start, 3)}, {number(result.absurd_start)} times that of a guess"
    try:
        flat = hidden_activations(case, "saturated_fraction")
        shares = np.where(two_sided(case, flat), beginning(flat.values), np.nan)
        if np.isfinite(shares).any() and np.nanmax(shares) >= _FLAT:
            return f"{number(100 * float(np.nanmax(shares)))} % of the activations are flat from the start"
    except MissingError:
        pass
    if any(scale.layer.type in RECURRENT and scale.total >= FAR.product for scale in side):
        return "the state is multiplied up at every time step"
    return ""


def _shows_small(case: Case) -> str:
    """What at the start comes of weights too small."""
    found = matrices(case)
    loss = float(case.loss.values[0, 0]) if np.isfinite(case.loss.values[0, 0]) else 1.0
    first, _ = outer(decades(found.start(found.pull(loss))))
    if first <= _LOST:
        return f"all of the first layers together move {number(10**first)} of the loss"
    return ""


def _verdict(
    case: Case,
    side: Sequence[Scale],
    shows: str,
    result: Outcome,
    severity: Severity,
    twin: Comparison | None,
) -> Verdict:
    order = sorted(side, key=lambda scale: -abs(scale.off))
    worst = order[0]
    if abs(worst.off) < _HARDLY:
        worst = next((scale for scale in order if scale.one_sign), worst)
    total = sum(scale.total for scale in side)
    signs = f"nearly all of one sign (mean {number(worst.layer.weight_mean)})" if worst.one_sign else ""
    asked = (
        "any table of embeddings is drawn"
        if worst.is_table
        else f"its {worst.layer.activation or 'linear'} units ask for"
    )
    scale = (
        f"{number(10 ** abs(worst.off))} times {'larger' if worst.off > 0 else 'smaller'} than {asked} "
        f"(standard deviation {number(worst.layer.weight_std)}, "
        f"not {number(worst.should_be)})"
    )
    depth = f", {number(10 ** abs(total))} times over the whole depth"
    what = signs if signs and abs(worst.off) < _HARDLY else f"{scale}{' and ' if signs else ''}{signs}{depth}"
    came_of_it = ", and ".join(
        part for part in (shows, result.words if severity == "fault" else "", drawn_anew_words(twin)) if part
    )
    return Verdict(
        severity=severity,
        sites=tuple(scale.layer.name for scale in order if abs(scale.off) > 0.1 or scale.one_sign)[:8],
        message=(f"The weights of {named(worst.layer.name)} are {what}; {came_of_it}."),
        evidence={
            "weight_std": worst.layer.weight_std,
            "expected_std": worst.should_be,
            "decades_off": worst.off,
            "decades_off_over_depth": total,
            "layers_concerned": len(side),
            "loss_at_start_over_chance": result.absurd_start,
            "share_learned": result.learned,
        }
        | twin_evidence(twin),
        first_step=int(case.steps[0]) if len(case.steps) else None,
        strength=min(abs(total) / 6.0 + 0.3, 1.0),
    )


RULE = Rule(
    code="EF202",
    name="poor_init",
    title="weights whose scale is far from what theory asks of this activation at this depth",
    judge=judge,
    remedies=("reinitialise", "add_normalisation"),
    confidence=0.98,
    explanation=(
        "Forward and back, a layer multiplies the signal's variance by n Var(w) times a constant of its activation. "
        "He initialisation makes that 1 for ReLU, Glorot for what is linear around 0. Weights off by a factor r give "
        "r^L after L layers: signals that explode, saturate or die away before the first step."
    ),
)
