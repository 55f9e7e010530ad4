"""Predict a network's gradients before training: infinite width on the whole batch, finite width on a part of it.

The infinitely wide network (`wide`) knows the data, the labels and the loss exactly, and nothing of noise. Chains
of Gram matrices (`gram_chain`) know the noise of the width exactly, and are cheap for a few samples only. Both
are computed for the same few samples, and their difference of logarithms corrects the whole batch:

    E log‖∂L/∂W‖² = E[log of the wide network, all samples] + E[log of chain - log of wide network, few samples]

The few samples of a chain, drawn anew for each, stand for the batch with gradients whose sum is that of the batch
and whose squares sum to as much: the first counts where depth has made samples alike, the second where it has
not. Nothing is drawn twice: equal arguments give equal figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.spec.plan import Plan
from evenflow.theory.gram_chain import GramChains, Spectrum, root_of
from evenflow.theory.layer_rows import totals
from evenflow.theory.level import LN10, Level, level, log_of
from evenflow.theory.losses import Gradient
from evenflow.theory.part import Part
from evenflow.theory.wide import Wide, wide

Array = NDArray[np.float64]

ROWS = 6144  # units of a hidden layer drawn, over all chains of a network of 100 layers
_WIDEST = 512  # units of one chain; noise of wider layers is scaled from there, for it is small
_FEWEST, _MOST = 24, 512  # chains
_MORE = 4.0
_LOGIT_DRAWS = 384
_ENTRIES = 1 << 19  # of samples × samples matrices that are held at once
_LOGITS_A_CHAIN = 8  # where the chains are capped
# with batch normalisation every chain carries all samples
_NORMALISED_ROWS, _NORMALISED_CHAINS = 128, 8
_FEWEST_ALIVE = 4
_COMPARED = 6  # draws from which the averaging over a batch is taken
_UNSTABLE = 1.0  # decades between seeds, from which the mean is reported with a warning


@dataclass(frozen=True)
class Forecast:
    """What a network will show on its first batch, before any step.

    Args:
        weight: norm of ∂L/∂W of every linear map.
        bias: norm of ∂L/∂b.
        signal: root of the sum of squares of ∂L/∂z at every activation's input, the logits' last.
        scale: root mean square at every activation's input, the logits' last.
        output: root mean square of every hidden layer's output, shape (hidden layers,).
        arguments: covariance of the samples at the input of every activation; each of shape (samples, samples).
        warnings: where the figures are not to be trusted, one sentence each.
    """

    weight: Level
    bias: Level
    signal: Level
    scale: Level
    output: Array
    arguments: tuple[Array, ...]
    warnings: tuple[str, ...]


def propagate(
    plan: Plan, inputs: Array, gradient: Gradient, *, seed: int = 0, chains: int | None = None
) -> Forecast:
    """Predict gradients and signals of every layer on one batch.

    Args:
        plan: the network.
        inputs: the batch, shape (samples, features).
        gradient: of the loss with respect to the logits.
        seed: of the draws behind the figures, not of the network.
        chains: how many to draw at most, where many networks are compared: faster, with a larger `error`.

    Raises:
        SpecError: the inputs do not fit or are not finite, the signal explodes, or the loss gives no gradient.
    """
    inputs = _checked(plan, inputs)
    random = np.random.default_rng(seed)
    if any(layer.normalisation == "batch" for layer in plan.hidden):
        return _batch_normalised(plan, inputs, gradient, random)
    limit = wide(plan, inputs)
    rows, affordable = _sizes(plan)
    draws = _LOGIT_DRAWS if chains is None else min(_LOGIT_DRAWS, _LOGITS_A_CHAIN * chains)
    chains = affordable if chains is None else min(affordable, chains)
    shape = (len(inputs), plan.layers[-1].fan_out)
    standard = random.normal(size=(max(chains, draws), *shape))
    logits = np.matmul(Spectrum(limit.covariances[-1][None]).root[0].T, standard)
    gradients = checked_gradient(gradient, logits)
    whole = _limit_logs(limit, gradients)
    part = Part(limit, inputs, random, chains)
    chain = GramChains(plan, rows, part.grams, random)
    covariance = chain.forward()
    drawn = part.logits(covariance, logits[:chains])
    drawn_gradients = checked_gradient(gradient, drawn)
    reduced = part.reduced(gradients[:chains])
    at_limit = _part_logs(limit, reduced, part)
    image = _without_bias(plan, part.of(drawn), covariance, random)
    found = chain.backward(image, part.reduced(drawn_gradients).transpose(0, 2, 1))
    alive = _alive(plan, chain)
    averaging = _averaging(limit, gradients, reduced, part)
    narrowing = max(1.0, max(plan.widths) / max(rows))
    # heavy tails would leave the controls' coefficients to a few draws
    steady = np.max(np.std(found[0][alive], axis=0)) < 2 * LN10 * _UNSTABLE
    controls = _controls(chain)[alive] if plan.plain and steady else None
    weight, bias, signal = (
        level(_first(one, alive), (drawn_logs - limit_logs)[alive], narrowing, averaging, controls)
        for one, drawn_logs, limit_logs in zip(whole, found, at_limit, strict=True)
    )
    scale = _scales(chain, limit, part, covariance, narrowing)
    output = np.array([np.mean(np.diag(one)) for one in limit.signals[1:]]) / np.array(plan.widths)
    return Forecast(
        weight, bias, signal, scale, np.sqrt(output), limit.arguments[:-1], _warnings(plan, weight, alive)
    )


def _checked(plan: Plan, inputs: Array) -> Array:
    inputs = np.asarray(inputs, dtype=np.float64)
    if inputs.ndim != 2 or not inputs.size:
        raise SpecError(f"inputs are an array of shape (samples, features), not one of shape {inputs.shape}")
    if inputs.shape[1] != plan.layers[0].fan_in:
        raise SpecError(
            f'layer "{plan.layers[0].name}" takes {plan.layers[0].fan_in} features, but the inputs have '
            f"{inputs.shape[1]}"
        )
    if not np.isfinite(inputs).all():
        raise SpecError("the inputs hold a number that is not finite; remove or replace it before predicting")
    if plan.residual != "none" and plan.residual_scale == 0:
        raise SpecError(
            "residual_scale = 0: no gradient passes the weights beside a skip connection; it is exactly 0"
        )
    if not inputs.any():
        raise SpecError("every input is 0, so that nothing but the biases would reach the first layer")
    return inputs


def checked_gradient(gradient: Gradient, logits: Array) -> Array:
    """The gradient at the logits.

    Raises:
        SpecError: it has another shape than they have, or a number in it is not finite.
    """
    found = np.asarray(gradient(logits), dtype=np.float64)
    if found.shape != logits.shape:
        raise SpecError(f"the loss gave gradients of shape {found.shape} for logits of shape {logits.shape}")
    if not np.isfinite(found).all():
        raise SpecError("the loss has a gradient that is not finite at the logits of a fresh network")
    return found


def _sizes(plan: Plan) -> tuple[tuple[int, ...], int]:
    """Rows of every hidden layer, and the number of chains; together they bound time and memory."""
    rows = _rows(plan, _WIDEST)
    # shallower networks leave time for more chains, deeper ones would take too much memory
    budget = ROWS * min(_MORE, 100 / len(plan.widths))
    return rows, min(_MOST, max(_FEWEST, round(budget * len(rows) / sum(rows))))


def _rows(plan: Plan, widest: int) -> tuple[int, ...]:
    """Units of every hidden layer, all made fewer alike where the widest has more than that."""
    shrink = min(1.0, widest / max(plan.widths))
    return tuple(max(1, round(width * shrink)) for width in plan.widths)


def _limit_logs(limit: Wide, gradients: Array) -> tuple[Array, Array, Array]:
    """Logs of the three squared norms of every layer for each draw of the logits, shape (draws, layers)."""
    weight = np.stack([transfer.weight.ravel() for transfer in limit.transfers], axis=1)
    bias = np.stack([transfer.bias.ravel() for transfer in limit.transfers], axis=1)
    signal = np.stack([np.diag(transfer.signal) for transfer in limit.transfers], axis=1)
    found = []
    at_once = max(1, _ENTRIES // len(weight))
    for first in range(0, len(gradients), at_once):
        some = gradients[first : first + at_once]
        outer = np.matmul(some, some.transpose(0, 2, 1))
        flat = outer.reshape(len(some), -1)
        found.append([flat @ weight, flat @ bias, np.einsum("rii->ri", outer) @ signal])
    logs = np.array([transfer.log for transfer in limit.transfers])
    weight, bias, signal = (log_of(np.concatenate(one)) + logs for one in zip(*found, strict=True))
    return weight, bias, signal


def _part_logs(limit: Wide, gradients: Array, part: Part) -> tuple[Array, Array, Array]:
    """The same for the chains' parts of the batch, shape (chains, layers)."""
    outer = np.matmul(gradients, gradients.transpose(0, 2, 1))

    def of(kind: str, outer: Array) -> Array:
        totals = [
            np.sum(outer * part.block(getattr(transfer, kind)), axis=(1, 2)) for transfer in limit.transfers
        ]
        return log_of(np.stack(totals, axis=1)) + [one.log for one in limit.transfers]

    return of("weight", outer), of("bias", outer), of("signal", outer * np.eye(outer.shape[-1]))


