"""A fresh network read once, forward and backward, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.study.data import DataSet, load

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Start:
    """Signals of a fresh network on one batch with cross-entropy loss.

    Args:
        weights: log10 of the gradient norm of every weight matrix, the output layer's last.
        signals: log10 of the norm of ∂L/∂h of every hidden layer, h its linear map's outputs.
        arguments: h itself, shape (layers, samples, units).
        outputs: what the activation of every hidden layer puts out, of the same shape.
    """

    weights: Array
    signals: Array
    arguments: Array
    outputs: Array

    @property
    def first_to_last(self) -> float:
        """Decades by which the first weight's gradient norm differs from the output weight's."""
        return float(self.weights[0] - self.weights[-1])

    @property
    def rms(self) -> Array:
        """Root mean square of every layer's outputs."""
        return np.sqrt(np.mean(self.outputs**2, axis=(1, 2)))

    @property
    def growth(self) -> float:
        """Decades by which the outputs of the last layer are larger than those of the first."""
        return float(np.log10(self.rms[-1] / self.rms[0]))


@lru_cache(maxsize=4)
def data(name: str = "digits", imbalance: float = 1.0) -> DataSet:
    """A data set, standardised."""
    return load(Data(name=name, imbalance=imbalance))


def at_start(network: Network, seed: int, samples: int = 128, spread: float | None = None) -> Start:
    """Read a fresh network on the first samples of an order that belongs to the seed.

    Args:
        network: of equal widths, without dropout.
        seed: of the draws and of the samples.
        samples: in the batch, from the digits.
        spread: given, every weight is drawn anew from a normal distribution of this standard deviation times
            1/√fan-in, and every bias is 0.
    """
    import torch
    from torch import nn

    from evenflow.study.build import build

    digits = data()
    chosen = np.random.default_rng(seed).permutation(len(digits.train_labels))[:samples]
    inputs = torch.from_numpy(digits.train_inputs[chosen]).double()
    model = build(network, inputs.shape[1], digits.classes, seed).double()
    if spread is not None:
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in model.modules():
                if isinstance(layer, nn.Linear):
                    layer.weight.normal_(0, spread / layer.in_features**0.5, generator=draws)
                    layer.bias.zero_()
    linear, shaped = _caught(model, "hidden_"), _caught(model, "activation_")
    nn.functional.cross_entropy(model(inputs), torch.from_numpy(digits.train_labels[chosen])).backward()
    weights = [parameter.grad for name, parameter in model.named_parameters() if _is_matrix(name)]
    return Start(
        np.array([_size(gradient) for gradient in weights]),
        np.array([_size(outputs.grad) for outputs in linear]),
        np.array([outputs.detach().numpy() for outputs in linear]),
        np.array([outputs.detach().numpy() for outputs in shaped]),
    )


def first_to_last(network: Network, seeds: Sequence[int]) -> list[float]:
    """`Start.first_to_last` of a network for every seed."""
    return [at_start(network, seed).first_to_last for seed in seeds]


def _caught(model: torch.nn.Module, prefix: str) -> list[torch.Tensor]:
    """A list that the forward pass fills with the outputs of the modules of this prefix, their gradients kept."""
    caught: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, outputs: torch.Tensor) -> None:
        outputs.retain_grad()
        caught.append(outputs)

    for name, module in model.named_modules():
        if name.startswith(prefix):
            module.register_forward_hook(keep)
    return caught


def _is_matrix(name: str) -> bool:
    return name.endswith(".weight") and name.startswith(("hidden_", "output"))


def _size(gradient: torch.Tensor | None) -> float:
    """log10 of the norm."""
    assert gradient is not None
    norm = float(gradient.norm())
    return float(np.log10(norm)) if norm else -np.inf
