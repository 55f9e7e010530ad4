"""The figures of a hidden layer in a recorded step, of many networks at once, in float64.

The definitions are those of `evenflow.measure.statistics`. One layer is one call: as a small program, which layers of
one shape share, it compiles soon and works in the cache.
"""

from __future__ import annotations

from functools import partial

import jax
from jax import Array
from jax import numpy as jnp

from evenflow.spec.activation import Activation
from evenflow.spec.properties import properties
from evenflow.study.engines.compiled.activations import slope
from evenflow.study.engines.compiled.network import Signal

# The rows of what `layer_figures` returns.
NAMES = (
    *("mean", "std", "rms", "max_abs"),
    *("zero_fraction", "saturated_fraction", "nonfinite_count", "signal_rms"),
)


@partial(jax.jit, static_argnums=0)
def layer_figures(function: Activation, signal: Signal, received: Array, learned: Array | None) -> Array:
    """Statistics of the layer's outputs, and the signal that flows back into its pre-activation.

    Args:
        function: its activation.
        signal: argument and value of it, of shape (networks, batch, units).
        received: ∂L/∂z, of the same shape.
        learned: slopes of a PReLU, shape (networks, units), else None.

    Returns:
        Shape (figures, networks), the figures in the order of `NAMES`; one array, as each costs a call to hand over.
    """
    outputs = signal.outputs
    slopes = slope(function, signal.inputs, learned)
    mean = _mean(outputs)
    found = {
        "mean": mean,
        "std": _rms(outputs.astype(jnp.float64) - mean[:, None, None]),
        "rms": _rms(outputs),
        "max_abs": jnp.max(jnp.abs(outputs), axis=(1, 2)),
        "zero_fraction": _mean(outputs == 0),
        "saturated_fraction": _mean(jnp.abs(slopes) < 0.01 * properties(function).max_slope),
        "nonfinite_count": jnp.sum(~jnp.isfinite(outputs), axis=(1, 2)),
        "signal_rms": _rms(received),
    }
    return jnp.stack([found[name].astype(jnp.float64) for name in NAMES])


def _mean(values: Array) -> Array:
    return jnp.sum(values, axis=(1, 2), dtype=jnp.float64) / (values.shape[1] * values.shape[2])


def _rms(values: Array) -> Array:
    return jnp.sqrt(_mean(jnp.square(values.astype(jnp.float64))))
