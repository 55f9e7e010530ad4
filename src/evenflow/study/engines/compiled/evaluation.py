"""Loss, accuracy, recall and dead units over the whole data set, of many networks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from evenflow.spec.network import Network
from evenflow.study.data import DataSet
from evenflow.study.engines.compiled.activations import slope
from evenflow.study.engines.compiled.network import Signal, cross_entropy, forward, learned_slopes, runs

Arrays = Mapping[str, Array]

_ROWS_AT_ONCE = 256  # bounds the memory, and keeps the signals of a chunk in the cache


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
    live = [jnp.zeros((len(run), networks, network.widths[run.start - 1]), bool) for run in runs(network)]

    def chunk(live: list[Array], part: tuple[Array, Array, Array]) -> tuple[list[Array], tuple[Array, Array]]:
        inputs, labels, training = part
        passed = forward(network, parameters, buffers, inputs, residual_scale, training=False, rolled=True)
        everything = jnp.all(jnp.stack([jnp.all(units) for units in live]))
        # most units are live on the first samples already, and a slope costs as much as the activation
        live = jax.lax.cond(
            everything,
            lambda live, _: live,
            lambda live, signals: _also_live(network, parameters, live, signals, training),
            live,
            passed.signals,
        )
        losses = cross_entropy(passed.logits.astype(jnp.float64), labels)
        right = jnp.argmax(passed.logits, axis=2) == labels
        return live, (losses.T, right.T)

    live, (losses, right) = jax.lax.scan(chunk, live, (inputs, labels, training))
    dead = jnp.concatenate([1 - jnp.mean(units, axis=2, dtype=jnp.float64) for units in live])
    return {
        "losses": losses.reshape(-1, networks),
        "right": right.reshape(-1, networks),
        "dead_fraction": dead,
    }


def _also_live(
    network: Network, parameters: Arrays, live: Sequence[Array], signals: Sequence[Signal], training: Array
) -> list[Array]:
    """Which units pass a gradient for a training sample seen so far, by run: shape (layers, networks, units)."""
    found = []
    for run, units, signal in zip(runs(network), live, signals, strict=True):
        function = network.activations[run.start - 1]
        passing = slope(function, signal.inputs, learned_slopes(function, parameters, run)) != 0
        found.append(units | jnp.any(passing & training[:, None], axis=2))
    return found
