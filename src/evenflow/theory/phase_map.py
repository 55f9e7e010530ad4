"""The phase diagram: χ₁ at the settled variance, for a whole plane of (σ_w², σ_b²) at once.

V(q) = E[f²] and D(q) = E[f'²] depend on the variance alone, so they are integrated once on a grid in log q. Where
a variance settles is then the next place at which σ_w²·V(q) + σ_b² - q changes sign, in the direction in which
the first layers move it (Poole et al. 2016, figure 1; Schoenholz et al. 2017, section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenflow.errors import SpecError
from evenflow.spec.activation import Activation, activation
from evenflow.spec.initialisation import bias_draw, weight_draw
from evenflow.spec.network import Network
from evenflow.theory.gaussian import moments
from evenflow.theory.meanfield import AT_ZERO, LEAST, NEUTRAL, check_draw, largest

Array = NDArray[np.float64]

_A_DECADE = 48  # variances, with straight lines between them


@dataclass(frozen=True, eq=False)
class PhaseMap:
    """What depth does to gradients at every point of the plane.

    Args:
        activation: its name.
        weight_variances, bias_variances: σ_w² and σ_b² of columns and rows.
        variance: q*, where the variance of pre-activations settles, bias variances × weight variances; 0 where it
            fades, inf where it grows on.
        chi: χ₁ there, of the same shape: below 1 ordered, above 1 chaotic.
        grows_from: for every σ_b² the σ_w² above which the variance grows without bound.
    """

    activation: str
    weight_variances: Array
    bias_variances: Array
    variance: Array
    chi: Array
    grows_from: Array


def phase_map(
    function: Activation | str, weight_variances: ArrayLike, bias_variances: ArrayLike, start: float = 1.0
) -> PhaseMap:
    """The phase diagram on a grid; χ₁ is that of `phase` within 1 %.

    Args:
        function: an activation or its name.
        weight_variances, bias_variances: σ_w², above 0, and σ_b², each a vector.
        start: variance of the first pre-activations.

    Raises:
        SpecError: a variance is out of range, or E[f²] is not finite.

    >>> tanh = phase_map("tanh", [0.5, 25 / 9], [0.0, 0.3])
    >>> tanh.chi.round(2).tolist(), tanh.variance[0].round(2).tolist()
    ([[0.5, 1.21], [0.31, 1.05]], [0.0, 1.18])
    """
    function = activation(function)
    weights, biases = (np.asarray(one, dtype=np.float64) for one in (weight_variances, bias_variances))
    for weight in weights:
        check_draw(float(weight), 0.0)
    for bias in biases:
        check_draw(1.0, float(bias))
    top = max(largest(float(weights.max()), float(biases.max())), 10 * start)
    count = math.ceil(_A_DECADE * math.log10(top / LEAST))
    q = np.unique(np.concatenate([np.geomspace(LEAST, top, count), [start]]))
    at = moments(function, q)
    rows = [_settled(at.second, q, weights, float(bias), start) for bias in biases]
    variance = np.stack(rows)
    slopes = np.interp(np.log(np.clip(variance, LEAST, top)), np.log(q), at.slope_second)
    slopes[variance == 0] = float(moments(function, AT_ZERO).slope_second)
    above = q >= start
    with np.errstate(divide="ignore"):
        grows_from = np.max((q[above] - biases[:, None]) / at.second[above], axis=1)
    return PhaseMap(function.name, weights, biases, variance, weights * slopes, grows_from)


def _settled(second: Array, q: Array, weights: Array, bias: float, start: float) -> Array:
    """Where the variance settles, for every σ_w²."""
    growth = (weights[:, None] * second + bias) / q - 1
    place = int(np.searchsorted(q, start))
    here = growth[:, place]
    up = _first_crossing(growth[:, place:], np.log(q[place:]), beyond=math.inf)
    down = _first_crossing(growth[:, place::-1], np.log(q[place::-1]), beyond=0.0)
    return np.where(np.abs(here) <= NEUTRAL, start, np.where(here > 0, up, down))


def _first_crossing(growth: Array, logs: Array, beyond: float) -> Array:
    """In every row the first change of sign along `logs`, by a straight line between neighbours."""
    changed = np.sign(growth) != np.sign(growth[:, :1])
    after = np.maximum(np.argmax(changed, axis=1), 1)
    rows = np.arange(len(growth))
    low, high = growth[rows, after - 1], growth[rows, after]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = low / (low - high)
        found = np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))
    return np.where(changed.any(axis=1), found, beyond)


def plane_point(network: Network) -> tuple[float, float]:
    """σ_w² and σ_b² of the hidden layers of a plain network: its place in the phase diagram.

    PyTorch draws a bias with variance 1/(3·fan_in), so its σ_b² falls with the width.

    Raises:
        SpecError: the network has no such place: normalisation, skips, dropout, several activations or widths, or
            parameters that are not random.

    >>> plane_point(Network(initialisation="he", width=100))
    (2.0, 0.0)
    """
    names = dict.fromkeys(network.activation_names)
    reasons = {
        "it normalises": network.normalisation != "none",
        "it has skips": network.residual != "none",
        "it has dropout": network.dropout > 0,
        "its activations differ": len(names) > 1,
        "its widths differ": len(set(network.widths)) > 1,
    }
    width = network.widths[0]
    weight = weight_draw(network.initialisation, width, width, network.activations[0])
    bias = bias_draw(network.bias_initialisation, network.initialisation, width)
    reasons["its weights are constant"] = weight.distribution == "constant" or weight.scale == 0
    reasons["its biases are constant"] = bias.distribution == "constant" and bias.scale != 0
    for reason, holds in reasons.items():
        if holds:
            raise SpecError(f"the network has no place in a phase diagram: {reason}")
    return float(f"{width * weight.mean_square(width, width):.12g}"), bias.scale**2
