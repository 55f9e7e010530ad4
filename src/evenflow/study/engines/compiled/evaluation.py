"""Loss, accuracy, recall and dead units over the whole data set, of many networks at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from evenflow.spec.activation import Activation
from evenflow.spec.network import Network
from evenflow.study.data import DataSet
from evenflow.study.engines.compiled.activations import slope
from evenflow.study.engines.compiled.network import cross_entropy, hidden, linear, of_layer, runs

Arrays = Mapping[str, Array]

_ROWS_AT_ONCE = 512  # bounds the memory, and keeps the signals of a chunk in the cache


def chunked(data: DataSet, dtype: type[np.floating]) -> tuple[Array, Array, Array]:
    """Training and test samples behind one another, cut into chunks of equal size; the last is filled up.

    Returns:
        inputs (chunks, rows, features), labels (chunks, rows), and which rows are training samples (chunks, rows).
    """
    inputs = np.concatenate([data.train_inputs, data.test_inputs])
    labels = np.concatenate([data.train_labels, data.test_labels]).astype(np.int32)
    training = np.arange(len(labels)) < len(data.train_labels)
    chunks = -(-len(labels) // _ROWS_AT_ONCE)
    rows = -(-len(labels) // chunks)
    missing = chunks * rows - len(labels)
    return (
        jnp.asarray(np.pad(inputs, ((0, missing), (0, 0))).reshape(-1, rows, inputs.shape[1]), dtype),
        jnp.asarray(np.pad(labels, (0, missing)).reshape(-1, rows)),
        jnp.asarray(np.pad(training, (0, missing)).reshape(-1, rows)),
    )


def answers(
    network: Network,
    parameters: Arrays,
    buffers: Arrays,
    residual_scale: Array,
    inputs: Array,
    labels: Array,
    training: Array,
) -> dict[str, Array]:
    """Evaluate the networks on every sample, in evaluation mode; the last three arguments are from `chunked`.

    Returns:
        `losses` of every row in float64 and whether it is answered `right`, both of shape (rows, networks) with
        the filling included; `dead_fraction` over the training samples, of shape (layers, networks).
    """
    networks = residual_scale.shape[0]
    found = runs(network)
    own = [_stacked(parameters, run) for run in found]
    averages = [_stacked(buffers, run) for run in found]
    factor = residual_scale[:, None, None]

    def chunk(live: list[Array], part: tuple[Array, Array, Array]) -> tuple[list[Array], tuple[Array, Array]]:
        inputs, labels, training = part
        carry, seen = (jnp.zeros(()), inputs), []
        for run, weights, of_run, units in zip(found, own, averages, live, strict=True):
            layer = partial(
                _layer, network, network.activations[run.start - 1], factor, run.start == 1, training
            )
            carry, units = (
                jax.lax.scan(layer, carry, (weights, of_run, units))
                if len(run) > 1
                else _single(layer, carry, (weights, of_run, units))
            )
            seen.append(units)
        logits = linear(parameters["output.weight"], parameters["output.bias"], carry[1])
        losses = cross_entropy(logits.astype(jnp.float64), labels)
        right = jnp.argmax(logits, axis=2) == labels
        return seen, (losses.T, right.T)

    live = [jnp.zeros((len(run), networks, network.widths[run.start - 1]), bool) for run in found]
    live, (losses, right) = jax.lax.scan(chunk, live, (inputs, labels, training))
    dead = jnp.concatenate([1 - jnp.mean(units, axis=2, dtype=jnp.float64) for units in live])
    return {
        "losses": losses.reshape(-1, networks),
        "right": right.reshape(-1, networks),
        "dead_fraction": dead,
    }


Carry = tuple[Array, Array]


def _layer(
    network: Network,
    function: Activation,
    factor: Array,
    first: bool,
    training: Array,
    carry: Carry,
    own: tuple[Arrays, Arrays, Array],
) -> tuple[Carry, Array]:
    """One hidden layer, and which of its units pass a gradient for a training sample seen so far."""
    parameters, buffers, live = own
    carry, (signal, _) = hidden(network, function, factor, first, False, carry, (parameters, buffers, None))

    def also(live: Array, arguments: Array) -> Array:
        passing = slope(function, arguments, parameters.get("activation.weight")) != 0
        return live | jnp.any(passing & training[:, None], axis=1)

    # most units are live on the first samples already, and a slope costs as much as the activation
    return carry, jax.lax.cond(jnp.all(live), lambda live, _: live, also, live, signal.inputs)


def _single(layer: Callable, carry: Carry, own: tuple[Arrays, Arrays, Array]) -> tuple[Carry, Array]:
    """A run of one layer: what a loop would do, without one."""
    carry, live = layer(carry, jax.tree.map(lambda array: array[0], own))
    return carry, live[None]


def _stacked(arrays: Arrays, run: range) -> Arrays:
    """The arrays of a run of layers, with the layers in front."""
    parts = [of_layer(arrays, number) for number in run]
    return {name: jnp.stack([part[name] for part in parts]) for name in parts[0]}
