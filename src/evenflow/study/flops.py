"""Floating-point operations of a training step, counted from the specification."""

from __future__ import annotations

from itertools import pairwise

from evenflow.spec.network import Network


def flops_per_step(network: Network, inputs: int, outputs: int, batch: int) -> float:
    """Operations of the matrix products in one forward and backward pass.

    A product of (batch, m) with (m, n) takes 2·batch·m·n operations. Every layer makes three of that size: its
    output, the gradient of its weights, and the gradient of its input; the first layer makes no gradient of
    its input. Activations, normalisations and the optimiser, which grow with batch·n and m·n only, are left
    out, as in `torch.utils.flop_counter`.

    >>> flops_per_step(Network(depth=1, width=2), 3, 4, 1)
    72.0
    """
    sizes = (inputs, *network.widths, outputs)
    products = [m * n for m, n in pairwise(sizes)]
    return 2.0 * batch * (3 * sum(products) - products[0])
