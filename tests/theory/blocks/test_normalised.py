"""LayerNorm, RMSNorm and BatchNorm without skips: published rates, closed forms and torch over 10 seeds within 5 %."""

from __future__ import annotations

import math

import numpy as np
import pytest
from theory.blocks import measuring

from evenflow.errors import SpecError
from evenflow.theory.blocks import batch_norm_factor, norm_drift, normalised_stack

TOLERANCE = 0.05
NAMES = ["relu", "tanh", "sigmoid", "selu", "gelu", "silu", "softplus", "mish"]


@pytest.mark.parametrize("normalisation", ["layer", "rms"])
@pytest.mark.parametrize("name", NAMES)
def test_layer_norm_and_rms_norm(name, normalisation):
    found = measuring.normalised(name, 12, seeds=10, normalisation=normalisation, batch=16, skipped=1)
    told = normalised_stack(name, 12, normalisation=normalisation)
    assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_batch_norm(name):
    """After 4 layers, so that the batch's first direction has no say; 8 layers on for those that drift."""
    depth = 8
    found = measuring.normalised(
        name, depth, seeds=10, normalisation="batch", width=128, batch=128, skipped=4
    )
    told = normalised_stack(name, depth, normalisation="batch", width=128, batch=128)
    assert told.outside == ""
    assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), [("relu", 1.21), ("tanh", 1.09), ("sigmoid", 1.02)])
def test_deep_batch_norm(name, norm):
    found = measuring.normalised(name, 24, seeds=10, normalisation="batch", width=128, batch=256, skipped=4)
    told = normalised_stack(name, 24, normalisation="batch", width=128, batch=256)
    assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)
    assert told.per_block == pytest.approx(norm, abs=0.01)


@pytest.mark.parametrize("batch", [8, 16, 64])
def test_batch_norm_at_small_batches(batch):
    for name in ("relu", "tanh", "gelu"):
        found = measuring.normalised(
            name, 12, seeds=10, normalisation="batch", width=128, batch=batch, skipped=6
        )
        told = normalised_stack(name, 12, normalisation="batch", batch=batch)
        assert told.per_block == pytest.approx(found.per_block, rel=TOLERANCE)


def test_published_rates_of_finite_batches():
    """Yang et al. 2019, equation 25 for ReLU, and (B - 2)/(B - 3) for linear networks."""
    for batch, rate in ((8, 1.788), (16, 1.590), (64, 1.493), (256, 1.473)):
        assert batch_norm_factor("relu", batch) == pytest.approx(rate, abs=6e-4)
    for batch in (4, 5, 8, 100, 1000):
        assert batch_norm_factor("identity", batch) == pytest.approx((batch - 2) / (batch - 3), rel=1e-9)


def test_a_batch_of_three_has_no_rate():
    with pytest.raises(SpecError, match="a batch is a whole number of 4 or more, not 3"):
        batch_norm_factor("relu", 3)


def test_a_large_batch():
    assert batch_norm_factor("relu") == pytest.approx(math.pi / (math.pi - 1), rel=1e-9)
    assert batch_norm_factor("identity") == pytest.approx(1.0)
    for name in NAMES:
        assert batch_norm_factor(name, 100_000) == pytest.approx(batch_norm_factor(name), rel=1e-4)
        # on both sides of where the integral ends and 1/B begins
        assert batch_norm_factor(name, 1001) == pytest.approx(batch_norm_factor(name, 1000), rel=1e-5)


@pytest.mark.parametrize("name", [*NAMES, "own"])
def test_batch_norm_never_lets_a_gradient_vanish(name):
    """Poincaré's inequality."""
    assert batch_norm_factor(name) >= 1 - 1e-12


def test_the_scale_of_the_weights_does_not_matter():
    for normalisation in ("layer", "rms", "batch"):
        rates = [
            normalised_stack("gelu", 9, w, normalisation=normalisation).per_block for w in (0.1, 1.0, 9.0)
        ]
        assert rates == pytest.approx([rates[0]] * 3)


def test_the_first_block_knows_its_input():
    first = normalised_stack("relu", 3, 2.0, input_variance=4.0)
    assert first.backward == pytest.approx([0.25, 1.0, 1.0])
    assert first.forward == pytest.approx([0.25, 0.25, 0.25])


@pytest.mark.parametrize("name", ["relu", "tanh", "silu"])
def test_the_drift_of_norms_is_a_derivative(name):
    """Against draws: the variance over the batch of f of a sample that is larger by ε."""
    z = np.random.default_rng(0).normal(size=2_000_000)
    f = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "silu": lambda x: x / (1 + np.exp(-x))}[name]
    excess = 0.02
    mean = np.mean(f(z))
    base = np.mean((f(z) - mean) ** 2)
    above, below = (np.mean((f(z * math.sqrt(1 + e)) - mean) ** 2) for e in (excess, -excess))
    assert norm_drift(name) == pytest.approx((above - below) / (2 * excess * base), rel=0.01)


@pytest.mark.slow
def test_the_limit_on_the_depth_is_needed():
    """From the 12th to the 24th of 48 layers, SiLU and Hardswish are more than 5 % off; ReLU is not."""
    for name, off in (("silu", True), ("hardswish", True), ("relu", False)):
        found = measuring.normalised(name, 48, seeds=6, normalisation="batch", batch=128)
        measured = (found.backward[12] / found.backward[24]) ** (1 / 24)
        assert (abs(math.sqrt(batch_norm_factor(name, 128)) / measured - 1) > TOLERANCE) == off
        assert bool(normalised_stack(name, 24, normalisation="batch", batch=128).outside) == off


def test_outside_it_says_so():
    found = normalised_stack("silu", 30, normalisation="batch", batch=128)
    assert found.outside == (
        "BatchNorm with silu lets the samples' norms drift apart, e-fold in 10 layers, and 30 layers are more; "
        "choose a smaller depth or a batch of 16 or less"
    )
    assert math.isnan(found.per_block)
    assert normalised_stack("relu", 4, normalisation="batch", batch=3).outside == (
        "a batch of 3 is below 4, where the mean square of the gradient is infinite"
    )
    assert normalised_stack("silu", 30, normalisation="batch", batch=16).outside == ""
    assert (
        "nearly linear" in normalised_stack("sigmoid", 40, normalisation="batch", width=64, batch=64).outside
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "the depth is a whole number of 1 or more, not 0"),
        ({"normalisation": "none"}, 'normalisation "none" is not known; known are layer, rms, batch'),
        ({"normalisation": "batch", "batch": 1}, "a batch is a whole number of 2 or more, not 1"),
        ({"bias_variance": -1.0}, "the bias variance σ_b² is 0 or more and finite, not -1"),
        ({"width": 0}, "the width is a whole number of 1 or more, not 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(SpecError) as error:
        normalised_stack("relu", **{"depth": 4, **arguments})
    assert str(error.value) == message
