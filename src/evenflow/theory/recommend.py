"""The initialisation to begin with: critical where the activation has such a point, else the best that exists.

A layer behind an activation f keeps the variance q of pre-activations and the size of the gradient where

    σ_w² = 1/D        σ_b² = q - V/D        V = E[f²],  D = E[f'²] at q

(`critical`). Dropout of a share p divides V and D by 1 - p. A normalisation in front of f holds q at 1; one
behind f divides by the root of V (layer and batch normalisation: of the variance of f), so that V becomes 1 and
D shrinks with it. A skip alone keeps signals and gradients, so that each of L branches should add a share 1/L
(Zhang et al. 2019, Fixup; Hayou et al. 2021). The first layer divides by the second moment of the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.spec.plan import Plan, PlanLayer
from evenflow.theory.critical import CriticalLine, critical_line
from evenflow.theory.gaussian import moments
from evenflow.theory.losses import Gradient
from evenflow.theory.propagate import Forecast, propagate
from evenflow.theory.wide import joins

Array = NDArray[np.float64]
Draw = tuple[float, float]

CHAINS = 24  # enough to tell candidates apart: a standard error of some hundredths of a decade
_ABOVE = 1.25  # times the variance from which the line is stable, for there the slope is 1 and noise drifts
_VARIANCES = np.geomspace(0.1, 1e3, 33)  # among which the best is sought where no critical one exists


@dataclass(frozen=True)
class Recommendation:
    """An initialisation, layer by layer.

    Args:
        variance: q, of the pre-activations that it keeps.
        critical: whether gradients pass evenly however deep the network is; with a skip, whether they change
            by a bounded factor.
        draws: σ_w and σ_b of every linear map: its weights have standard deviation σ_w/√fan_in, its biases σ_b.
        plan: the network drawn so.
        reason: one sentence for people.
        forecast: of that plan, where it was needed to choose.
    """

    variance: float
    critical: bool
    draws: tuple[Draw, ...]
    plan: Plan
    reason: str
    forecast: Forecast | None = field(default=None, repr=False, compare=False)


def recommended_initialisation(plan: Plan, inputs: Array, gradient: Gradient) -> Recommendation:
    """The initialisation with which the gradient of this network should be flattest.

    Scale-invariant activations and those with a stable critical line take the critical point at q = 1, or the
    first that exists. Where the line is stable only above some q (GELU, SiLU), the point above it competes with
    weights that keep q = 1 without a bias, and where there is none (softplus), the variance is chosen at which
    such weights lose least over the network's own depth.

    Args:
        plan: the network; its own variances do not matter.
        inputs: the batch, shape (samples, features).
        gradient: of the loss with respect to the logits.

    Raises:
        SpecError: the inputs are all 0, an activation passes no signal, or its moments are not finite.
    """
    second = float(np.mean(np.square(inputs)))
    if not 0 < second < math.inf:
        raise SpecError(
            f"the inputs have second moment {second:g}; no initialisation of the first layer fits"
        )
    found = _candidates(plan, second)
    if len(found) == 1:
        return found[0]
    tried = [_predicted(one, inputs, gradient) for one in found]
    return min(tried, key=_tilt)


def _candidates(plan: Plan, second: float) -> list[Recommendation]:
    functions = tuple(dict.fromkeys(layer.activation for layer in plan.hidden if layer.activation))
    names = " and ".join(function.name for function in functions)
    if plan.residual == "pre":
        return [
            _drawn(
                plan, second, 1.0, True, "every branch beside the skip adds as little as keeps the whole even"
            )
        ]
    if any(layer.normalisation != "none" for layer in plan.hidden):
        if _bias_variance(plan, 1.0) >= 0:
            return [_drawn(plan, second, 1.0, True, f"behind its normalisation {names} is critical with it")]
        why = f"with this normalisation {names} has no critical initialisation; this one keeps variance 1"
        return [_drawn(plan, second, 1.0, False, why)]
    lines = [critical_line(function) for function in functions]
    starts = max(line.starts for line in lines)
    stable_from = max(line.stable_from for line in lines)
    if starts == math.inf:
        variance = _least_loss(plan)
        why = next(line.verdict for line in lines if line.starts == math.inf)
        why += f"; the least is lost with weights that keep variance {variance:.3g}, without a bias"
        return [_drawn(plan, second, variance, False, why)]
    if stable_from <= starts:
        where = " at any variance" if _any_variance(lines) else ", and the variance is stable"
        return [_drawn(plan, second, max(1.0, starts), True, f"with it {names} is critical{where}")]
    found = []
    if stable_from < math.inf:
        variance = max(1.0, _ABOVE * stable_from)
        why = f"with it {names} is critical, and stable too, for variance {variance:.3g} is above {stable_from:.3g}"
        found.append(_drawn(plan, second, variance, True, why))
    else:
        why = f"with it {names} is critical, but its variance is stable nowhere"
        found.append(_drawn(plan, second, max(1.0, starts), True, why))
    why = f"keeping variance 1 gives a flatter gradient at this depth than the critical point of {names}"
    return [*found, _drawn(plan, second, 1.0, False, why)]


def _any_variance(lines: list[CriticalLine]) -> bool:
    return all(line.kind == "scale-invariant" for line in lines)


def _drawn(plan: Plan, second: float, variance: float, critical: bool, reason: str) -> Recommendation:
    branches = max(1, sum(joins(plan, number) for number in range(len(plan.layers))))
    draws, layers = [], []
    for number, layer in enumerate(plan.layers):
        # in front of the first layer stands the data; its bias is that of the others
        weight, bias = _pair(plan.layers[max(0, number - 1)], variance, critical)
        if plan.residual == "pre":  # neither the signal nor the gradient of a branch may exceed the skip's
            weight, bias = min(weight, _pair(plan.layers[max(0, number - 1)], variance, False)[0]), 0.0
        if number == 0:
            weight = (variance - bias) / second
        elif layer.activation is None:
            bias = 0.0  # no activation behind the logits needs one
        elif joins(plan, number) and plan.residual_scale:
            # behind the sum of a block of the kind "post" the skip already passes a share of 1
            weight = weight / branches if plan.residual == "pre" else max(weight - 1, weight / branches)
            weight, bias = (one / plan.residual_scale**2 for one in (weight, bias))
        bias = bias if layer.bias else 0.0
        draws.append((math.sqrt(weight), math.sqrt(bias)))
        layers.append(
            replace(layer, weight_variance=weight / layer.fan_in, bias_variance=bias, orthogonal=False)
        )
    return Recommendation(variance, critical, tuple(draws), replace(plan, layers=tuple(layers)), reason)


def _pair(below: PlanLayer, variance: float, critical: bool) -> Draw:
    """σ_w² and σ_b² of a layer, from the one below it."""
    value, slope = _moments(below, variance)
    if not critical:
        return variance / value, 0.0
    if not slope > 0:
        return math.inf, 0.0
    return 1 / slope, max(0.0, variance - value / slope)


def _moments(layer: PlanLayer, variance: float) -> tuple[float, float]:
    """V and D of a hidden layer with its normalisation and dropout."""
    function = layer.activation
    assert function is not None
    at = moments(function, variance)
    value, slope = float(at.second), float(at.slope_second)
    if layer.normalisation != "none" and layer.after:
        size = value - (0.0 if layer.normalisation == "rms" else float(at.mean) ** 2)
        value, slope = (1.0, slope / size) if size > 0 else (0.0, 0.0)
    if not value > 0:
        raise SpecError(f'activation "{function.name}" puts out nothing that varies; no initialisation helps')
    kept = 1 - layer.dropout
    return value / kept, slope / kept


def _bias_variance(plan: Plan, variance: float) -> float:
    """The smallest σ_b² among the layers at a critical point; below 0 there is none."""
    found = [_moments(layer, variance) for layer in plan.hidden]
    return min(variance - value / slope if slope else -math.inf for value, slope in found) + 1e-12


def _least_loss(plan: Plan) -> float:
    """The variance that weights without a bias should keep, where the gradient dwindles at every variance.

    Two things tilt the gradients of the weights: χ₁ = q·D/V from layer to layer, which is nearest 1 for large
    variances, and the activations in front of the last layer, which grow with √V, those of the data not.
    """

    def loss(variance: float) -> float:
        found = [_moments(layer, variance) for layer in plan.hidden]
        lost = sum(abs(math.log(max(variance * slope / value, 1e-300))) for value, slope in found)
        return lost + abs(math.log(found[-1][0]))

    return float(min(_VARIANCES, key=lambda variance: loss(float(variance))))


def _predicted(one: Recommendation, inputs: Array, gradient: Gradient) -> Recommendation:
    try:
        return replace(one, forecast=propagate(one.plan, inputs, gradient, chains=CHAINS))
    except SpecError:  # the signal leaves the range of the kernels
        return one


def _tilt(one: Recommendation) -> float:
    """How far the gradients of hidden layers are apart, in decades, one standard deviation between seeds included.

    Layer 1 and the output layer are left out where others remain: their shapes differ, and what that makes of
    their gradients could make up for what depth does.
    """
    if one.forecast is None:
        return math.inf
    weight = one.forecast.weight
    inner = slice(1, -1) if len(weight.mean) > 3 else slice(None, -1)
    apart = np.abs(weight.mean[inner] - weight.mean[inner][-1])
    return float(np.max(apart + weight.ratio_deviation[inner]))
