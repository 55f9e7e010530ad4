"""Convolutional networks: the module and its initial weights."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.initialisation import bias_draw, weight_draw
from evenflow.study.draws import BIASES, WEIGHTS, generator, linear_map
from evenflow.study.elementwise import activation_module
from evenflow.study.layered import Channels, MeanOverPlaces, joined

_MAPS = {1: nn.Conv1d, 2: nn.Conv2d}
_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


def module(network: ConvolutionalNetwork, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The network for flat samples that had this shape; its own parameters are still PyTorch's."""
    channels, *sides = network.sample(shape)
    axes = len(sides)
    layers: OrderedDict[str, nn.Module] = OrderedDict(read=Channels(shape))
    for number, function in enumerate(network.activations, start=1):
        before, width = (channels, *network.widths)[number - 1 : number + 1]
        layers[f"hidden_{number}"] = _MAPS[axes](before, width, network.kernel, padding=network.kernel // 2)
        steps = [(f"activation_{number}", activation_module(function, width))]
        if network.normalisation != "none":
            norm = _BATCH_NORMS[axes](width) if network.normalisation == "batch" else nn.GroupNorm(1, width)
            steps.insert(0 if network.normalisation_position == "before" else 1, (f"norm_{number}", norm))
        if network.dropout:
            steps.append((f"dropout_{number}", nn.Dropout(network.dropout)))
        if network.pools_after(number):
            steps.append((f"pool_{number}", _POOLS[axes](2)))
        layers.update(steps)
    layers["readout"] = MeanOverPlaces()
    layers["output"] = nn.Linear(network.widths[-1], outputs)
    return joined(layers, network)


def draws(
    network: ConvolutionalNetwork, sample: tuple[int, ...], outputs: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Weights and biases of every map.

    A unit of a convolution has channels × kernel area inputs, and so many outputs of its own channel (He et al. 2015,
    section 2.2; Glorot & Bengio's rule as `torch.nn.init` counts).
    """
    area = network.kernel ** (len(sample) - 1)
    before = ("identity", *network.activation_names)
    parameters: dict[str, NDArray[np.float32]] = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise((sample[0], *network.widths, outputs)), start=1):
        last = layer > network.layers
        field = 1 if last else area
        kernel = () if last else (network.kernel,) * (len(sample) - 1)
        rules = (
            weight_draw(network.initialisation, fan_in * field, fan_out * field, before[layer - 1]),
            bias_draw(network.bias_initialisation, network.initialisation, fan_in * field),
        )
        sources = (generator(seed, WEIGHTS, layer), generator(seed, BIASES, layer))
        name = "output" if last else f"hidden_{layer}"
        parameters |= linear_map(name, (fan_out, fan_in, *kernel), rules, sources)
    return parameters


def products(network: ConvolutionalNetwork, shape: tuple[int, ...], outputs: int) -> list[int]:
    """Multiplications of every map for one sample, borders counted like the rest.

    >>> products(ConvolutionalNetwork(depth=1, width=2), (8, 8), 10)
    [1152, 20]
    """
    channels, *sides = network.sample(shape)
    area = network.kernel ** len(sides)
    found = [
        math.prod(seen) * area * before * width
        for seen, (before, width) in zip(
            network.sides(tuple(sides)), pairwise((channels, *network.widths)), strict=True
        )
    ]
    return [*found, network.widths[-1] * outputs]