def _averaging(limit: Wide, gradients: Array, reduced: Array, part: Part) -> float:
    """What is left, in the whole batch, of the variance that a chain finds for its part.

    A layer's units are independent draws, so that Σ G∘A = tr(G·A) has the relative variance 2·tr(GAGA)/tr(GA)² a
    unit where its signals are Gaussian: 2 for samples that are all alike, 2/B for B that have nothing in common.
    The mean of the ratio over the layers is taken for the whole network.
    """
    ratios = []
    some = slice(0, _COMPARED)
    blocks = [part.block(signal)[some] for signal in limit.signals]
    for transfer, signal, block in zip(limit.transfers, limit.signals, blocks, strict=True):
        ratios.append(
            _concentration(gradients[some], transfer.bias, signal)
            / _concentration(reduced[some], part.block(transfer.bias)[some], block)
        )
    return min(1.0, float(np.mean(ratios)))


def _concentration(gradients: Array, passed: Array, signal: Array) -> float:
    product = np.matmul(np.matmul(gradients, gradients.transpose(0, 2, 1)) * passed, signal)
    square, whole = np.einsum("rij,rji->r", product, product), np.einsum("rii->r", product) ** 2
    return float(np.mean(np.divide(square, whole, out=np.ones_like(whole), where=whole > 0)))


