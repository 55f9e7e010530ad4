"""A network of infinite width on one batch: the covariances that go forward and the gradients that come back.

Every pre-activation of a wide layer is Gaussian over the draw of the weights, so a batch of B inputs is carried
by a B × B matrix, from the data's own X·Xᵀ to the logits, and back by another (the layer-wise form of the neural
tangent kernel: Jacot et al. 2018; Lee et al. 2019, section 2)::

    K_l = Var(w_l)·A_{l-1} + Var(b_l)                A_l = n_l·E[f(u)·f(v)]       u, v ~ N(0, K_l)
    G_l = n_l·Var(w_{l+1})·E[f'(u)·f'(v)] ∘ G_{l+1}   G at the logits: g·gᵀ
    ‖∂L/∂W_l‖² = Σ G_l ∘ A_{l-1}    ‖∂L/∂b_l‖² = Σ G_l    Σ(∂L/∂h_l)² = tr G_l

The last line is linear in g·gᵀ, so that one matrix a layer, its *transfer*, serves every draw of the logits.

A layer or RMS normalisation divides a sample by the root of its mean square over the units, which at infinite
width is √K_bb (whose mean over the units is 0 before an activation; behind one, LayerNorm removes it). A skip
connection adds covariances (Yang & Schoenholz 2017; Hayou et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.spec.plan import Plan, PlanLayer
from evenflow.theory.batch_kernel import batch_kernels, series_table

Array = NDArray[np.float64]

EPSILON = 1e-5  # of torch's normalisations


@dataclass(frozen=True)
class Transfer:
    """What turns g·gᵀ at the logits into the three squared gradient norms of a layer; each divided by exp(log)."""

    weight: Array  # (B, B)
    bias: Array  # (B, B)
    signal: Array  # (B, B): at the input of the activation; of the logits, where there is none
    log: float


@dataclass(frozen=True)
class Wide:
    """The infinitely wide network on one batch of B samples.

    Args:
        covariances: of what every linear map and its skip put out, the logits' last; each of shape (B, B).
        arguments: the same at the input of every activation, the logits' last; each of shape (B, B).
        signals: A_0, the inputs' X·Xᵀ, then A of every hidden layer; each of shape (B, B).
        transfers: of every linear map, in order.
    """

    covariances: tuple[Array, ...]
    arguments: tuple[Array, ...]
    signals: tuple[Array, ...]
    transfers: tuple[Transfer, ...]


def wide(plan: Plan, inputs: Array) -> Wide:
    """Carry a batch through the infinitely wide network and a gradient back.

    Args:
        plan: the network, without batch normalisation.
        inputs: shape (B, features).

    Raises:
        SpecError: E[f²] or E[f'²] is not finite, or the signal explodes.
    """
    covariances, passes = _forward(plan, inputs)
    signals = [
        inputs @ inputs.T,
        *(layer.fan_out * one.value for layer, one in zip(plan.hidden, passes, strict=True)),
    ]
    arguments = [one.argument for one in passes] + [covariances[-1]]
    return Wide(
        tuple(covariances), tuple(arguments), tuple(signals), tuple(_transfers(plan, signals, passes))
    )


def wide_arguments(plan: Plan, inputs: Array) -> tuple[Array, ...]:
    """Covariance of the samples at the input of every activation, each of shape (B, B); see `wide`."""
    return tuple(one.argument for one in _forward(plan, inputs, slope=False)[1])


@dataclass(frozen=True)
class _Pass:
    """What a layer makes of a covariance: `value` of its outputs, and the factors on a gradient going back."""

    value: Array  # (B, B)
    slope: Array  # (B, B): to the input of the activation
    shrink: Array  # (B, B): from there to the input of the normalisation
    argument: Array  # (B, B): covariance at the input of the activation


def _forward(plan: Plan, inputs: Array, *, slope: bool = True) -> tuple[list[Array], list[_Pass]]:
    signal, covariances, passes = inputs @ inputs.T, [], []
    for number, layer in enumerate(plan.layers):
        covariance = layer.weight_variance * signal + layer.bias_variance
        if joins(plan, number):
            skipped = covariances[-1] if plan.residual == "pre" else signal / layer.fan_in
            covariance = skipped + plan.residual_scale**2 * covariance
        covariances.append(covariance)
        if layer.activation is not None:
            passes.append(_shaped(layer, covariance, slope=slope))
            signal = layer.fan_out * passes[-1].value
    return covariances, passes


def _shaped(layer: PlanLayer, covariance: Array, *, slope: bool) -> _Pass:
    assert layer.activation is not None
    shrink = np.ones_like(covariance)
    if layer.normalisation != "none" and not layer.after:
        shrink = _inverse_scales(covariance)
    argument = covariance * shrink
    value, slopes = batch_kernels(layer.activation, argument, slope=slope)
    if layer.normalisation != "none" and layer.after:
        if layer.normalisation == "layer":
            mean = series_table(layer.activation).means(np.diag(covariance))
            value = value - np.outer(mean, mean)
        scales = _inverse_scales(value)
        value, slopes = value * scales, slopes * scales
    if layer.dropout:
        kept = np.ones_like(value) + np.eye(len(value)) * (1 / (1 - layer.dropout) - 1)
        value, slopes = value * kept, slopes * kept
    return _Pass(value, slopes, shrink, argument)


def _inverse_scales(covariance: Array) -> Array:
    root = np.sqrt(np.diag(covariance) + EPSILON)
    return 1 / np.outer(root, root)


def _transfers(plan: Plan, signals: list[Array], passes: list[_Pass]) -> list[Transfer]:
    transfers, log = [], 0.0
    through = argument = np.ones_like(signals[0])
    for number in reversed(range(len(plan.layers))):
        # the branch of a skip connection carries the factor s, forwards and back
        factor = plan.residual_scale**2 if joins(plan, number) else 1.0
        transfers.append(Transfer(factor * through * signals[number], factor * through, argument, log))
        if number == 0:
            break
        below = plan.layers[number - 1]
        back = factor * below.fan_out * plan.layers[number].weight_variance * through
        skipped = through if joins(plan, number) else 0.0
        if plan.residual == "post":
            back = back + skipped
        argument = back * passes[number - 1].slope
        through = argument * passes[number - 1].shrink
        if plan.residual == "pre":
            through = through + skipped
        size = float(np.max(np.abs(through)))
        if size > 0:
            through, argument = through / size, argument / size
            log += math.log(size)
    return transfers[::-1]


def joins(plan: Plan, number: int) -> bool:
    """Whether a skip connection runs beside this linear map."""
    return plan.residual != "none" and 0 < number < len(plan.layers) - 1
