"""Recurrent networks: the module and its initial weights."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evenflow.spec.initialisation import bias_draw, weight_draw
from evenflow.spec.recurrent import GATES, KEEPS, RecurrentNetwork
from evenflow.study.draws import BIASES, WEIGHTS, draw, generator, linear_map
from evenflow.study.layered import LastState, joined

_NORMALISATIONS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


class Recurrence(nn.Module):
    """A recurrent layer of PyTorch's as a map from sequence to sequence, (batch, time, inputs) → (batch, time, units).

    Args:
        network: says which cell.
        inputs: features of a time step.
        width: units of the state.
    """

    def __init__(self, network: RecurrentNetwork, inputs: int, width: int) -> None:
        super().__init__()
        if network.cell == "rnn":
            self.cells: nn.RNNBase = nn.RNN(inputs, width, nonlinearity=network.activation, batch_first=True)
        else:
            kind = nn.LSTM if network.cell == "lstm" else nn.GRU
            self.cells = kind(inputs, width, batch_first=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.cells(inputs)[0]


def module(network: RecurrentNetwork, sample: tuple[int, ...], outputs: int) -> nn.Module:
    """The network for flat samples of so many (steps, features); its own parameters are still PyTorch's."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(read=nn.Unflatten(1, sample))
    for number, (before, width) in enumerate(pairwise((sample[1], *network.widths)), start=1):
        layers[f"hidden_{number}"] = Recurrence(network, before, width)
        if network.normalisation != "none":
            layers[f"norm_{number}"] = _NORMALISATIONS[network.normalisation](width)
        if network.dropout:
            layers[f"dropout_{number}"] = nn.Dropout(network.dropout)
    layers["readout"] = LastState()
    layers["output"] = nn.Linear(network.widths[-1], outputs)
    return joined(layers, network)


def draws(
    network: RecurrentNetwork, sample: tuple[int, ...], outputs: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Weights and biases of every layer, gate by gate, each as a matrix of its own.

    PyTorch's own rule takes the width for the inputs of all of a cell.
    """
    parameters: dict[str, NDArray[np.float32]] = {}
    for layer, (inputs, width) in enumerate(pairwise((sample[1], *network.widths)), start=1):
        path = f"hidden_{layer}.cells"
        fan_in = width if network.initialisation == "torch" else inputs
        rules = {
            "ih": (weight_draw(network.initialisation, fan_in, width, "identity"), inputs),
            "hh": (weight_draw(network.recurrent, width, width, "identity"), width),
        }
        for part, (name, (rule, columns)) in enumerate(rules.items()):
            blocks = [
                draw(rule, (width, columns), generator(seed, WEIGHTS, layer, 1 + 2 * gate + part))
                for gate in range(GATES[network.cell])
            ]
            parameters[f"{path}.weight_{name}_l0"] = np.concatenate(blocks)
        parameters |= {f"{path}.{name}": bias for name, bias in _biases(network, layer, width, seed).items()}
    rules = (
        weight_draw(network.initialisation, network.widths[-1], outputs, "identity"),
        bias_draw(network.bias_initialisation, network.initialisation, network.widths[-1]),
    )
    last = network.layers + 1
    sources = (generator(seed, WEIGHTS, last), generator(seed, BIASES, last))
    return parameters | linear_map("output", (outputs, network.widths[-1]), rules, sources)


def _biases(network: RecurrentNetwork, layer: int, width: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Both biases of a cell, which are added: the second is 0 where it is not PyTorch's."""
    rule = bias_draw(network.bias_initialisation, network.initialisation, width)
    size = (GATES[network.cell] * width,)
    first = draw(rule, size, generator(seed, BIASES, layer))
    if network.cell in KEEPS:
        first[KEEPS[network.cell] * width :][:width] += np.float32(network.forget_bias)
    second = np.zeros(size, np.float32)
    if rule.distribution == "uniform":
        second = draw(rule, size, generator(seed, BIASES, layer, 1))
    return {"bias_ih_l0": first, "bias_hh_l0": second}


def products(network: RecurrentNetwork, shape: tuple[int, ...], outputs: int) -> list[int]:
    """Multiplications of the matrices of every layer, and of the output, for one sample.

    >>> products(RecurrentNetwork(cell="gru", width=2), (5, 3), 4)
    [90, 60, 8]
    """
    steps, features = network.sample(shape)
    gates = GATES[network.cell]
    found: list[int] = []
    for inputs, width in pairwise((features, *network.widths)):
        found += [steps * gates * inputs * width, steps * gates * width * width]
    return [*found, network.widths[-1] * outputs]
