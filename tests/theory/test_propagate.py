"""Predictions against real networks of finite width, on a batch with labels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from theory.networks import CLASSES, FEATURES, batch, gradient_norms

from evenflow.errors import SpecError
from evenflow.spec.activation import register_activation
from evenflow.spec.network import Network
from evenflow.spec.plan import Plan, plan_of
from evenflow.theory.losses import loss_gradient
from evenflow.theory.propagate import Forecast, propagate


def forecast(network: Network, samples: int = 32, seed: int = 0) -> Forecast:
    inputs, labels = batch(samples)
    gradient = loss_gradient("cross_entropy", labels, CLASSES)
    return propagate(plan_of(network, FEATURES, CLASSES), inputs, gradient, seed=seed)


CASES = {
    "relu he": {"depth": 12, "width": 48, "activation": "relu", "initialisation": "he"},
    "relu torch": {"depth": 12, "width": 48, "activation": "relu"},
    "tanh xavier": {"depth": 12, "width": 48, "activation": "tanh", "initialisation": "xavier"},
    "softplus he": {"depth": 12, "width": 48, "activation": "softplus", "initialisation": "he"},
    "sigmoid torch": {"depth": 12, "width": 48, "activation": "sigmoid"},
    "own gain": {"depth": 12, "width": 48, "activation": "own", "initialisation": "gain"},
    "orthogonal": {"depth": 12, "width": 48, "activation": "selu", "initialisation": "orthogonal"},
    "alternating": {"depth": 8, "width": 48, "activation": ("relu", "sigmoid"), "initialisation": "he"},
    "uneven": {"width": (64, 48, 32, 48, 64), "activation": "gelu", "initialisation": "xavier"},
    "pre": {
        "depth": 10,
        "width": 48,
        "activation": "relu",
        "initialisation": "he",
        "residual": "pre",
        "normalisation": "layer",
    },
    "layer norm": {
        "depth": 10,
        "width": 48,
        "activation": "gelu",
        "initialisation": "he",
        "normalisation": "layer",
    },
    "dropout": {"depth": 6, "width": 64, "activation": "relu", "initialisation": "he", "dropout": 0.2},
}


@pytest.mark.parametrize("case", CASES)
def test_levels_and_spreads_are_those_of_real_networks(case: str) -> None:
    network = Network(**CASES[case])
    found, predicted = gradient_norms(network, *batch(), seeds=60), forecast(network)
    noise = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    apart = np.abs(predicted.weight.mean - np.mean(found, axis=0))
    assert np.max(apart - 2.5 * noise) < 0.06  # decades
    spread = predicted.weight.deviation / np.std(found, axis=0, ddof=1)
    assert 1 / 1.8 < np.median(spread) < 1.8


def test_batch_normalisation_lets_gradients_grow_as_they_do() -> None:
    network = Network(depth=16, width=64, activation="relu", normalisation="batch")
    found, predicted = gradient_norms(network, *batch(64), seeds=10), forecast(network, 64)
    growth = (np.mean(found, axis=0)[1] - np.mean(found, axis=0)[-2]) / 14
    expected = (predicted.weight.mean[1] - predicted.weight.mean[-2]) / 14
    assert expected == pytest.approx(growth, abs=np.log10(1.05))
    assert 10**expected == pytest.approx(1.21, abs=0.06)


def test_a_prediction_does_not_depend_on_the_order_of_the_batch() -> None:
    network = Network(**CASES["relu he"])
    inputs, labels = batch()
    order = np.random.default_rng(7).permutation(len(labels))
    plan = plan_of(network, FEATURES, CLASSES)
    one = propagate(plan, inputs, loss_gradient("cross_entropy", labels, CLASSES))
    other = propagate(plan, inputs[order], loss_gradient("cross_entropy", labels[order], CLASSES))
    # the draws fall on other samples, so equal up to their noise
    bound = 4 * np.hypot(one.weight.error, other.weight.error) + 0.02
    assert np.all(np.abs(one.weight.mean - other.weight.mean) < bound)


def test_equal_arguments_give_equal_figures() -> None:
    one, other = forecast(Network(**CASES["tanh xavier"])), forecast(Network(**CASES["tanh xavier"]))
    assert np.array_equal(one.weight.mean, other.weight.mean)
    assert np.array_equal(one.scale.deviation, other.scale.deviation)


@settings(deadline=None, max_examples=4)
@given(st.floats(0.05, 20.0))
def test_relu_networks_without_biases_do_not_know_the_scale_of_a_linear_loss(scale: float) -> None:
    """The gradient at layer l of a homogeneous network scales as inputs do, whatever the depth."""
    plan = plan_of(Network(depth=4, width=32, activation="relu", initialisation="he"), FEATURES, CLASSES)
    inputs, _labels = batch(12)
    weights = np.random.default_rng(0).normal(size=(12, CLASSES))
    one = propagate(plan, inputs, lambda logits: np.broadcast_to(weights, logits.shape))
    other = propagate(plan, scale * inputs, lambda logits: np.broadcast_to(weights, logits.shape))
    assert np.allclose(other.weight.mean - one.weight.mean, np.log10(scale), atol=0.01)


@settings(deadline=None, max_examples=4)
@given(st.floats(0.5, 1.6), st.floats(1.1, 1.6))
def test_larger_weights_pass_larger_gradients(scale: float, factor: float) -> None:
    small, large = (
        forecast(Network(depth=5, width=32, activation="relu", initialisation=f"normal:{one / 32**0.5}"), 12)
        for one in (scale, scale * factor)
    )
    first = small.weight.mean[0] - small.weight.mean[-1], large.weight.mean[0] - large.weight.mean[-1]
    assert large.scale.mean[-1] > small.scale.mean[-1]
    assert first[1] > first[0] - 0.3


def test_a_hundred_layers_of_sigmoid_do_not_underflow() -> None:
    found = forecast(Network(depth=300, width=32, activation="sigmoid"), 8)
    assert found.weight.mean[0] < -200
    assert np.all(np.isfinite(found.weight.mean))


def test_an_unstable_scale_is_warned_of() -> None:
    found = forecast(Network(depth=60, width=32, activation="gelu", initialisation="he"))
    assert any("not stable" in warning for warning in found.warnings)
    assert not forecast(Network(**CASES["tanh xavier"])).warnings


def test_narrow_rectifiers_that_die_are_counted_or_refused() -> None:
    assert any("dead" in text for text in forecast(Network(depth=3, width=4, activation="relu"), 4).warnings)
    with pytest.raises(SpecError, match="whole layer is dead; the narrowest has 1 unit: take wider"):
        forecast(Network(depth=60, width=1, activation="relu", initialisation="he"), 4)


def plan(**changes: Any) -> Plan:
    return plan_of(Network(**{"depth": 2, "width": 8, "activation": "tanh"} | changes), FEATURES, CLASSES)


INPUTS, LABELS = batch(6)
GRADIENT = loss_gradient("cross_entropy", LABELS, CLASSES)


@pytest.mark.parametrize(
    ("inputs", "gradient", "message"),
    [
        (INPUTS * np.nan, GRADIENT, "not finite"),
        (INPUTS[:, :3], GRADIENT, 'layer "hidden_1" takes 40 features, but the inputs have 3'),
        (INPUTS[0], GRADIENT, r"shape \(40,\)"),
        (0 * INPUTS, GRADIENT, "every input is 0"),
        (INPUTS, lambda logits: logits[..., :1], "gradients of shape"),
        (INPUTS, lambda logits: np.inf * logits, "gradient that is not finite"),
    ],
)
def test_bad_input_is_named(inputs: np.ndarray, gradient: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        propagate(plan(), inputs, gradient)  # type: ignore[arg-type]


def test_batch_normalisation_needs_a_batch() -> None:
    inputs, labels = batch(3)
    with pytest.raises(SpecError, match="fewer than 4"):
        propagate(plan(normalisation="batch"), inputs, loss_gradient("cross_entropy", labels, CLASSES))


def test_an_exploding_activation_is_refused() -> None:
    register_activation("theory_test_cube", lambda z: z**3, replace=True)
    with pytest.raises(SpecError, match=r"explodes|no finite variance|infinite"):
        forecast(Network(depth=30, width=16, activation="theory_test_cube", initialisation="normal:1"))


def test_constant_weights_are_refused() -> None:
    with pytest.raises(SpecError, match=r'"constant:0\.1" makes all units of a layer start alike'):
        plan(initialisation="constant:0.1")
