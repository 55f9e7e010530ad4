"""What a hidden layer does to the rows of its units: normalise, activate, drop out, and all of it backwards.

An array of rows has shape (chains, units, samples). A layer or RMS normalisation works over the units, batch
normalisation over the samples, as torch's do.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from evenflow.spec.activation import Activation
from evenflow.spec.plan import PlanLayer

Array = NDArray[np.float64]

_EPSILON = {"layer": 1e-5, "batch": 1e-5, "rms": 1.2e-7}  # torch's defaults


class LayerRows:
    """One hidden layer of several chains.

    Args:
        layer: its plan.
        image: W·a, without bias and skip.
        total: what enters the layer's normalisation and activation.
        random: draws the units that dropout removes.
    """

    def __init__(self, layer: PlanLayer, image: Array, total: Array, random: np.random.Generator) -> None:
        assert layer.activation is not None
        self.image, self.total = image, total
        self.function: Activation = layer.activation
        self.share = image.shape[1] / layer.fan_out  # of the units that were drawn
        self.slope_second = np.ones(1)
        before = layer.normalisation != "none" and not layer.after
        after = layer.normalisation != "none" and layer.after
        self._before = Normalised(total, layer.normalisation) if before else None
        self.argument = self._before.output if self._before else total
        self._precision = _enough(self.argument)
        output = self.function(self.argument.astype(self._precision)).astype(np.float64)
        self._after = Normalised(output, layer.normalisation) if after else None
        output = self._after.output if self._after else output
        self._kept = None
        if layer.dropout:
            self._kept = (random.random(output.shape) >= layer.dropout) / (1 - layer.dropout)
            output = output * self._kept
        self.output: Array = output

    @functools.cached_property
    def slope(self) -> Array:
        """f' at every unit and sample."""
        return self.function.derivative(self.argument.astype(self._precision)).astype(np.float64)

    def back(self, gradient: Array) -> tuple[Array, Array]:
        """The gradient at the activation's input and at the layer's, from that at its output."""
        if self._kept is not None:
            gradient = gradient * self._kept
        if self._after:
            gradient = self._after.back(gradient)
        argument = gradient * self.slope
        return argument, self._before.back(argument) if self._before else argument


class Normalised:
    """Rows divided by their root mean square over one axis, after removing the mean (not for `rms`)."""

    def __init__(self, rows: Array, kind: str) -> None:
        self._axis = 2 if kind == "batch" else 1
        self._centred = kind != "rms"
        if self._centred:
            rows = rows - np.mean(rows, axis=self._axis, keepdims=True)
        self._scale = np.sqrt(np.mean(rows**2, axis=self._axis, keepdims=True) + _EPSILON[kind])
        self.output = rows / self._scale

    def back(self, gradient: Array) -> Array:
        along = np.mean(gradient * self.output, axis=self._axis, keepdims=True)
        rest = gradient - self.output * along
        if self._centred:
            rest = rest - np.mean(gradient, axis=self._axis, keepdims=True)
        return rest / self._scale


def _enough(rows: Array) -> type[np.floating]:
    """Single precision where every chain's rows are within its range: enough for what is random, and quicker."""
    largest = np.max(np.abs(rows), axis=(1, 2), initial=0.0)
    return np.float32 if np.min(largest) > 1e-20 and np.max(largest) < 1e12 else np.float64


def totals(left: Array, right: Array) -> Array:
    """Sums over the units: leftᵀ·right, shape (chains, samples, samples)."""
    return np.matmul(left.transpose(0, 2, 1), right)
