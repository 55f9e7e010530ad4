"""EF201: units that begin alike and stay alike, so that a whole layer has one feature."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from evenflow.diagnose.case import Case
from evenflow.diagnose.drawing import alike, alike_inputs, constant, units_alike, zero
from evenflow.diagnose.finding import MissingError, NotApplicableError, Verdict
from evenflow.diagnose.layers import linear_map
from evenflow.diagnose.outcome import outcome
from evenflow.diagnose.redrawn import drawn_anew, drawn_anew_words, twin_evidence
from evenflow.diagnose.rule import Rule
from evenflow.spec.setting import Layer
from evenflow.wording import decimal, listed, named

_TROUBLE = 0.8
"""With one feature a layer an easy problem can be half solved; what a fault costs shows against 1, not against 0."""


def judge(case: Case) -> Verdict | None:
    """Layers with units alike before the first step, in front of a layer that cannot tell them apart, or that stay 0.

    The gradient of a unit is what comes back through its outgoing weights, times its input. Units that begin alike
    become different as soon as their outgoing weights differ; a single constant layer, such as a last layer or a
    residual branch that begins at 0, is made different by its neighbours.
    """
    layers = [layer for layer in case.setting.layers if linear_map(layer)]
    if not layers:
        if case.examined:
            raise NotApplicableError("no layer is a matrix between units")
        raise MissingError(
            "the weights at the start are not known; the doctor and `evenflow watch` put them on record"
        )
    if all(np.isnan(layer.distinct_units) for layer in layers):
        raise MissingError("how alike the units are was not read of any layer")
    found = units_alike(layers)
    if not found:
        return None
    result = outcome(case)
    twin = drawn_anew(case)
    stays = _stay(case, layers, found)
    costs = (result.diverged or result.learned < _TROUBLE) if twin is None else twin.clear
    if stays and costs:
        severity = "fault"
    elif stays or result.stuck:
        severity = "risk"
    else:
        return None
    shown = stays or found
    worst = min(shown, key=lambda layer: layer.distinct_units)
    same = (
        "all weights are 0"
        if zero(worst)
        else "all weights are the same"
        if constant(worst)
        else "units are alike"
    )
    return Verdict(
        severity=severity,
        sites=tuple(layer.name for layer in shown[:8]),
        message=(
            f"In {listed([named(layer.name) for layer in shown], most=3)} {same} before the first step, so that "
            f"their units get the same gradient and stay alike"
            + (f"; {result.words}" if severity == "fault" else "")
            + (f"; {told}." if (told := drawn_anew_words(twin)) else ".")
        ),
        evidence={
            "distinct_units": f"{decimal(100 * worst.distinct_units, 0)} %",
            "weight_mean": worst.weight_mean,
            "weight_std": worst.weight_std,
            "layers_concerned": len(shown),
            "share_learned": result.learned,
        }
        | twin_evidence(twin),
        first_step=int(case.steps[0]) if len(case.steps) else None,
        strength=1.0 if severity == "fault" else 0.4,
    )


def _stay(case: Case, layers: Sequence[Layer], found: Sequence[Layer]) -> list[Layer]:
    """Those of the layers alike that nothing makes different."""
    silent = _without_gradient(case)
    behind = {layer.name: after for layer, after in pairwise(layers)}
    return [
        layer
        for layer in found
        if alike_inputs(behind[layer.name])
        or (alike(behind[layer.name]) and behind[layer.name] is not layers[-1])
        or (zero(layer) and layer.name in silent)
    ]


def _without_gradient(case: Case) -> frozenset[str]:
    """Names of the modules whose weights had a gradient of exactly 0 at every recorded step."""
    try:
        gradient = case.series("grad_norm", "weight")
    except MissingError:
        return frozenset()
    zero = np.all((gradient.values == 0) | np.isnan(gradient.values), axis=0)
    return frozenset(
        name.rpartition(".")[0] for name, nothing in zip(gradient.names, zero, strict=True) if nothing
    )


RULE = Rule(
    code="EF201",
    name="symmetric_init",
    title="units that begin alike and stay alike",
    judge=judge,
    remedies=("reinitialise",),
    confidence=0.89,
    explanation=(
        "Two units with the same incoming and the same outgoing weights compute the same, get the same gradient and "
        "are the same for ever: the layer is as good as one unit. With all weights 0 not even that learns, since the "
        "gradient of each layer is multiplied by the weights of the next. Weights drawn at random break the symmetry."
    ),
)
