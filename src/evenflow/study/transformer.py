"""Transformer encoders: the module and its initial weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evenflow.spec.activation import Activation
from evenflow.spec.initialisation import bias_draw, weight_draw
from evenflow.spec.transformer import TransformerNetwork
from evenflow.study.draws import BIASES, WEIGHTS, draw, generator
from evenflow.study.elementwise import activation_module

_NORMALISATIONS = {"none": nn.Identity, "layer": nn.LayerNorm, "rms": nn.RMSNorm}


class Encoder(nn.Module):
    """Tokens, blocks, mean over the tokens, output layer; of shape (batch, tokens × features) → (batch, outputs)."""

    def __init__(self, network: TransformerNetwork, sample: tuple[int, int], outputs: int) -> None:
        super().__init__()
        self.read = nn.Unflatten(1, sample)
        self.embed = nn.Linear(sample[1], network.width)
        self.register_buffer("places", torch.from_numpy(places(sample[0], network.width)), persistent=False)
        self.blocks = network.layers
        for number, function in enumerate(network.activations, start=1):
            self.add_module(f"block_{number}", Block(network, function))
        if network.residual == "pre" and network.normalisation != "none":
            self.norm = _NORMALISATIONS[network.normalisation](network.width)
        self.output = nn.Linear(network.width, outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        stream = self.embed(self.read(inputs)) + self.get_buffer("places")
        for number in range(1, self.blocks + 1):
            stream = self.get_submodule(f"block_{number}")(stream)
        if "norm" in self._modules:
            stream = self.norm(stream)
        return self.output(stream.mean(1))


class Block(nn.Module):
    """One encoder block: attention, then two linear maps with an activation between them."""

    def __init__(self, network: TransformerNetwork, function: Activation) -> None:
        super().__init__()
        width, inside = network.width, network.width * network.expansion
        normalisation = _NORMALISATIONS[network.normalisation]
        self.norm_attention = normalisation(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm_feedforward = normalisation(width)
        self.up = nn.Linear(width, inside)
        self.activation = activation_module(function, 1)  # one slope of PReLU for all units of all tokens
        self.down = nn.Linear(inside, width)
        self.dropout = nn.Dropout(network.dropout)
        self.heads, self.residual, self.scale = network.heads, network.residual, network.residual_scale

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        stream = self._around(stream, self.attend, self.norm_attention)
        return self._around(stream, self.feed_forward, self.norm_feedforward)

    def attend(self, tokens: torch.Tensor) -> torch.Tensor:
        """Every token as a mean of all, weighted by softmax(q·k / √d) in each head."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(tokens).chunk(3, dim=-1)
        )
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.projection(found.transpose(1, 2).flatten(2))

    def feed_forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Each token by itself."""
        return self.down(self.activation(self.up(tokens)))

    def _around(
        self, stream: torch.Tensor, branch: Callable[[torch.Tensor], torch.Tensor], norm: nn.Module
    ) -> torch.Tensor:
        if self.residual == "post":
            return norm(stream + self.scale * self.dropout(branch(stream)))
        found = self.dropout(branch(norm(stream)))
        return stream + self.scale * found if self.residual == "pre" else found


def places(tokens: int, width: int) -> NDArray[np.float32]:
    """Sines and cosines of the place of a token, shape (tokens, width) (Vaswani et al. 2017, section 3.5).

    >>> places(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    rates = 10_000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.outer(np.arange(tokens), rates)
    return (
        np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(tokens, -1)[:, :width].astype(np.float32)
    )


def module(network: TransformerNetwork, sample: tuple[int, int], outputs: int) -> nn.Module:
    """The network for flat samples of so many (tokens, features); its own parameters are still PyTorch's."""
    return Encoder(network, sample, outputs)


def draws(
    network: TransformerNetwork, sample: tuple[int, int], outputs: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Weights and biases of every map; of queries, keys and values each as a matrix of its own."""
    parameters: dict[str, NDArray[np.float32]] = {}
    for number, (name, fan_in, fan_out, parts, before) in enumerate(
        _maps(network, sample[1], outputs), start=1
    ):
        weights = weight_draw(network.initialisation, fan_in, fan_out, before)
        biases = bias_draw(network.bias_initialisation, network.initialisation, fan_in)
        blocks = [
            draw(weights, (fan_out, fan_in), generator(seed, WEIGHTS, number, 1 + part))
            for part in range(parts)
        ]
        parameters[f"{name}.weight"] = np.concatenate(blocks)
        parameters[f"{name}.bias"] = draw(biases, (parts * fan_out,), generator(seed, BIASES, number))
    return parameters


def _maps(
    network: TransformerNetwork, features: int, outputs: int
) -> Iterator[tuple[str, int, int, int, str]]:
    """Every linear map in order: its name, inputs, units, how many it is in one, and the activation before it."""
    width, inside = network.width, network.width * network.expansion
    yield "embed", features, width, 1, "identity"
    for block, name in enumerate(network.activation_names, start=1):
        yield f"block_{block}.query_key_value", width, width, 3, "identity"
        yield f"block_{block}.projection", width, width, 1, "identity"
        yield f"block_{block}.up", width, inside, 1, "identity"
        yield f"block_{block}.down", inside, width, 1, name
    yield "output", width, outputs, 1, "identity"


def products(network: TransformerNetwork, shape: tuple[int, ...], outputs: int) -> list[int]:
    """Multiplications of every linear map for one sample, and in each block of the two products of the attention.

    >>> products(TransformerNetwork(depth=1, width=4, heads=2, expansion=1), (5, 3), 2)
    [60, 240, 80, 80, 80, 8, 200]
    """
    tokens, features = network.sample(shape)
    found = [
        (1 if name == "output" else tokens) * parts * fan_in * fan_out
        for name, fan_in, fan_out, parts, _ in _maps(network, features, outputs)
    ]
    return [*found, *[2 * tokens * tokens * network.width] * network.layers]
