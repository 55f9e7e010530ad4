"""Floating-point operations of a training step, counted from the specification."""

from __future__ import annotations

import math
from itertools import pairwise

from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.families import AnyNetwork
from evenflow.spec.network import Network
from evenflow.spec.recurrent import RecurrentNetwork


def flops_per_step(network: AnyNetwork, inputs: int | tuple[int, ...], outputs: int, batch: int) -> float:
    """Operations of the matrix products in one forward and backward pass.

    A product of (batch, m) with (m, n) takes 2·batch·m·n operations. Every layer makes three of that size: its
    output, the gradient of its weights, and the gradient of its input; the first layer makes no gradient of
    its input. Activations, normalisations and the optimiser, which grow with batch·n and m·n only, are left
    out, as in `torch.utils.flop_counter`. Convolutions, and matrices that act at every time step or token, count once
    for each place.

    Args:
        network: the specification.
        inputs: features of a sample, or the shape that it had before it was flattened.
        outputs: number of classes.
        batch: samples.

    >>> flops_per_step(Network(depth=1, width=2), 3, 4, 1)
    72.0
    """
    shape = (inputs,) if isinstance(inputs, int) else inputs
    products = _products(network, shape, outputs)
    return 2.0 * batch * (3 * sum(products) - products[0])


def _products(network: AnyNetwork, shape: tuple[int, ...], outputs: int) -> list[int]:
    """Multiplications of every product for one sample, the first layer's in front."""
    if isinstance(network, Network):
        return [m * n for m, n in pairwise((math.prod(shape), *network.widths, outputs))]
    # imported here, as they import torch, which the count of a fully connected network does without
    from evenflow.study import convolutional, recurrent, transformer

    if isinstance(network, ConvolutionalNetwork):
        return convolutional.products(network, shape, outputs)
    if isinstance(network, RecurrentNetwork):
        return recurrent.products(network, shape, outputs)
    return transformer.products(network, shape, outputs)
