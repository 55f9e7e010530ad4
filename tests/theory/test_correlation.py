"""Correlation maps against closed forms, SciPy's dblquad and random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import SpecError
from evenflow.spec.activation import activation, activation_names, register_activation
from evenflow.theory.correlation import slope_kernel, value_kernel
from evenflow.theory.gaussian import kinks_of, moments
from evenflow.theory.orthants import ramp_kernel, step_kernel

CORRELATIONS = np.array([-1.0, -0.9, -0.3, 0.0, 0.3, 0.7, 0.99, 0.999999, 1.0])
NAMES = activation_names()[:15]


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (0.3, 40.0)])
def test_relu_gives_the_arc_cosine_kernels(first, second):
    angle = np.arccos(CORRELATIONS)  # Cho & Saul 2009, degrees 1 and 0
    value = (np.sin(angle) + (math.pi - angle) * CORRELATIONS) * math.sqrt(first * second) / (2 * math.pi)
    assert value_kernel("relu", first, second, CORRELATIONS) == pytest.approx(value, rel=1e-12, abs=1e-14)
    slope = (math.pi - angle) / (2 * math.pi)
    assert slope_kernel("relu", first, second, CORRELATIONS) == pytest.approx(slope, abs=1e-14)


@pytest.mark.parametrize(
    ("first", "second", "value_error", "slope_error"),
    [(1.0, 1.0, 1e-13, 1e-11), (0.2, 3.0, 1e-9, 1e-7), (30.0, 30.0, 1e-5, 3e-4)],
)
def test_erf_has_its_closed_form(first, second, value_error, slope_error):
    from scipy.special import erf

    register_activation("erf", erf)
    u, v = 2 * first, 2 * second
    covariance = 2 * CORRELATIONS * math.sqrt(first * second)  # Williams 1997, equation 11
    value = 2 / math.pi * np.arcsin(covariance / math.sqrt((1 + u) * (1 + v)))
    slope = 4 / math.pi / np.sqrt((1 + u) * (1 + v) - covariance**2)
    assert value_kernel("erf", first, second, CORRELATIONS) == pytest.approx(value, abs=value_error)
    assert slope_kernel("erf", first, second, CORRELATIONS) == pytest.approx(
        slope, abs=slope_error * slope[-1]
    )


def _double_integral(function, first, second, c):
    """E[g(u)·g(v)] as a double integral of g against the density."""
    from scipy.integrate import dblquad

    a, b, side = math.sqrt(first), math.sqrt(second), math.sqrt(1 - c * c)

    def integrand(w, z):
        return (
            function(a * z)
            * function(b * (c * z + side * w))
            * math.exp(-(z * z + w * w) / 2)
            / (2 * math.pi)
        )

    return dblquad(integrand, -9, 9, -9, 9, epsabs=1e-9, epsrel=1e-9)[0]


@pytest.mark.parametrize("name", ["tanh", pytest.param("own", marks=pytest.mark.slow), "softplus"])
def test_smooth_activations_equal_dblquad(name):
    function = activation(name)
    expected = _double_integral(function, 0.5, 2.0, 0.6)
    assert float(value_kernel(name, 0.5, 2.0, 0.6)) == pytest.approx(expected, abs=1e-8)
    expected = _double_integral(function.derivative, 0.5, 2.0, 0.6)
    assert float(slope_kernel(name, 0.5, 2.0, 0.6)) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", [*NAMES, "own"])
@pytest.mark.parametrize("c", [-0.8, 0.5, 0.97])
def test_every_activation_agrees_with_random_numbers(name, c):
    random = np.random.default_rng(1).normal(size=(2, 200_000))
    u, v = math.sqrt(0.5) * random[0], math.sqrt(3.0) * (c * random[0] + math.sqrt(1 - c * c) * random[1])
    function = activation(name)
    for kernel, g in ((value_kernel, function), (slope_kernel, function.derivative)):
        product = g(u) * g(v)
        error = 5 * product.std() / math.sqrt(product.size) + 1e-12
        assert abs(float(kernel(name, 0.5, 3.0, c)) - product.mean()) < error


@pytest.mark.parametrize("name", [*NAMES, "own"])
@pytest.mark.parametrize("q", [1e-6, 1.0, 100.0])
def test_the_ends_are_exact(name, q):
    exact = moments(name, q)
    ends = np.array([1.0, -1.0])
    scale = float(exact.second)
    assert value_kernel(name, q, q, ends) == pytest.approx([exact.second, exact.mirrored], abs=1e-12 * scale)
    assert slope_kernel(name, q, q, ends) == pytest.approx(
        [exact.slope_second, exact.slope_mirrored], abs=1e-12
    )


@pytest.mark.parametrize("name", ["relu", "selu", "tanh", "hardswish", "own"])
def test_many_variances_are_interpolated_to_the_same_values(name):
    random = np.random.default_rng(2)
    q = random.uniform(0.2, 5.0, size=60)
    c = random.uniform(-1, 1, size=60)
    for kernel in (value_kernel, slope_kernel):
        together = kernel(name, q, q[::-1], c)
        alone = [float(kernel(name, q[i], q[59 - i], c[i])) for i in range(0, 60, 7)]
        assert together[::7] == pytest.approx(alone, abs=1e-9)


@given(
    st.sampled_from(["tanh", "relu", "selu", "gelu", "hardswish"]),
    st.floats(0.1, 10.0),
    st.floats(0.1, 10.0),
    st.floats(-1, 1),
)
@settings(max_examples=40, deadline=None)
def test_kernels_are_symmetric_and_bounded(name, first, second, c):
    there, back = value_kernel(name, first, second, c), value_kernel(name, second, first, c)
    bound = math.sqrt(float(moments(name, first).second * moments(name, second).second))
    assert float(there) == pytest.approx(float(back), rel=1e-12, abs=1e-14)
    assert abs(float(there)) <= bound * (1 + 1e-9)


@given(st.floats(0.01, 100.0), st.floats(0.01, 100.0), st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_relu_is_scale_invariant(scale, q, c):
    assert float(value_kernel("relu", scale * q, q, c)) == pytest.approx(
        float(math.sqrt(scale) * q * value_kernel("relu", 1.0, 1.0, c)), rel=1e-10, abs=1e-14 * q
    )


@pytest.mark.parametrize(
    ("t", "s", "c"), [(0.5, -1.0, 0.3), (0.0, 0.7, -0.6), (-1.2, 0.0, 0.9), (2.0, 2.0, 0.5)]
)
def test_two_thresholds_agree_with_the_integral(t, s, c):
    from scipy.integrate import quad
    from scipy.special import ndtr

    side = math.sqrt(1 - c * c)

    def step(z):
        return ndtr((c * z - s) / side) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    def ramp(z):
        mean = c * z - s
        inner = mean * ndtr(mean / side) + side * math.exp(-((mean / side) ** 2) / 2) / math.sqrt(2 * math.pi)
        return (z - t) * inner * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    at = (np.array(t), np.array(s), np.array(c))
    assert float(step_kernel(*at)) == pytest.approx(quad(step, t, 12)[0], abs=1e-10)
    assert float(ramp_kernel(*at)) == pytest.approx(quad(ramp, t, 12)[0], abs=1e-10)


def test_a_kink_makes_plain_series_wrong_near_1():
    """The reason for the closed forms: 160 terms alone leave 2 % of ReLU's slope kernel out at c = 1."""
    from evenflow.theory import correlation

    alone = correlation.coefficients_at(activation("relu"), 1.0)[1]
    assert np.sum(alone**2) < 0.5 * 0.985
    assert kinks_of(activation("relu")) == (0.0,)


@pytest.mark.parametrize("c", [1.1, -2.0, math.nan])
def test_a_correlation_out_of_range_is_refused(c):
    with pytest.raises(SpecError) as error:
        value_kernel("relu", 1.0, 1.0, c)
    assert str(error.value) == f"a correlation lies from -1 to 1, not at {c:g}"