def _without_bias(plan: Plan, logits: Array, covariance: Array, random: np.random.Generator) -> Array:
    """W·a of the logits, shape (chains, outputs, samples): what is left when a bias that fits them is taken off."""
    variance = plan.layers[-1].bias_variance
    if not variance:
        return logits
    ridge = 1e-12 * np.einsum("rii->r", covariance)[:, None, None] * np.eye(covariance.shape[-1])
    share = np.linalg.solve(covariance + ridge, np.ones((*covariance.shape[:2], 1)))
    mean = variance * np.matmul(logits, share)
    left = np.maximum(variance - variance**2 * np.sum(share, axis=1, keepdims=True), 0.0)
    return logits - mean - np.sqrt(left) * random.normal(size=mean.shape)


def _controls(chain: GramChains) -> Array:
    """Sums of the surprises in front of and behind every layer, of mean 0; shape (chains, layers, 3)."""
    forward = np.pad(np.cumsum(chain.forward_surprise, axis=1), ((0, 0), (1, 0)))
    backward = np.pad(np.cumsum(chain.backward_surprise[:, ::-1], axis=1), ((0, 0), (1, 0)))[:, ::-1]
    return np.stack([forward, forward[:, -1:] - forward, backward], axis=2)


def _scales(chain: GramChains, limit: Wide, part: Part, covariance: Array, narrowing: float) -> Level:
    drawn = [np.mean(hidden.argument**2, axis=(1, 2)) for hidden in chain.hidden]
    drawn.append(np.mean(np.einsum("rii->ri", covariance), axis=1))
    variances = [np.diag(argument) for argument in limit.arguments]
    at_limit = [np.mean(variance[part.chosen], axis=1) for variance in variances]
    whole = log_of(np.array([[float(np.mean(variance)) for variance in variances]]))
    ratio = log_of(np.stack(drawn, axis=1)) - log_of(np.stack(at_limit, axis=1))
    return level(np.repeat(whole, len(ratio), axis=0), ratio, narrowing)


