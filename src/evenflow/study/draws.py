"""Every random number of a study, from one recipe that any engine can repeat.

Each layer, and each epoch's order of the data, has a generator of its own, seeded by the run's seed and its
place. Two networks with the same seed therefore get the same data order, and the same underlying uniform
numbers wherever a layer has the same shape, whatever their activation, initialisation or depth. A normal
weight is the normal quantile of the same uniform number, so that draws from different distributions stay
paired too (common random numbers).
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from evenflow.spec.initialisation import Draw, bias_draw, weight_draw
from evenflow.spec.network import Network

WEIGHTS, BIASES, ORDER = 1, 2, 3
_SMALLEST = 2.0**-54  # below every other number that Generator.random returns, so that no quantile is -inf


def generator(seed: int, *place: int) -> np.random.Generator:
    """The generator of one place: `(WEIGHTS, layer)`, `(BIASES, layer)` or `(ORDER, epoch)`.

    Where a layer has several matrices, a third number from 1 says which: 0 would be none at all to the generator.
    """
    return np.random.default_rng([seed, *place])


def draw(rule: Draw, shape: tuple[int, ...], source: np.random.Generator) -> NDArray[np.float32]:
    """An array of `shape` (units out, units in) or (units,) drawn by `rule`, as float32.

    An orthogonal matrix is the Q of a QR decomposition of normal draws, its signs fixed so that it is
    uniformly distributed (Mezzadri 2007); where it is not square its rows or columns are orthonormal.
    """
    if rule.distribution == "constant":
        return np.full(shape, rule.scale, dtype=np.float32)
    uniform = np.maximum(source.random(shape), _SMALLEST)
    if rule.distribution == "uniform":
        return ((2 * uniform - 1) * (np.sqrt(3) * rule.scale)).astype(np.float32)
    normal = ndtri(uniform)
    if rule.distribution == "normal":
        return (normal * rule.scale).astype(np.float32)
    rows, columns = shape
    tall = normal if rows >= columns else normal.T
    orthogonal, triangular = np.linalg.qr(tall)
    orthogonal = orthogonal * np.sign(np.diag(triangular))
    return ((orthogonal if rows >= columns else orthogonal.T) * rule.scale).astype(np.float32)


def initial_parameters(
    network: Network, inputs: int, outputs: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Weights, shape (units out, units in), and biases of every linear map.

    The names are `hidden_1.weight`, `hidden_1.bias`, … `output.weight`, `output.bias`.
    """
    sizes = (inputs, *network.widths, outputs)
    before = ("identity", *network.activation_names)
    parameters: dict[str, NDArray[np.float32]] = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        name = f"hidden_{layer}" if layer <= network.layers else "output"
        weights = weight_draw(network.initialisation, fan_in, fan_out, before[layer - 1])
        biases = bias_draw(network.bias_initialisation, network.initialisation, fan_in)
        sources = (generator(seed, WEIGHTS, layer), generator(seed, BIASES, layer))
        parameters |= linear_map(name, (fan_out, fan_in), (weights, biases), sources)
    return parameters


def linear_map(
    name: str,
    shape: tuple[int, ...],
    rules: tuple[Draw, Draw],
    sources: tuple[np.random.Generator, np.random.Generator],
) -> dict[str, NDArray[np.float32]]:
    """Weight and bias of one map: weights of `shape`, (units out, …), as a matrix of so many rows.

    Args:
        name: of the module that has them.
        shape: (units out, units in), or of a convolution (channels out, channels in, sides of the kernel …).
        rules: of the weights and of the biases.
        sources: generators of both.
    """
    matrix = draw(rules[0], (shape[0], math.prod(shape[1:])), sources[0])
    bias = draw(rules[1], shape[:1], sources[1])
    return {f"{name}.weight": matrix.reshape(shape), f"{name}.bias": bias}


def batch_indices(step: int, samples: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Which samples make the batch of `step` (from 0).

    Every epoch is a new permutation, and what does not fill a batch at its end is left out of that epoch. A
    batch at least as large as the data set is the whole data set.
    """
    batch = min(batch, samples)
    epoch, position = divmod(step, samples // batch)
    return _epoch_order(samples, seed, epoch)[position * batch : (position + 1) * batch]


@lru_cache(maxsize=2)
def _epoch_order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return generator(seed, ORDER, epoch).permutation(samples)
