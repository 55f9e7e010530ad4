"""Activation functions for a compiled training: the catalogue's formulas, with a backward pass that stays short.

JAX would differentiate a formula operation by operation and keep every intermediate result for the way back. Here
the slope f'(z) is computed beside the value and is all that is kept. Tanh, sigmoid and ReLU have their slope from
their value, SiLU one sigmoid for both, and GELU its Φ from erf, as torch has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import jax
from jax import Array
from jax import numpy as jnp

from evenflow.spec.activation import Activation


def value(function: Activation, z: Array, learned: Array | None = None) -> Array:
    """f(z), elementwise.

    Args:
        function: the activation.
        z: of shape (…, networks, batch, units).
        learned: the slopes of a PReLU, of shape (…, networks, units); None for every other.
    """
    if learned is not None:
        return jnp.where(z > 0, z, learned[..., None, :] * z)
    own = _BY_VALUE.get(function.name)
    return own(z) if own else _by_slope(function)(z)


def slope(function: Activation, z: Array, learned: Array | None = None) -> Array:
    """f'(z), elementwise; arguments as in `value`."""
    if learned is not None:
        return jnp.where(z > 0, jnp.ones_like(z), learned[..., None, :])
    return jax.jvp(lambda item: value(function, item), (z,), (jnp.ones_like(z),))[1]


@cache
def _by_slope(function: Activation) -> Callable[[Array], Array]:
    @jax.custom_jvp
    def apply(z: Array) -> Array:
        return function(z)

    @apply.defjvp
    def both(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (z,), (direction,) = primals, tangents
        return function(z), function.derivative(z) * direction

    del both
    return apply


@jax.custom_jvp
def _gelu(z: Array) -> Array:
    return z * _normal_cdf(z)


@_gelu.defjvp
def _gelu_both(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (z,), (direction,) = primals, tangents
    cdf = _normal_cdf(z)
    density = jnp.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))
    return z * cdf, (cdf + z * density) * direction


@jax.custom_jvp
def _silu(z: Array) -> Array:
    return z * jax.lax.logistic(z)


@_silu.defjvp
def _silu_both(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (z,), (direction,) = primals, tangents
    share = jax.lax.logistic(z)
    return z * share, share * (1 + z * (1 - share)) * direction


def _normal_cdf(z: Array) -> Array:
    return 0.5 * (1 + jax.lax.erf(z * math.sqrt(0.5)))


_BY_VALUE: dict[str, Callable[[Array], Array]] = {
    "relu": lambda z: jnp.where(z <= 0, jnp.zeros_like(z), z),
    "tanh": jnp.tanh,
    "sigmoid": jax.lax.logistic,
    "gelu": _gelu,
    "silu": _silu,
    "identity": lambda z: z,
}
