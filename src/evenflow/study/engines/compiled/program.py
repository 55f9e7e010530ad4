"""The compiled functions of a training: the steps between two records, and the parts of a recorded step.

A recorded step is evaluated, read and applied by three functions, so that none has to be compiled twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp

from evenflow.spec.network import Network
from evenflow.study.engines.compiled.evaluation import answers
from evenflow.study.engines.compiled.network import Passed, Signal, cross_entropy, forward
from evenflow.study.engines.compiled.optimisers import Rates, clipped, updated
from evenflow.study.engines.compiled.state import State

Figures = Mapping[str, Array]


class Own(NamedTuple):
    """What networks of a group may have of their own: arrays of shape (networks,)."""

    decay: Array
    momentum: Array
    residual_scale: Array
    bound: Array


class Samples(NamedTuple):
    """Training samples, and all samples as `evaluation.Chunks` cuts them."""

    inputs: Array
    labels: Array
    chunked_inputs: Array
    chunked_labels: Array
    chunked_training: Array


class Batches(NamedTuple):
    """The steps to make: which samples (steps, networks, batch), η of each, and η/(1 − β₁ᵗ) and √(1 − β₂ᵗ) of Adam.

    `rate` and `size` have the shape (steps, networks), `root` (steps,).
    """

    indices: Array
    rate: Array
    size: Array
    root: Array


class Seen(NamedTuple):
    """A step up to its gradients.

    Args:
        loss: of the batch, shape (networks,).
        gradients: of every parameter.
        signals: of every hidden layer.
        received: ∂L/∂z of every hidden layer, z the argument of its activation.
        buffers: the running averages behind the step.
    """

    loss: Array
    gradients: Mapping
    signals: list[Signal]
    received: list[Array]
    buffers: Mapping


@partial(jax.jit, static_argnums=(0, 1))
def advance(
    network: Network, optimiser: str, state: State, own: Own, samples: Samples, batches: Batches, steps: Array
) -> tuple[State, Array]:
    """Make the first `steps` of the `batches`; returns the state and the losses (steps, networks)."""

    def step(number: Array, before: tuple[State, Array]) -> tuple[State, Array]:
        state, losses = before
        inputs, labels, rates = _taken(samples, batches, own, number)

        def objective(parameters: Mapping) -> tuple[Array, tuple[Array, Passed]]:
            passed = forward(network, parameters, state.buffers, inputs, own.residual_scale)
            loss = jnp.mean(cross_entropy(passed.logits, labels), axis=1)
            return jnp.sum(loss), (loss, passed)

        (_, (loss, passed)), gradients = jax.value_and_grad(objective, has_aux=True)(state.parameters)
        gradients = clipped(network.clipping[0], gradients, own.bound)
        parameters, slots = updated(optimiser, state.parameters, state.slots, gradients, rates)
        return State(parameters, passed.buffers, slots), losses.at[number].set(loss)

    return jax.lax.fori_loop(0, steps, step, (state, jnp.zeros_like(batches.size)))


@partial(jax.jit, static_argnums=0)
def evaluate(network: Network, state: State, own: Own, samples: Samples) -> Figures:
    """Answers and dead units over the whole data set; every figure has the networks as its last axis."""
    return answers(
        network,
        state.parameters,
        state.buffers,
        own.residual_scale,
        samples.chunked_inputs,
        samples.chunked_labels,
        samples.chunked_training,
    )


@partial(jax.jit, static_argnums=0)
def read(network: Network, state: State, own: Own, samples: Samples, batches: Batches) -> Seen:
    """The first step of `batches` up to its gradients."""
    inputs, labels, _ = _taken(samples, batches, own, 0)
    taps = [jnp.zeros((*labels.shape, width), inputs.dtype) for width in network.widths]

    def objective(parameters: Mapping, taps: list[Array]) -> tuple[Array, tuple[Array, Passed]]:
        passed = forward(network, parameters, state.buffers, inputs, own.residual_scale, taps=taps)
        loss = jnp.mean(cross_entropy(passed.logits, labels), axis=1)
        return jnp.sum(loss), (loss, passed)

    (_, (loss, passed)), (gradients, received) = jax.value_and_grad(objective, (0, 1), has_aux=True)(
        state.parameters, taps
    )
    return Seen(loss, gradients, passed.signals, received, passed.buffers)


@partial(jax.jit, static_argnums=(0, 1))
def apply(
    network: Network, optimiser: str, state: State, gradients: Mapping, own: Own, batches: Batches
) -> tuple[Mapping, Mapping, Mapping]:
    """Clip the gradients and make the first step of `batches`: clipped gradients, parameters, slots."""
    gradients = clipped(network.clipping[0], gradients, own.bound)
    rates = _rates(batches, own, 0)
    return gradients, *updated(optimiser, state.parameters, state.slots, gradients, rates)


def _taken(samples: Samples, batches: Batches, own: Own, number: Array | int) -> tuple[Array, Array, Rates]:
    chosen = batches.indices[number]
    return samples.inputs[chosen], samples.labels[chosen], _rates(batches, own, number)


def _rates(batches: Batches, own: Own, number: Array | int) -> Rates:
    size = batches.size[number]
    root = jnp.broadcast_to(batches.root[number], size.shape)
    return Rates(size, root, batches.rate[number], own.decay, own.momentum)