def _batch_normalised(plan: Plan, inputs: Array, gradient: Gradient, random: np.random.Generator) -> Forecast:
    """Batch normalisation ties the samples together, so every chain carries the whole batch."""
    if len(inputs) < 4:
        raise SpecError(
            f"batch normalisation over {len(inputs)} samples has no prediction: with fewer than 4 its gradient "
            "explodes without a bound on its mean (Yang et al. 2019); take a larger batch"
        )
    rows = _rows(plan, _NORMALISED_ROWS)
    gram = inputs @ inputs.T
    chain = GramChains(plan, rows, np.repeat(gram[None], _NORMALISED_CHAINS, axis=0), random)
    covariance = chain.forward()
    shape = (_NORMALISED_CHAINS, len(inputs), plan.layers[-1].fan_out)
    logits = np.matmul(root_of(covariance).transpose(0, 2, 1), random.normal(size=shape))
    gradients = checked_gradient(gradient, logits)
    found = chain.backward(logits.transpose(0, 2, 1), gradients.transpose(0, 2, 1))
    alive = _alive(plan, chain)
    nothing = np.zeros_like(found[0])
    weight, bias, signal = (level(nothing, one[alive], 1.0) for one in found)
    squares = [np.mean(hidden.argument**2, axis=(1, 2)) for hidden in chain.hidden]
    squares.append(np.mean(logits**2, axis=(1, 2)))
    scale = level(nothing, log_of(np.stack(squares, axis=1)), 1.0)
    output = np.array([np.mean(hidden.output**2) for hidden in chain.hidden])
    return Forecast(
        weight,
        bias,
        signal,
        scale,
        np.sqrt(output),
        tuple(_covariances(chain)),
        _warnings(plan, weight, alive),
    )


def _covariances(chain: GramChains) -> list[Array]:
    squares = [totals(hidden.argument, hidden.argument) / hidden.argument.shape[1] for hidden in chain.hidden]
    return [np.mean(one, axis=0) for one in squares]


def _first(whole: Array, alive: NDArray[np.bool_]) -> Array:
    """The logs without those that belong to dead chains, so that the first stay those of the chains."""
    return np.concatenate([whole[: len(alive)][alive], whole[len(alive) :]])


def _alive(plan: Plan, chain: GramChains) -> NDArray[np.bool_]:
    """Which chains pass any gradient to the first layer."""
    dead = int(np.sum(~chain.alive))
    if len(chain.alive) - dead < _FEWEST_ALIVE:
        narrowest = min(plan.widths)
        units = "unit" if narrowest == 1 else "units"
        raise SpecError(
            f"in {dead} of {len(chain.alive)} draws of this network no gradient reaches the first layer, for a "
            f"whole layer is dead; the narrowest has {narrowest} {units}: take wider layers, or larger weights"
        )
    return chain.alive


def _warnings(plan: Plan, weight: Level, alive: NDArray[np.bool_]) -> tuple[str, ...]:
    found = []
    if not alive.all():
        found.append(
            f"in {1 - np.mean(alive):.0%} of the draws a whole layer is dead and no gradient passes; the figures "
            "are those of the others"
        )
    worst = int(np.argmax(weight.deviation))
    if weight.deviation[worst] > _UNSTABLE:
        found.append(
            f"seeds differ by a factor of 10^{weight.deviation[worst]:.1f} (one standard deviation) at layer "
            f"{worst + 1}: the scale of the signal is not stable, so the mean says little about one network, "
            "and it may be off by more than half a decade itself"
        )
    if plan.residual == "post":
        found.append(
            "behind an addition (residual = post) signals are not Gaussian, which the theory takes them for: figures "
            "may be off by up to 0.2 decades, and spreads by a factor of 4"
        )
    return tuple(found)
