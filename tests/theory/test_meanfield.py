"""Variance maps, fixed points, phases: published figures, closed forms, wide networks and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import SpecError
from evenflow.spec.activation import activation, activation_names
from evenflow.theory.meanfield import (
    chi,
    correlation_map,
    depth_scale,
    fixed_points,
    gain,
    is_scale_invariant,
    settled_variance,
    variance_map,
    variance_slope,
)
from evenflow.theory.phases import phase

NAMES = activation_names()[:15]


def test_selu_keeps_its_famous_fixed_point():
    zero, one = fixed_points("selu", 1.0)
    assert (zero.variance, zero.stable) == (0.0, False)
    assert one.variance == pytest.approx(1.0, abs=1e-10)
    assert one.slope == pytest.approx(0.782648, abs=1e-6)  # Klambauer et al. 2017, equation 6
    assert one.stable
    assert phase("selu", 1.0).chi == pytest.approx(1.0715750, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "weight_variance", "variance", "chi_1", "called"),
    [
        ("softplus", 2.0, math.inf, 1.0, "ordered"),
        ("tanh", 25 / 9, 1.178, 1.2098, "chaotic"),
        ("tanh", 2.0, 0.618, 1.1055, "chaotic"),
        ("sigmoid", 1.0, 0.265, 0.0557, "ordered"),
        ("relu", 2.0, 1.0, 1.0, "critical"),
        ("relu", 1 / 3, 0.0, 1 / 6, "ordered"),
        ("tanh", 0.9, 0.0, 0.9, "ordered"),
        ("relu", 3.0, math.inf, 1.5, "chaotic"),
        ("gelu", 2.0, 0.0, 0.5, "ordered"),
        ("identity", 1.0, 1.0, 1.0, "critical"),
    ],
)
def test_phases(name, weight_variance, variance, chi_1, called):
    found = phase(name, weight_variance)
    assert (round(found.variance, 3), found.name) == (variance, called)
    assert found.chi == pytest.approx(chi_1, abs=6e-5)


def test_an_oscillating_activation_that_grows_without_bound_takes_no_time_or_memory():
    found = phase("own", 2.2, 0.1)
    assert found.variance == math.inf
    assert found.chi == pytest.approx(2.2 * (0.5 + 0.045), rel=0.01)  # E[(0.3·cos)²] is 0.045


def test_the_numbers_of_a_phase_fit_together():
    found = phase("tanh", 1.76, 0.05)
    assert found.name == "ordered" or found.correlation < 1
    after = correlation_map("tanh", found.correlation, found.variance, 1.76, 0.05)
    assert float(after) == pytest.approx(found.correlation, abs=1e-10)
    assert found.trainable_depth == pytest.approx(6 * found.correlation_scale)
    for scale, factor in (
        (found.variance_scale, found.variance_slope),
        (found.correlation_scale, found.correlation_slope),
        (found.gradient_scale, found.chi),
    ):
        assert math.exp(-1 / scale) == pytest.approx(factor)


def test_in_the_ordered_phase_correlation_and_gradient_have_one_scale():
    found = phase("tanh", 1.0, 0.1)
    assert found.name == "ordered"
    assert found.correlation == 1.0
    assert found.correlation_scale == found.gradient_scale > 0


def test_where_it_starts_decides_where_gelu_ends():
    assert settled_variance("gelu", 2.2, start=1e-3) == 0.0
    assert settled_variance("gelu", 2.2, start=100.0) == math.inf
    stable = fixed_points("gelu", 1.98, 0.2)
    assert [point.stable for point in stable] == [True]
    assert settled_variance("gelu", 1.98, 0.2) == pytest.approx(stable[0].variance)


def test_two_fixed_points_close_together_are_both_found():
    found = fixed_points("gelu", 2.02, 0.13)
    assert [point.stable for point in found] == sorted((point.stable for point in found), reverse=True)
    for point in found:
        after = float(variance_map("gelu", point.variance, 2.02, 0.13))
        assert after == pytest.approx(point.variance, rel=1e-9)


def test_relu_correlations_collapse_by_the_known_law():
    c, kept = 0.0, {}
    for layer in range(1, 101):
        c = float(correlation_map("relu", c, 1.0, 2.0))
        kept[layer] = c
    assert (round(kept[10], 4), round(kept[100], 5)) == (
        0.8715,
        0.99642,
    )  # Hayou et al. 2019: 1 - c ~ 9π²/(2l²)


@pytest.mark.parametrize(
    ("name", "expected"), [("tanh", 1.592537), ("relu", math.sqrt(2)), ("identity", 1.0), ("selu", 1.0)]
)
def test_gains(name, expected):
    assert gain(name) == pytest.approx(expected, abs=1e-6)
    assert float(variance_map(name, 3.0, gain(name, 3.0) ** 2)) == pytest.approx(3.0)


def test_centred_gains_are_those_of_normaliser_free_networks():
    assert gain("relu", centred=True) == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)), rel=1e-12)
    assert gain("silu", centred=True) == pytest.approx(1.787187, abs=1e-6)


def test_depth_scales():
    assert depth_scale(math.exp(-1 / 7)) == pytest.approx(7.0)
    assert depth_scale(math.exp(1 / 7)) == pytest.approx(-7.0)
    assert depth_scale(1.0) == math.inf
    assert depth_scale(0.0) == 0.0


def test_scale_invariant_activations():
    assert [name for name in NAMES if is_scale_invariant(name)] == ["relu", "leaky_relu", "prelu", "identity"]


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "softplus", "own"])
def test_wide_networks_follow_the_maps(name):
    """Four layers, width 1024, 8 networks: the variance within 4 %, the squared gradient within 12 % after four."""
    width, depth, random = 1024, 4, np.random.default_rng(0)
    function = activation(name)
    x = random.normal(size=(8, width))
    h = x * np.sqrt(0.7 / np.mean(x**2, axis=1, keepdims=True))
    q, ratio = 0.7, 1.0
    product = np.ones(8)
    for _ in range(depth):
        weight = random.normal(size=(8, width, width)) * math.sqrt(1.7 / width)
        bias = random.normal(size=(8, width)) * math.sqrt(0.1)
        # a fresh Gaussian gradient behind the layer: its squared norm is multiplied by χ₁
        gradient = np.einsum("nij,ni->nj", weight, random.normal(size=(8, width))) * function.derivative(h)
        product *= np.mean(gradient**2, axis=1)
        ratio *= float(chi(name, q, 1.7))
        h = np.einsum("nij,nj->ni", weight, function(h)) + bias
        q = float(variance_map(name, q, 1.7, 0.1))
        assert np.mean(h**2) == pytest.approx(q, rel=0.04)
    assert np.mean(product) == pytest.approx(ratio, rel=0.12)


@given(st.sampled_from(NAMES), st.floats(0.01, 50.0), st.floats(0.1, 5.0), st.floats(1.01, 3.0))
@settings(max_examples=50, deadline=None)
def test_the_variance_map_rises_with_the_weights(name, q, weight_variance, factor):
    assert variance_map(name, q, factor * weight_variance, 0.1) > variance_map(name, q, weight_variance, 0.1)


@given(st.sampled_from(NAMES), st.floats(0.05, 20.0))
@settings(max_examples=50, deadline=None)
def test_the_slope_is_that_of_the_variance_map(name, q):
    step = 1e-4 * q
    rise = variance_map(name, q + step, 1.3) - variance_map(name, q - step, 1.3)
    assert float(variance_slope(name, q, 1.3)) == pytest.approx(float(rise) / (2 * step), rel=1e-5, abs=1e-8)


@given(st.sampled_from(["tanh", "gelu", "softplus", "elu", "silu", "relu", "selu"]), st.floats(0.1, 5.0))
@settings(max_examples=30, deadline=None)
def test_chi_is_the_slope_of_the_correlation_map_at_1(name, q):
    # the bias makes q a fixed point: σ_b² = q - σ_w²·V(q)
    weight_variance = 0.5 * q / float(variance_map(name, q, 1.0))
    step = 1e-6
    below = correlation_map(name, 1 - step, q, weight_variance, 0.5 * q)
    slope = (1 - float(below)) / step
    assert slope == pytest.approx(float(chi(name, q, weight_variance)), rel=5e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: variance_map("relu", 1.0, 0.0), "the weight variance σ_w² is above 0 and finite, not 0"),
        (lambda: phase("relu", math.nan), "the weight variance σ_w² is above 0 and finite, not nan"),
        (lambda: fixed_points("relu", 1.0, -0.1), "the bias variance σ_b² is 0 or more and finite, not -0.1"),
        (
            lambda: phase("relu", 1.0, start=-1.0),
            'activation "relu": the variance of a pre-activation is 0 or more and finite, not -1',
        ),
        (
            lambda: gain("tanh", 0.0),
            'activation "tanh" has no gain at variance 0: what it puts out does not vary',
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(SpecError) as error:
        call()
    assert str(error.value) == message
