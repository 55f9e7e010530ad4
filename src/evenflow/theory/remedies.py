"""What would bring a network's depth within reach: other initialisations, blocks, norms and activations, compared.

A depth counts as in reach where nothing that is known to stop the training of deep networks is predicted:

- the gradients of all hidden layers lie within one decade, and within two of the output layer's. What depth has
  no part in is taken off first: layer 1 may have as much more as it has more inputs (the norm of a weight's
  gradient grows with their root), and a branch with a factor s has s times the gradient;
- networks of this kind are alike: the standard deviation of a layer's ratio to the last one between seeds is
  below a decade;
- of the difference between two inputs, 1 - cos, at least e⁻⁶ arrives at the last hidden layer. That is the rule
  of 6 ξ_c layers (Schoenholz et al. 2017, section 5), read from the data's own correlations at every depth;
- no layer's signal has faded below 10⁻³ or grown above 10³ (root mean square).

They are necessary, not sufficient: training itself is not predicted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.spec.activation import activation
from evenflow.spec.initialisation import bias_draw, weight_draw
from evenflow.spec.plan import Plan
from evenflow.theory.losses import Gradient
from evenflow.theory.phases import SCALES_TRAINABLE
from evenflow.theory.propagate import Forecast, propagate
from evenflow.theory.recommend import CHAINS, Recommendation, recommended_initialisation
from evenflow.theory.wide import joins

Array = NDArray[np.float64]

SPAN = 1.0  # decades within which hidden layers lie
_BESIDE = 2.0  # decades from the output layer, whose shape differs and with it the size of its gradient
_UNLIKE = 1.0  # decades between seeds
_FADED, _GROWN = -3.0, 3.0  # log10 of a signal's root mean square
_OTHERS = ("relu", "gelu", "tanh", "selu")  # one of every family of the catalogue
_DISTINCT = 1e-12  # inputs whose 1 - cos is smaller on average count as one and the same


@dataclass(frozen=True)
class Remedy:
    """A change of a network, and what is predicted of the network so changed.

    Args:
        what: the change, in a phrase.
        change: fields of `Network` and their new values.
        initialisation: the recommended one, where the change includes it; no field of `Network` can say it.
        ratio_log10: log10 of the first layer's gradient norm over the last one's, the mean over seeds.
        deviation: its standard deviation between seeds.
        worst_log10: the same ratio of the layer that is furthest from the last one, up or down.
        worst_layer: number of that layer.
        obstacle: why the depth is out of reach; empty where it is in reach.
        warnings: of the prediction, one sentence each.
    """

    what: str
    change: Mapping[str, Any] = field(default_factory=dict)
    initialisation: Recommendation | None = None
    ratio_log10: float = math.nan
    deviation: float = math.nan
    worst_log10: float = math.nan
    worst_layer: int = 0
    obstacle: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def in_reach(self) -> bool:
        """Whether nothing is predicted that stops training at this depth."""
        return not self.obstacle

    @property
    def changes(self) -> int:
        """How many things are changed; weights and biases count as one."""
        fields = {"initialisation" if name == "bias_initialisation" else name for name in self.change}
        return len(fields) + (self.initialisation is not None)


def remedies(
    plan: Plan, inputs: Array, gradient: Gradient, recommendation: Recommendation
) -> tuple[Remedy, ...]:
    """Changes of a network, ranked by how flat the predicted gradient is.

    Those in reach come first; then the smaller |`worst_log10`|, to a tenth of a decade, which is what the draws
    leave uncertain; then the fewer changes.

    Args:
        plan: the network.
        inputs: the batch, shape (samples, features).
        gradient: of the loss with respect to the logits.
        recommendation: the initialisation recommended for the network as it is.
    """
    found = [assess(recommendation.plan, inputs, gradient, "recommended initialisation", {}, recommendation)]
    for what, change, redrawn in _candidates(plan, recommendation):
        changed = apply(plan, change)
        chosen = None
        if redrawn:
            try:
                chosen = recommended_initialisation(changed, inputs, gradient)
            except SpecError:
                continue
            changed = chosen.plan
        if changed != plan:
            found.append(assess(changed, inputs, gradient, what, change, chosen))
    return tuple(sorted(found, key=_rank))


def assess(
    plan: Plan,
    inputs: Array,
    gradient: Gradient,
    what: str = "as it is",
    change: Mapping[str, Any] | None = None,
    initialisation: Recommendation | None = None,
) -> Remedy:
    """Predict one network and say whether its depth is in reach; one that cannot be predicted is not."""
    change = dict(change or {})
    forecast = initialisation.forecast if initialisation else None
    if forecast is None:
        try:
            forecast = propagate(plan, inputs, gradient, chains=CHAINS)
        except SpecError as error:
            return Remedy(what, change, initialisation, obstacle=f"it cannot be predicted, {error}")
    ratio = forecast.weight.mean - forecast.weight.mean[-1]
    worst = int(np.argmax(np.abs(ratio)))
    return Remedy(
        what,
        change,
        initialisation,
        float(ratio[0]),
        float(forecast.weight.ratio_deviation[0]),
        float(ratio[worst]),
        worst + 1,
        _obstacle(plan, inputs, forecast, ratio),
        forecast.warnings,
    )


def apply(plan: Plan, change: Mapping[str, Any]) -> Plan:
    """The plan of a network of which some fields are changed; see `Remedy.change`.

    Args:
        change: of `activation` (one name), `initialisation` and `bias_initialisation` (only both together),
            `normalisation`, `normalisation_position`, `residual` and `residual_scale`.
    """
    layers, before = [], "identity"
    for layer in plan.layers:
        hidden = layer.activation is not None
        if hidden and "activation" in change:
            layer = replace(layer, activation=activation(change["activation"]))
        if "initialisation" in change:
            weights = weight_draw(change["initialisation"], layer.fan_in, layer.fan_out, before)
            biases = bias_draw(change["bias_initialisation"], change["initialisation"], layer.fan_in)
            layer = replace(
                layer,
                weight_variance=weights.mean_square(layer.fan_in, layer.fan_out),
                bias_variance=biases.scale**2 if layer.bias else 0.0,
                orthogonal=weights.distribution == "orthogonal",
            )
        if hidden and "normalisation" in change:
            layer = replace(layer, normalisation=change["normalisation"])
        if "normalisation_position" in change:
            layer = replace(layer, after=change["normalisation_position"] == "after")
        layers.append(layer)
        before = layer.activation or before
    return Plan(
        tuple(layers),
        change.get("residual", plan.residual),
        change.get("residual_scale", plan.residual_scale),
    )


def verdict(plan: Plan, current: Remedy, ranked: tuple[Remedy, ...]) -> str:
    """Whether the depth is in reach, and what would bring it in, in one or two sentences."""
    depth = len(plan.hidden)
    if current.in_reach:
        return f"Depth {depth} is in reach as it is."
    said = f"Depth {depth} is out of reach as it is: {current.obstacle}."
    best: dict[str, str] = {}
    for one in ranked:
        if one.in_reach:
            best.setdefault(_kind(one), one.what)
    if not best:
        return (
            f"{said} No change that was looked at brings it in; the flattest gradient has: {ranked[0].what}."
        )
    return f"{said} Brought in, the flattest gradient first, by: {'; '.join(best.values())}."


def _kind(remedy: Remedy) -> str:
    """What is changed most: the verdict names the best of every kind."""
    kinds = ("activation", "normalisation", "residual", "residual_scale")
    return next((kind for kind in kinds if kind in remedy.change), "initialisation")


def _candidates(plan: Plan, recommendation: Recommendation) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """A phrase, the fields of the change, and whether weights are drawn anew as recommended for the result."""
    zero = {"bias_initialisation": "zero"}
    for name in ("gain", "he"):
        yield f"initialisation {name}", {"initialisation": name, **zero}, False
    inner = set(recommendation.draws[1:-1])
    if len(inner) == 1 and plan.residual == "none":
        weight, bias = inner.pop()
        biases = {"bias_initialisation": f"normal:{bias:.4g}"} if bias else zero
        name = f"orthogonal:{weight:.4g}"
        yield f"initialisation {name}", {"initialisation": name, **biases}, False
    branches = len(plan.hidden) - 1
    scaled = {"residual_scale": float(f"{1 / math.sqrt(max(1, branches)):.3g}")}
    if plan.residual == "none" and len(set(plan.widths)) == 1 and branches:
        skip = {"residual": "pre"}
        yield "residual pre", skip, False
        yield f"residual pre × {scaled['residual_scale']:g}", {**skip, **scaled}, False
    elif branches:
        skip = {}
        yield f"residual scale {scaled['residual_scale']:g}", scaled, False
    else:
        skip = {}
    if all(layer.normalisation == "none" for layer in plan.hidden):
        place = {"normalisation_position": "before"} if plan.hidden[0].after else {}
        layer_norm = {"normalisation": "layer", **place}
        yield "layer norm", layer_norm, False
        yield "layer norm, recommended initialisation", layer_norm, True
        yield "batch norm", {"normalisation": "batch", **place}, False
        if skip:
            yield "residual pre, layer norm", {**skip, **layer_norm}, False
    present = {layer.activation for layer in plan.hidden}
    for name in _OTHERS:
        if present != {activation(name)}:
            yield f"{name}, recommended initialisation", {"activation": name}, True


def _rank(remedy: Remedy) -> tuple[bool, float, int, float]:
    worst = math.inf if math.isnan(remedy.worst_log10) else abs(remedy.worst_log10)
    return not remedy.in_reach, round(worst, 1), remedy.changes, worst


def _obstacle(plan: Plan, inputs: Array, forecast: Forecast, ratio: Array) -> str:
    found = _gradient_obstacle(plan, ratio)
    if found:
        return found
    deviation = float(np.max(forecast.weight.ratio_deviation))
    if deviation > _UNLIKE:
        return f"seeds differ by a factor of 10^{deviation:.1f} (one standard deviation)"
    scale = np.asarray(forecast.scale.mean)
    if np.min(scale) < _FADED:
        return f"the signal fades to 10^{np.min(scale):.1f} in layer {int(np.argmin(scale)) + 1}"
    if np.max(scale) > _GROWN:
        return f"the signal explodes to 10^{np.max(scale):.1f} in layer {int(np.argmax(scale)) + 1}"
    given = _apart(inputs @ inputs.T)
    left = _apart(forecast.arguments[-1]) / given if given > _DISTINCT else 1.0
    if left < math.exp(-SCALES_TRAINABLE):
        shown = f"10^{math.log10(left):.1f}" if left > 1e-15 else "nothing"
        return f"inputs become alike, {shown} of their difference is left"
    return ""


def _gradient_obstacle(plan: Plan, ratio: Array) -> str:
    hidden = ratio[:-1].copy()
    if plan.residual_scale:
        joined = [joins(plan, number) for number in range(len(hidden))]
        hidden[joined] -= math.log10(abs(plan.residual_scale))
    if not np.isfinite(hidden).all():
        return "no gradient is predicted for every layer"
    more = max(0.0, 0.5 * math.log10(plan.layers[0].fan_in / plan.layers[-1].fan_in))
    # the first layer may have more, but need not
    hidden[0] -= min(more, max(0.0, hidden[0] - float(np.max(hidden[1:], initial=0.0))))
    low, high = int(np.argmin(hidden)), int(np.argmax(hidden))
    apart = float(hidden[high] - hidden[low])
    if apart > SPAN:
        if low < high:
            return f"the gradient vanishes, in layer {low + 1} it is 10^-{apart:.1f} of layer {high + 1}'s"
        return f"the gradient explodes, in layer {high + 1} it is 10^{apart:.1f} of layer {low + 1}'s"
    far = int(np.argmax(np.abs(hidden)))
    if abs(hidden[far]) > _BESIDE:
        return f"the gradient of layer {far + 1} is 10^{hidden[far]:.1f} of the output layer's"
    return ""


def _apart(covariance: Array) -> float:
    """Mean of 1 - cos over all pairs of samples; 0 for one sample."""
    root = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    cosine = covariance / np.outer(root, root)
    pairs = cosine[np.triu_indices(len(cosine), 1)]
    return max(0.0, float(np.mean(1 - pairs))) if len(pairs) else 0.0
