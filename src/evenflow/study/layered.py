"""Layers one behind the other, with or without skip connections: what all families but the Transformer are."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.network import Network
from evenflow.spec.recurrent import RecurrentNetwork

_Layered = Network | ConvolutionalNetwork | RecurrentNetwork
_BESIDE = ("hidden", "pool")  # what of a layer does not shape the signal that its map has made


def joined(layers: OrderedDict[str, nn.Module], network: _Layered) -> nn.Module:
    """The layers as a module: an `nn.Sequential`, or a `ResidualNetwork` where the network has skips.

    Args:
        layers: `read` where the sample is not taken as it is, `hidden_1` and what follows it (`norm_1`,
            `activation_1`, `dropout_1`, `pool_1`), … `readout` where not all of the last layer is handed on, `output`.
        network: the specification.
    """
    return nn.Sequential(layers) if network.residual == "none" else ResidualNetwork(layers, network)


class ResidualNetwork(nn.Module):
    """Layers joined by skip connections.

    With x the stream, W the map of a layer (linear, a convolution or recurrent) and u = f(N(x)), the next stream is

        pre:  x + s·W u   (He et al. 2016b: the skip is never touched)
        post: u + s·W u   (He et al. 2016a: the activation stands behind the addition)

    A pooling acts on the stream.
    """

    def __init__(self, layers: OrderedDict[str, nn.Module], network: _Layered) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.skip_is_untouched = network.residual == "pre"
        self.scale = network.residual_scale
        # What follows the map of each layer, in order.
        self.shapers = [
            [name for name in layers if name.endswith(f"_{layer}") and name.partition("_")[0] not in _BESIDE]
            for layer in range(1, network.layers + 1)
        ]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        stream = self._pooled(1, self.get_submodule("hidden_1")(self._run("read", inputs)))
        signal = self._shape(1, stream)
        for layer in range(2, len(self.shapers) + 1):
            branch = self.get_submodule(f"hidden_{layer}")(signal)
            stream = (stream if self.skip_is_untouched else signal) + self.scale * branch
            stream = self._pooled(layer, stream)
            signal = self._shape(layer, stream)
        return self.get_submodule("output")(self._run("readout", signal))

    def _shape(self, layer: int, stream: torch.Tensor) -> torch.Tensor:
        for name in self.shapers[layer - 1]:
            stream = self.get_submodule(name)(stream)
        return stream

    def _pooled(self, layer: int, stream: torch.Tensor) -> torch.Tensor:
        return self._run(f"pool_{layer}", stream)

    def _run(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """What the child of this name makes of the values; the values themselves where there is none."""
        module = self._modules.get(name)
        return values if module is None else module(values)


class Channels(nn.Module):
    """Flat samples as images or signals with their channels in front: (batch, features) → (batch, channels, …).

    >>> Channels((8, 4, 3))(torch.zeros(2, 96)).shape, Channels((40,))(torch.zeros(2, 40)).shape
    (torch.Size([2, 3, 8, 4]), torch.Size([2, 1, 40]))
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        images = inputs.unflatten(1, self.shape)
        return images.movedim(-1, 1) if len(self.shape) == 3 else images.unsqueeze(1)


class MeanOverPlaces(nn.Module):
    """The mean of each channel over the image: (batch, channels, …) → (batch, channels)."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.flatten(2).mean(2)


class LastState(nn.Module):
    """The last time step: (batch, time, units) → (batch, units)."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, -1]
