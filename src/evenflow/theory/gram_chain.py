"""Networks of finite width without their weights: a Markov chain of small Gram matrices, exact for normal weights.

Given what went into a layer, its pre-activations are Gaussian rows, one a unit, whose covariance is the inputs'
Gram matrix A times Var(w): the next layer can be drawn without drawing the weights. On the way back the weights
are no longer fresh, for the forward pass has shown U = W·a. With δ the gradient behind W and S = Uᵀδ,

    Wᵀδ = a·A⁻¹·S + (1 - P)·ξ      P = a·A⁻¹·aᵀ,  rows of ξ ~ N(0, Var(w)·δᵀδ)

exactly (conditioning a Gaussian matrix on W·a). The first term is what theories of independent passes lack: it
carries the alignment of the logits with the gradient of the loss back to the input, without loss in a network of
rectifiers without biases, and it dominates where the signal's scale is damped less than the gradient. For
orthogonal weights the same holds with rows that are uniformly distributed instead of Gaussian.

A chain of b samples and m units costs b²·m operations a layer, and many run side by side. What they share with
the whole network is the noise of its width (Hanin & Nica 2020; Li, Nica & Roy 2022).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.spec.plan import Plan, PlanLayer
from evenflow.theory.batch_kernel import series_table
from evenflow.theory.layer_rows import LayerRows, totals
from evenflow.theory.level import log_of
from evenflow.theory.wide import joins

Array = NDArray[np.float64]

_DISTINCT = 1e-9  # directions in which samples differ by less, relative to the largest, count as unseen
_SILENT = 1e-200  # squares below it are nothing
_WATCHED = 4  # every fourth sample tells how far a draw is off what was to be expected
_SMALL = 16  # up to so many samples, roots are taken from eigenvectors, which bear the loss of rank


class GramChains:
    """Several chains side by side, each of a few samples, forwards and then back.

    Args:
        plan: the network.
        rows: units drawn of every hidden layer; where they are fewer than its width, they stand for all.
        grams: A_0 of the inputs, shape (chains, samples, samples).
        random: the source of every draw.
    """

    def __init__(self, plan: Plan, rows: tuple[int, ...], grams: Array, random: np.random.Generator) -> None:
        self.plan, self.rows, self.random = plan, rows, random
        self.grams = [grams]
        self.alive = np.full(len(grams), True)  # whether any gradient has come through
        self.seen = grams.shape[-1] <= _SMALL
        self.inverses: list[Array] = []
        self.hidden: list[LayerRows] = []
        # figures whose expectation is 0 whatever the network: how far each draw is off what was to be expected
        self.forward_surprise = np.zeros((len(grams), len(plan.hidden)))
        self.backward_surprise = np.zeros((len(grams), len(plan.hidden)))

    @np.errstate(over="ignore", invalid="ignore")  # a spectrum refuses what is not finite
    def forward(self) -> Array:
        """Draw every hidden layer; returns the covariance of the logits, shape (chains, samples, samples)."""
        for number, (layer, rows) in enumerate(zip(self.plan.hidden, self.rows, strict=True)):
            gram = self.grams[-1]
            image = self._image(layer, gram, rows)
            branch = image
            if layer.bias_variance:
                branch = image + self._normal(*image.shape[:2], 1) * math.sqrt(layer.bias_variance)
            total = branch
            if joins(self.plan, number):
                before = self.hidden[-1]
                skipped = before.total if self.plan.residual == "pre" else before.output
                total = skipped + self.plan.residual_scale * branch
            drawn = LayerRows(layer, image, total, self.random)
            self.hidden.append(drawn)
            self.grams.append(totals(drawn.output, drawn.output) / drawn.share)
            if self.plan.plain:
                variance = layer.weight_variance * _diagonal(gram)[:, ::_WATCHED] + layer.bias_variance
                expected, slope = series_table(drawn.function).second_moments(variance)
                drawn.slope_second = slope
                expected = expected / (1 - layer.dropout)
                values = np.mean(drawn.output[:, :, ::_WATCHED] ** 2, axis=1)
                self.forward_surprise[:, number] = np.mean(_ratio(values, expected) - 1, axis=1)
        if self.seen:
            self.inverses.append(Spectrum(self.grams[-1]).inverse)
        output = self.plan.layers[-1]
        return output.weight_variance * self.grams[-1] + output.bias_variance

    def backward(self, image: Array, gradient: Array) -> tuple[Array, Array, Array]:
        """Carry a gradient back.

        Args:
            image: the logits without their biases, shape (chains, outputs, samples).
            gradient: of the loss with respect to the logits, of the same shape.

        Returns:
            For every chain and linear map, shape (chains, layers): log ‖∂L/∂W‖², log ‖∂L/∂b‖², and
            log Σ(∂L/∂z)² at the input of the activation behind it (the logits' last).
        """
        count = len(self.plan.layers)
        weight, bias, signal = (np.empty((len(gradient), count)) for _ in range(3))
        log = np.zeros(len(gradient))
        delta = argument = gradient
        share = 1.0
        for number in reversed(range(count)):
            joined = joins(self.plan, number)
            branch = delta * (self.plan.residual_scale if joined else 1.0)
            gram, back = self.grams[number], totals(branch, branch) / share
            squares = np.sum(back * gram, axis=(1, 2))
            self.alive &= squares > 0
            weight[:, number] = log_of(squares) + log
            bias[:, number] = log_of(np.sum(back, axis=(1, 2))) + log
            signal[:, number] = log_of(np.sum(argument**2, axis=(1, 2)) / share) + log
            if number == 0:
                break
            below = self.hidden[number - 1]
            received = self._received(number, back, totals(image, branch) / share)
            if joined and self.plan.residual == "post":
                received = received + delta
            argument, arrived = below.back(received)
            delta = arrived + delta if joined and self.plan.residual == "pre" else arrived
            squares = np.sum(delta**2, axis=(1, 2), keepdims=True)
            self.alive &= squares[:, 0, 0] > 0
            size = np.sqrt(np.where(squares > 0, squares, 1.0))
            delta, argument = delta / size, argument / size
            log = log + 2 * np.log(size[:, 0, 0])
            image, share = below.image, below.share
        return weight, bias, signal

    def _normal(self, *shape: int) -> Array:
        # seven digits are enough for what is random anyway, and take half the time
        return self.random.standard_normal(shape, dtype=np.float32).astype(np.float64)

    def _image(self, layer: PlanLayer, gram: Array, rows: int) -> Array:
        """W·a, one row a unit."""
        if self.seen:
            spectrum = Spectrum(gram)
            root = spectrum.root
            self.inverses.append(spectrum.inverse)
        else:
            root = root_of(gram)
        size = max(rows, round(rows * layer.fan_in / layer.fan_out)) if layer.orthogonal else rows
        drawn = self._normal(len(gram), size, root.shape[-1])
        if not layer.orthogonal:
            return np.matmul(drawn, math.sqrt(layer.weight_variance) * root)
        scale = math.sqrt(layer.weight_variance * max(layer.fan_in, layer.fan_out))
        return np.matmul(_orthonormal(drawn), scale * root)[:, :rows]

    def _received(self, number: int, back: Array, overlap: Array) -> Array:
        """Wᵀδ at every unit below, given U = W·a."""
        layer, below = self.plan.layers[number], self.hidden[number - 1]
        values = below.output
        inverse = self.inverses[number] if self.seen else np.zeros_like(self.grams[number])
        if layer.orthogonal and self.seen:
            left = layer.weight_variance * max(layer.fan_in, layer.fan_out) * back
            left = left - np.matmul(overlap.transpose(0, 2, 1), np.matmul(inverse, overlap))
            units = values.shape[1]
            beyond = max(0, round(units * layer.fan_out / layer.fan_in) - units)
            fresh = self._normal(len(values), units + beyond, values.shape[2])
            seen_part = np.matmul(inverse, totals(values, fresh[:, :units]) / below.share)
            fresh[:, :units] -= np.matmul(values, seen_part)
            fresh = np.matmul(_orthonormal(fresh), root_of(left))[:, :units] * math.sqrt(below.share)
            return fresh + np.matmul(values, np.matmul(inverse, overlap))
        root = root_of(layer.weight_variance * back)
        fresh = np.matmul(self._normal(*values.shape[:2], root.shape[1]), root)
        if self.plan.plain:
            power = np.sum(root**2, axis=1)[:, ::_WATCHED]
            expected = (power * below.slope_second)[:, None, :]
            passed = (fresh[:, :, ::_WATCHED] * below.slope[:, :, ::_WATCHED]) ** 2
            surprise = np.mean(_ratio(passed, expected) - 1, axis=(1, 2))
            self.backward_surprise[:, number - 1] = surprise
        known = overlap - totals(values, fresh) / below.share
        return fresh + np.matmul(values, np.matmul(inverse, known))


class Spectrum:
    """Eigenvalues and eigenvectors of several positive semi-definite matrices, which may lack rank."""

    def __init__(self, matrices: Array) -> None:
        if not np.isfinite(matrices).all():
            raise SpecError(
                "the signal leaves the range of numbers on its way; choose smaller weights or wider layers"
            )
        values, self.vectors = np.linalg.eigh(matrices)
        self.values = np.maximum(values, 0.0)

    @property
    def root(self) -> Array:
        """R with RᵀR = A."""
        return np.sqrt(self.values)[..., None] * np.swapaxes(self.vectors, -1, -2)

    @property
    def symmetric_root(self) -> Array:
        """R with R·R = A, which changes little with A."""
        return np.matmul(self.vectors * np.sqrt(self.values)[:, None, :], self.vectors.transpose(0, 2, 1))

    @property
    def inverse(self) -> Array:
        """The inverse in the directions in which samples differ, 0 in the others."""
        kept = self.values > np.maximum(_DISTINCT * self.values[:, -1:], _SILENT)
        inverse = np.where(kept, 1 / np.where(kept, self.values, 1.0), 0.0)
        return np.matmul(self.vectors * inverse[:, None, :], self.vectors.transpose(0, 2, 1))


def root_of(gram: Array) -> Array:
    """R with RᵀR = A, for each of several positive semi-definite matrices, which may lack rank.

    >>> root = root_of(np.ones((1, 2, 2)))
    >>> (root[0].T @ root[0]).round(12).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    if gram.shape[-1] <= _SMALL:
        return Spectrum(gram).root
    ridge = 1e-10 * np.mean(_diagonal(gram), axis=-1)[..., None, None] + 1e-300
    return np.swapaxes(np.linalg.cholesky(gram + ridge * np.eye(gram.shape[-1])), -1, -2)


def _orthonormal(columns: Array) -> Array:
    """Orthonormal columns that span the same space, without a preferred direction (the polar factor)."""
    values, vectors = np.linalg.eigh(totals(columns, columns))
    root = 1 / np.sqrt(np.maximum(values, 1e-300))
    return np.matmul(columns, np.matmul(vectors * root[:, None, :], vectors.transpose(0, 2, 1)))


def _diagonal(matrices: Array) -> Array:
    return np.einsum("...ii->...i", matrices)


def _ratio(values: Array, expected: Array) -> Array:
    return np.divide(values, expected, out=np.ones_like(values), where=expected > 0)
