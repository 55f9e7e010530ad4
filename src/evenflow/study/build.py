"""From a specification to the `torch.nn.Module` that a PyTorch user would have written."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.families import AnyNetwork
from evenflow.spec.network import Network
from evenflow.spec.recurrent import RecurrentNetwork
from evenflow.study import convolutional, recurrent, transformer
from evenflow.study.draws import initial_parameters
from evenflow.study.elementwise import activation_module
from evenflow.study.layered import joined


def build(network: AnyNetwork, inputs: int | tuple[int, ...], outputs: int, seed: int = 0) -> nn.Module:
    """Build and initialise a network.

    Args:
        network: the specification.
        inputs: features of a sample, or the shape that it had before it was flattened, which tells what is an image
            and what is a time step; the module takes a tensor of shape (batch, features).
        outputs: number of classes; the module returns logits of shape (batch, outputs).
        seed: equal seeds give equal initial draws wherever shapes agree.

    Returns:
        In float32 on the CPU. Of a fully connected network an `nn.Sequential` (without residual connections) or a
        `ResidualNetwork`, with children `hidden_1`, `norm_1`, `activation_1`, `dropout_1`, … `output`; those of a
        convolutional and of a recurrent one are called alike. Of a Transformer a module with children `embed`,
        `block_1`, … `output`.

    Raises:
        SpecError: a sample of this shape is nothing that the network can read.
    """
    shape = (inputs,) if isinstance(inputs, int) else inputs
    model, values = _made(network, shape, outputs, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(torch.from_numpy(values[name]))
    return model


def _made(
    network: AnyNetwork, shape: tuple[int, ...], outputs: int, seed: int
) -> tuple[nn.Module, dict[str, NDArray[np.float32]]]:
    """The module, and the initial values of those of its parameters that are drawn."""
    if isinstance(network, Network):
        features = math.prod(shape)
        layers = _layers(network, features, outputs)
        return joined(layers, network), initial_parameters(network, features, outputs, seed)
    if isinstance(network, ConvolutionalNetwork):
        drawn = convolutional.draws(network, network.sample(shape), outputs, seed)
        return convolutional.module(network, shape, outputs), drawn
    sample = network.sample(shape)
    if isinstance(network, RecurrentNetwork):
        return recurrent.module(network, sample, outputs), recurrent.draws(network, sample, outputs, seed)
    return transformer.module(network, sample, outputs), transformer.draws(network, sample, outputs, seed)


_NORMALISATIONS: dict[str, type[nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}


def _layers(network: Network, inputs: int, outputs: int) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    fan_in = inputs
    for number, (width, function) in enumerate(
        zip(network.widths, network.activations, strict=True), start=1
    ):
        layers[f"hidden_{number}"] = nn.Linear(fan_in, width)
        steps = [(f"activation_{number}", activation_module(function, width))]
        if network.normalisation != "none":
            norm = (f"norm_{number}", _NORMALISATIONS[network.normalisation](width))
            steps.insert(0 if network.normalisation_position == "before" else 1, norm)
        if network.dropout:
            steps.append((f"dropout_{number}", nn.Dropout(network.dropout)))
        layers.update(steps)
        fan_in = width
    layers["output"] = nn.Linear(fan_in, outputs)
    return layers
