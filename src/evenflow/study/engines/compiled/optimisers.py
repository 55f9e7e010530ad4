"""Clipping and the optimisers, as torch computes them, for many networks with their own rates.

Every number that a network may have of its own is an array of shape (networks,).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp

Arrays = Mapping[str, Array]

BETAS = (0.9, 0.999)
_EPS = 1e-8
_CLIP_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_

# Which running averages an optimiser keeps of every parameter.
SLOTS: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("momentum",),
    "adam": ("first", "second"),
    "adamw": ("first", "second"),
}


class Rates(NamedTuple):
    """What a network may have of its own in a step.

    Args:
        size: the factor on the update: the learning rate, for Adam divided by 1 − β₁ᵗ.
        root: √(1 − β₂ᵗ) for Adam, 1 elsewhere.
        learning_rate: of this step, the warm-up included.
        decay, momentum: of the specification.
    """

    size: Array
    root: Array
    learning_rate: Array
    decay: Array
    momentum: Array


def clipped(kind: str, gradients: Arrays, bound: Array) -> Arrays:
    """The gradients after clipping by `norm` (of each whole network), by `value`, or not at all (`none`)."""
    if kind == "value":
        return {name: jnp.clip(g, -_wide(bound, g), _wide(bound, g)) for name, g in gradients.items()}
    if kind == "norm":
        squares = [jnp.sum(jnp.square(g), axis=tuple(range(1, g.ndim))) for g in gradients.values()]
        factor = jnp.minimum(bound / (jnp.sqrt(sum(squares)) + _CLIP_EPS), 1)
        return {name: g * _wide(factor, g) for name, g in gradients.items()}
    return gradients


def updated(
    optimiser: str, parameters: Arrays, slots: Mapping[str, Arrays], gradients: Arrays, rates: Rates
) -> tuple[Arrays, Mapping[str, Arrays]]:
    """Parameters and running averages after one step.

    SGD: w − η (g + λw). Momentum: b ← μb + g + λw, w − η b. Adam (Kingma & Ba 2015, algorithm 1) with the decay in
    the gradient; AdamW (Loshchilov & Hutter 2019, algorithm 2) with the decay on the weights.
    """
    new_parameters: dict[str, Array] = {}
    new_slots: dict[str, dict[str, Array]] = {slot: {} for slot in SLOTS[optimiser]}
    for name, weight in parameters.items():
        gradient = gradients[name]
        size, root, rate, decay, momentum = (_wide(each, weight) for each in rates)
        if optimiser == "adamw":
            weight = weight * (1 - rate * decay)
        else:
            gradient = gradient + decay * weight
        match optimiser:
            case "sgd":
                step = gradient
            case "momentum":
                step = momentum * slots["momentum"][name] + gradient
                new_slots["momentum"][name] = step
            case _:
                first, second = slots["first"][name], slots["second"][name]
                first = first + (1 - BETAS[0]) * (gradient - first)
                second = BETAS[1] * second + (1 - BETAS[1]) * gradient * gradient
                step = first / (jnp.sqrt(second) / root + _EPS)
                new_slots["first"][name], new_slots["second"][name] = first, second
        new_parameters[name] = weight - size * step
    return new_parameters, new_slots


def _wide(each: Array, like: Array) -> Array:
    """An array of shape (networks,) against one of shape (networks, …)."""
    return jax.lax.reshape(each, (each.shape[0],) + (1,) * (like.ndim - 1))
