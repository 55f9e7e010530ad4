"""Expectations against closed forms and mpmath; kinks against where they are known to be."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from evenflow.spec.activation import activation
from evenflow.spec.quadrature import find_kinks, gaussian_mean

mp: Any = mpmath.mp
CLOSED_FORMS = {
    "z²": (lambda z: z**2, 1.0),
    "z⁸": (lambda z: z**8, 105.0),
    "|z|": (np.abs, math.sqrt(2 / math.pi)),
    "step": (lambda z: (z > 0.3371) * 1.0, 0.5 * math.erfc(0.3371 / math.sqrt(2))),
    "relu²": (lambda z: np.maximum(z, 0) ** 2, 0.5),
    "relu of z - 1": (
        lambda z: np.maximum(z - 1, 0),
        math.exp(-0.5) / math.sqrt(2 * math.pi) - 0.5 * math.erfc(1 / math.sqrt(2)),
    ),
    "cos": (np.cos, math.exp(-0.5)),
    "constant": (lambda z: np.full_like(z, 3.0), 3.0),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_equals_the_closed_form_without_knowing_the_kinks(name):
    function, expected = CLOSED_FORMS[name]
    assert gaussian_mean(function) == pytest.approx(expected, rel=1e-12)


def test_gauss_hermite_would_fail_on_a_kink():
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    hermite = weights @ np.abs(nodes) / math.sqrt(2 * math.pi)
    assert abs(hermite / math.sqrt(2 / math.pi) - 1) > 1e-3


@pytest.mark.parametrize("variance", [0.0, 1e-8, 0.3, 1.0, 50.0, 1e6])
def test_relu_scales_with_the_variance(variance):
    relu = activation("relu")
    assert gaussian_mean(lambda z: relu(z) ** 2, variance) == pytest.approx(variance / 2, rel=1e-13)


@pytest.mark.parametrize("variance", [1e-4, 1.0, 100.0, 1e4])
def test_sharp_functions_at_large_variance_equal_mpmath(variance):
    with mp.workdps(30):
        scale = mp.sqrt(variance)

        def integrand(z):
            return mp.tanh(scale * z) ** 2 * mp.npdf(z)

        cuts = [mp.mpf(0), *(mp.mpf(10) ** power for power in range(-6, 1)), 3, 6, 12]
        expected = float(2 * mp.quad(integrand, cuts))
    assert gaussian_mean(lambda z: np.tanh(z) ** 2, variance) == pytest.approx(expected, rel=1e-12)


def test_an_infinite_function_ends_and_says_so():
    assert gaussian_mean(lambda z: np.where(z > 1, np.inf, 0.0)) == math.inf


@pytest.mark.parametrize(
    ("name", "kinks"),
    [
        ("relu", (0.0,)),
        ("leaky_relu", (0.0,)),
        ("selu", (0.0,)),
        ("hardswish", (-3.0, 3.0)),
        ("elu", ()),
        ("elu:2.0", (0.0,)),
        ("gelu", ()),
        ("softsign", ()),
        ("tanh", ()),
        ("identity", ()),
    ],
)
def test_kinks_of_the_catalogue(name, kinks):
    assert find_kinks(activation(name).derivative) == kinks


def test_kinks_off_the_grid_are_found_to_the_last_digits():
    places = (-7.123456789, 1 / 3, math.pi)
    slope = lambda z: np.searchsorted(places, z).astype(float)  # noqa: E731
    assert find_kinks(slope) == pytest.approx(places, rel=1e-13)


def test_a_steep_slope_is_not_a_kink():
    assert find_kinks(lambda z: np.tanh(1e4 * z)) == ()
