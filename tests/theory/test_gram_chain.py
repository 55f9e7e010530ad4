"""Chains of Gram matrices against networks with weights: equal in distribution, not only on average."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.spec.network import Network
from evenflow.spec.plan import plan_of
from evenflow.theory.gram_chain import GramChains, root_of

SAMPLES, UNITS, OUTPUTS, FEATURES = 3, 12, 2, 6
INPUTS = np.random.default_rng(3).normal(size=(SAMPLES, FEATURES)) + 0.5
GIVEN = np.random.default_rng(4).normal(size=(SAMPLES, OUTPUTS))


def with_weights(network: Network, count: int) -> np.ndarray:
    """log ‖∂L/∂W‖² of every layer, for a gradient that depends on the logits; shape (count, layers)."""
    random, plan, found = np.random.default_rng(1), plan_of(network, FEATURES, OUTPUTS), []
    for _ in range(count):
        signal, signals, weights, arguments = INPUTS.T, [], [], []
        for layer in plan.layers:
            shape = (layer.fan_out, layer.fan_in)
            if layer.orthogonal:
                size = max(shape)
                orthogonal, triangular = np.linalg.qr(random.normal(size=(size, size)))
                orthogonal = orthogonal * np.sign(np.diag(triangular))
                weight = orthogonal[: shape[0], : shape[1]] * np.sqrt(layer.weight_variance * size)
            else:
                weight = random.normal(size=shape) * np.sqrt(layer.weight_variance)
            bias = random.normal(size=(layer.fan_out, 1)) * np.sqrt(layer.bias_variance)
            signals.append(signal)
            weights.append(weight)
            arguments.append(weight @ signal + bias)
            signal = arguments[-1] if layer.activation is None else layer.activation(arguments[-1])
        delta, logs = gradient(signal), []
        for number in reversed(range(len(plan.layers))):
            logs.append(np.log(np.sum((delta @ signals[number].T) ** 2)))
            if number:
                function = plan.layers[number - 1].activation
                assert function is not None
                delta = function.derivative(arguments[number - 1]) * (weights[number].T @ delta)
        found.append(logs[::-1])
    return np.array(found)


def gradient(logits: np.ndarray) -> np.ndarray:
    """Aligned with the logits in part, as that of a loss is; shape (…, outputs, samples)."""
    return np.tanh(logits) + GIVEN.T


def without_weights(network: Network, count: int) -> np.ndarray:
    plan = plan_of(network, FEATURES, OUTPUTS)
    random = np.random.default_rng(2)
    chains = GramChains(plan, plan.widths, np.repeat((INPUTS @ INPUTS.T)[None], count, axis=0), random)
    covariance = chains.forward()
    output = plan.layers[-1]
    linear = covariance - output.bias_variance
    image = random.normal(size=(count, OUTPUTS, SAMPLES)) @ root_of(linear)
    bias = random.normal(size=(count, OUTPUTS, 1)) * np.sqrt(output.bias_variance)
    return chains.backward(image, gradient(image + bias))[0]


CASES = {
    "relu he": {"activation": "relu", "initialisation": "he"},
    "tanh he": {"activation": "tanh", "initialisation": "he"},
    "softplus he": {"activation": "softplus", "initialisation": "he"},
    "with biases": {"activation": "silu", "bias_initialisation": "normal:0.5", "initialisation": "he"},
    "orthogonal": {"activation": "tanh", "initialisation": "orthogonal:1.3"},
    "orthogonal, uneven": {
        "activation": "relu",
        "initialisation": "orthogonal:1.4",
        "depth": None,
        "width": (8, 14, 9, 13),
    },
}


@pytest.mark.parametrize("case", CASES)
def test_chains_are_distributed_as_networks_with_weights_are(case: str) -> None:
    network = Network(**{"depth": 5, "width": UNITS} | CASES[case])
    real, chain = with_weights(network, 1500), without_weights(network, 6000)
    error = np.std(real, axis=0) / np.sqrt(len(real)) + np.std(chain, axis=0) / np.sqrt(len(chain))
    assert np.max(np.abs(np.mean(real, axis=0) - np.mean(chain, axis=0)) / error) < 3.5
    assert np.allclose(np.std(chain, axis=0), np.std(real, axis=0), rtol=0.12)
    for share in (0.1, 0.5, 0.9):
        apart = np.quantile(real, share, axis=0) - np.quantile(chain, share, axis=0)
        assert np.max(np.abs(apart)) < 0.2 * float(np.max(np.std(real, axis=0)))


def test_independent_passes_would_be_told_apart() -> None:
    """The test above can fail: without what the forward pass has shown of the weights, the means are off."""
    network = Network(depth=5, width=UNITS, activation="relu", initialisation="he")
    real = with_weights(network, 1500)
    plan = plan_of(network, FEATURES, OUTPUTS)
    random = np.random.default_rng(2)
    chains = GramChains(plan, plan.widths, np.repeat((INPUTS @ INPUTS.T)[None], 6000, axis=0), random)
    image = random.normal(size=(6000, OUTPUTS, SAMPLES)) @ root_of(chains.forward())
    chains.inverses = [np.zeros_like(inverse) for inverse in chains.inverses]
    blind = chains.backward(image, gradient(image))[0]
    assert np.max(np.abs(np.mean(real, axis=0) - np.mean(blind, axis=0))) > 0.2


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(0, 6))
def test_a_root_squares_to_its_matrix_even_without_full_rank(rank: int, more: int) -> None:
    columns = np.random.default_rng(rank).normal(size=(rank, rank + more))
    gram = columns.T @ columns
    root = root_of(gram[None])[0]
    assert np.allclose(root.T @ root, gram, atol=1e-9 * np.trace(gram))


def test_fewer_rows_stand_for_a_wide_layer() -> None:
    network = Network(depth=4, width=400, activation="relu", initialisation="he")
    plan = plan_of(network, FEATURES, OUTPUTS)
    means = []
    for rows in ((400,) * 4, (200,) * 4):
        random = np.random.default_rng(5)
        chains = GramChains(plan, rows, np.repeat((INPUTS @ INPUTS.T)[None], 600, axis=0), random)
        image = random.normal(size=(600, OUTPUTS, SAMPLES)) @ root_of(chains.forward())
        means.append(np.mean(chains.backward(image, gradient(image))[0], axis=0))
    assert np.allclose(means[0], means[1], atol=0.1)
