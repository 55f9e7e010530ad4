"""The forward pass of many networks of one shape, and their loss.

Parameters and running averages are dictionaries of arrays with the names of the torch module's `state_dict`, each
with the networks as an axis in front: `hidden_2.weight` has the shape (networks, units out, units in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp

from evenflow.spec.activation import Activation
from evenflow.spec.network import Network
from evenflow.study.engines.compiled.activations import value

Arrays = Mapping[str, Array]

_EPS = 1e-5  # torch.nn.BatchNorm1d and LayerNorm
_MOMENTUM = 0.1  # of the running averages in torch.nn.BatchNorm1d


class Signal(NamedTuple):
    """Argument and value of an activation, of shape (networks, batch, units)."""

    inputs: Array
    outputs: Array


class Passed(NamedTuple):
    """What a forward pass gives: logits (networks, batch, classes), signals, the running averages."""

    logits: Array
    signals: list[Signal]
    buffers: Arrays


def runs(network: Network) -> list[range]:
    """The hidden layers as runs of layers that are alike: equal shape and activation. The first stands alone.

    >>> runs(Network(width=(8, 4, 4, 4)))
    [range(1, 2), range(2, 3), range(3, 5)]
    """
    kinds = list(zip(network.widths, network.widths[1:], network.activation_names[1:], strict=False))
    found = [range(1, 2)]
    for layer, kind in enumerate(kinds, start=2):
        if layer > 2 and kind == kinds[layer - 3]:
            found[-1] = range(found[-1].start, layer + 1)
        else:
            found.append(range(layer, layer + 1))
    return found


def forward(
    network: Network,
    parameters: Arrays,
    buffers: Arrays,
    inputs: Array,
    residual_scale: Array,
    *,
    taps: Sequence[Array] | None = None,
) -> Passed:
    """Run the networks in training mode on `inputs`, of shape (networks, batch, features).

    The layers are spelt out: a loop over them in the program takes longer to compile with its backward pass.

    Args:
        network: the specification that they share; its residual scale is not read.
        parameters, buffers: of the networks.
        inputs: see above.
        residual_scale: of every network, shape (networks,).
        taps: by layer, an array (networks, batch, units) that is added to the argument of the activation. It is
            zero: the gradient with respect to it is the signal that reaches the layer.
    """
    signals: list[Signal] = []
    new_buffers: dict[str, Array] = {}
    factor = residual_scale[:, None, None]
    carry = (jnp.zeros(()), inputs)
    for number, function in enumerate(network.activations, start=1):
        tap = None if taps is None else taps[number - 1]
        own = (of_layer(parameters, number), of_layer(buffers, number), tap)
        carry, (signal, new) = hidden(network, function, factor, number == 1, True, carry, own)
        signals.append(signal)
        new_buffers |= {_full(name, number): array for name, array in new.items()}
    return Passed(
        linear(parameters["output.weight"], parameters["output.bias"], carry[1]), signals, new_buffers
    )


def hidden(
    network: Network,
    function: Activation,
    factor: Array,
    first: bool,
    training: bool,
    carry: tuple[Array, Array],
    own: tuple[Arrays, Arrays, Array | None],
) -> tuple[tuple[Array, Array], tuple[Signal, Arrays]]:
    """One hidden layer, from the stream and the signal before it to those behind it.

    Args:
        network: the specification that the networks share.
        function: the activation of this layer.
        factor: on the residual branch, shape (networks, 1, 1).
        first: whether it is the first, which has no residual connection.
        training: whether batch normalisation takes the statistics of the batch, and updates its averages.
        carry: stream and signal.
        own: parameters and running averages, named as `of_layer` names them, and what is added to the argument of the
            activation.
    """
    (stream, signal), (parameters, buffers, tap) = carry, own
    branch = linear(parameters["hidden.weight"], parameters["hidden.bias"], signal)
    match "none" if first else network.residual:
        case "none":
            stream = branch
        case "pre":
            stream = stream + factor * branch
        case "post":
            stream = signal + factor * branch
    kind, position = network.normalisation, network.normalisation_position
    argument = stream
    if position == "before":
        argument, buffers = normalised(kind, parameters, buffers, argument, training)
    if tap is not None:
        argument = argument + tap
    if kind == "none" or position == "after":
        stream = argument  # nothing stands between them: the gradient of one is that of both ways
    outputs = signal = value(function, argument, parameters.get("activation.weight"))
    if position == "after":
        signal, buffers = normalised(kind, parameters, buffers, outputs, training)
    return (stream, signal), (Signal(argument, outputs), buffers)


def normalised(
    kind: str, parameters: Arrays, buffers: Arrays, stream: Array, training: bool
) -> tuple[Array, Arrays]:
    """The stream behind a normalisation of this kind, and its running averages."""
    if kind == "none":
        return stream, buffers
    scale = parameters["norm.weight"][:, None, :]
    if kind == "rms":
        mean_square = jnp.mean(stream * stream, axis=2, keepdims=True)
        return stream * jax.lax.rsqrt(mean_square + jnp.finfo(stream.dtype).eps) * scale, buffers
    shift = parameters["norm.bias"][:, None, :]
    if kind == "batch" and not training:
        mean, variance = (buffers[f"norm.running_{name}"][:, None, :] for name in ("mean", "var"))
    else:
        axis = 1 if kind == "batch" else 2
        mean = jnp.mean(stream, axis=axis, keepdims=True)
        variance = jnp.mean(jnp.square(stream - mean), axis=axis, keepdims=True)
        if kind == "batch":
            unbiased = variance * (stream.shape[1] / (stream.shape[1] - 1))
            buffers = {
                name: _follow(buffers[name], observed[:, 0])
                for name, observed in (("norm.running_mean", mean), ("norm.running_var", unbiased))
            }
    return (stream - mean) * jax.lax.rsqrt(variance + _EPS) * scale + shift, buffers


def _follow(average: Array, observed: Array) -> Array:
    return (1 - _MOMENTUM) * average + _MOMENTUM * jax.lax.stop_gradient(observed)


def of_layer(arrays: Arrays, number: int) -> dict[str, Array]:
    """The arrays of one hidden layer, `hidden_2.weight` being called `hidden.weight`."""
    tail = f"_{number}"
    parts = {name: name.partition(".") for name in arrays}
    return {
        f"{module.removesuffix(tail)}.{part}": arrays[name]
        for name, (module, _, part) in parts.items()
        if module.endswith(tail)
    }


def _full(name: str, number: int) -> str:
    module, _, part = name.partition(".")
    return f"{module}_{number}.{part}"


def linear(weight: Array, bias: Array, inputs: Array) -> Array:
    """x Wᵀ + b for every network."""
    samples = "bi" if inputs.ndim == 2 else "nbi"
    return jnp.einsum(f"{samples},noi->nbo", inputs, weight) + bias[:, None, :]


def cross_entropy(logits: Array, labels: Array) -> Array:
    """−log softmax(logits)[label]: shape (networks, batch), for labels (networks, batch) or (batch,)."""
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    labels = jnp.broadcast_to(labels, logits.shape[:-1])
    chosen = jnp.take_along_axis(shifted, labels[..., None], axis=-1)[..., 0]
    return jnp.log(jnp.sum(jnp.exp(shifted), axis=-1)) - chosen
