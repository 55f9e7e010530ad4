"""Moments against 25-digit arithmetic, closed forms and random numbers; errors by their wording."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath.calculus.quadrature import GaussLegendre

from evenflow.errors import SpecError
from evenflow.spec.activation import activation, activation_names, register_activation
from evenflow.theory.gaussian import Moments, moments

mp: Any = mpmath.mp
SETTINGS = [*activation_names()[:15], "elu:2.0", "leaky_relu:0.2", "own"]
NAMES = [one.name for one in fields(Moments)][1:]


def _sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def _rectifier(below):
    return lambda z: z if z > 0 else below * z, lambda z: mp.mpf(1) if z > 0 else mp.mpf(below)


def _elu(alpha, scale=1.0):
    alpha, scale = mp.mpf(alpha), mp.mpf(scale)
    return (
        lambda z: scale * (z if z > 0 else alpha * mp.expm1(z)),
        lambda z: scale * (1 if z > 0 else alpha * mp.exp(z)),
    )


def _gelu_tanh():
    a, b = mp.sqrt(2 / mp.pi), mp.mpf("0.044715")

    def slope(z):
        t = mp.tanh(a * (z + b * z**3))
        return (1 + t) / 2 + z / 2 * (1 - t * t) * a * (1 + 3 * b * z * z)

    return lambda z: z / 2 * (1 + mp.tanh(a * (z + b * z**3))), slope


def _mish():
    def tanh_softplus(z):
        return mp.tanh(mp.log1p(mp.exp(z)))

    return (
        lambda z: z * tanh_softplus(z),
        lambda z: tanh_softplus(z) + z * (1 - tanh_softplus(z) ** 2) * _sigmoid(z),
    )


def _own():
    value, slope = _mish()
    return lambda z: value(z) + mp.sin(3 * z) / 10, lambda z: slope(z) + mp.mpf(3) / 10 * mp.cos(3 * z)


def in_mpmath(name):
    """f, f' and the kinks, written again with mpmath."""
    pairs = {
        "sigmoid": lambda: (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
        "tanh": lambda: (mp.tanh, lambda z: mp.sech(z) ** 2),
        "relu": lambda: _rectifier(0),
        "leaky_relu": lambda: _rectifier(mp.mpf(0.01)),
        "leaky_relu:0.2": lambda: _rectifier(mp.mpf(0.2)),
        "prelu": lambda: _rectifier(mp.mpf(0.25)),
        "elu": lambda: _elu(1),
        "elu:2.0": lambda: _elu(2),
        "selu": lambda: _elu(1.6732632423543772, 1.0507009873554805),
        "gelu": lambda: (lambda z: z * mp.ncdf(z), lambda z: mp.ncdf(z) + z * mp.npdf(z)),
        "gelu_tanh": _gelu_tanh,
        "silu": lambda: (
            lambda z: z * _sigmoid(z),
            lambda z: _sigmoid(z) * (1 + z * _sigmoid(-z)),
        ),
        "softplus": lambda: (lambda z: mp.log1p(mp.exp(z)), _sigmoid),
        "mish": _mish,
        "hardswish": lambda: (
            lambda z: z * min(max(z + 3, mp.mpf(0)), mp.mpf(6)) / 6,
            lambda z: mp.mpf(0) if z <= -3 else (mp.mpf(1) if z >= 3 else z / 3 + mp.mpf(1) / 2),
        ),
        "softsign": lambda: (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
        "identity": lambda: (lambda z: z, lambda z: mp.mpf(1)),  # noqa: ARG005
        "own": _own,
    }
    return *pairs[name](), [3, -3] if name == "hardswish" else []


def in_25_digits(name, variance):
    """Every field of `Moments`, and the means of their sizes, by composite Gauss-Legendre in 30 digits."""
    with mp.workdps(30):
        f, slope, kinks = in_mpmath(name)
        scale = mp.sqrt(mp.mpf(variance))
        cuts = [mp.mpf(12) / 2**k for k in range(18)]
        cuts += [mp.mpf(k) / 4 for k in range(1, 48)] + [abs(kink) / scale for kink in kinks]
        if name == "own" and variance > 1:  # sin(3·√q·z): four panels a wavelength
            waves = int(12 * 3 * scale / (2 * mp.pi)) + 1
            cuts += [mp.mpf(12) * k / (4 * waves) for k in range(1, 4 * waves)]
        cuts = [mp.mpf(0), *sorted({cut for cut in cuts if cut <= 12})]
        degree = 3 if name == "own" and variance > 1 else 4  # 12 or 24 nodes a panel
        rule = GaussLegendre(mp).get_nodes(-1, 1, degree, mp.prec)
        means, sizes = [mp.mpf(0)] * len(NAMES), [mp.mpf(0)] * len(NAMES)
        for low, high in itertools.pairwise(cuts):
            for node, weight in rule:
                z = (low + high) / 2 + (high - low) / 2 * node
                density = mp.npdf(z) * weight * (high - low) / 2
                x = scale * z
                sides = [(f(x), slope(x)), (f(-x), slope(-x))]
                for (a, s), (b, t), at in ((*sides, z), (*reversed(sides), -z)):
                    terms = (
                        a,
                        a**2,
                        a**4,
                        s,
                        s**2,
                        s**4,
                        (a * s) ** 2,
                        a * s * at,
                        (s * at) ** 2,
                        a * b,
                        s * t,
                    )
                    for place, term in enumerate(terms):
                        means[place] += term * density
                        sizes[place] += abs(term) * density
        return {
            name: (float(mean), float(size)) for name, mean, size in zip(NAMES, means, sizes, strict=True)
        }


def assert_equal_to_25_digits(name, variance):
    found = moments(name, variance)
    for field, (mean, size) in in_25_digits(name, variance).items():
        # what cancels to 0, such as E[tanh], is compared with the mean of its size
        cancels = abs(mean) < 1e-5 * size
        tolerance = 1e-10 * (size if cancels else abs(mean))
        assert abs(float(getattr(found, field)) - mean) <= tolerance, field


@pytest.mark.parametrize("name", ["gelu", "hardswish", "softsign", "own"])
def test_moments_equal_25_digits(name):
    assert_equal_to_25_digits(name, 0.7)


@pytest.mark.slow
@pytest.mark.parametrize("variance", [1e-8, 1e-2, 1.0, 300.0, 1e4])
@pytest.mark.parametrize("name", SETTINGS)
def test_moments_of_every_activation_equal_25_digits(name, variance):
    assert_equal_to_25_digits(name, variance)


@pytest.mark.parametrize("name", ["tanh", "hardswish", "own"])
def test_moments_agree_with_random_numbers(name):
    x = math.sqrt(2.0) * np.random.default_rng(0).normal(size=400_000)
    found = moments(name, 2.0)
    function = activation(name)
    f, slope = function(x), function.derivative(x)
    samples = {
        "mean": f,
        "second": f**2,
        "fourth": f**4,
        "slope_mean": slope,
        "slope_second": slope**2,
        "slope_fourth": slope**4,
        "joint": (f * slope) ** 2,
        "radial": f * slope * x / math.sqrt(2.0),
        "slope_radial": (slope * x) ** 2 / 2.0,
        "mirrored": f * function(-x),
        "slope_mirrored": slope * function.derivative(-x),
    }
    assert set(samples) == set(NAMES)
    for field, sample in samples.items():
        error = 5 * sample.std() / math.sqrt(sample.size) + 1e-12
        assert abs(float(getattr(found, field)) - sample.mean()) < error, field


def test_one_call_takes_many_variances_in_any_shape():
    q = np.array([[0.5, 2.0], [2.0, 0.0]])
    found = moments("tanh", q)
    assert found.second.shape == q.shape
    assert found.second[0, 1] == found.second[1, 0] == moments("tanh", 2.0).second
    assert found.second[1, 1] == 0


def test_a_slope_that_differentiation_cannot_give_is_taken_from_the_function(own):
    assert math.isnan(own.derivative(800.0))  # ∞/∞ in exp
    assert moments("own", 2e4).slope_second == pytest.approx(0.5 + 0.09 / 2, abs=1e-3)


def test_a_fourth_moment_may_be_infinite():
    register_activation("sharp", lambda z: np.exp(z * z / 8))
    found = moments("sharp", 1.0)  # E[exp(z²/4)] exists, E[exp(z²/2)] does not
    assert found.second == pytest.approx(math.sqrt(2), rel=1e-10)
    assert found.fourth == math.inf


@pytest.mark.parametrize(
    ("name", "variance", "message"),
    [
        (
            "rellu",
            1.0,
            'activation "rellu" is not known; did you mean "relu"? \'evenflow activations\' lists all 16.',
        ),
        (
            "relu",
            -1.0,
            'activation "relu": the variance of a pre-activation is 0 or more and finite, not -1',
        ),
        (
            "relu",
            math.nan,
            'activation "relu": the variance of a pre-activation is 0 or more and finite, not nan',
        ),
        (
            "steep",
            4.0,
            'activation "steep": E[f(x)²] is infinite for x of variance 4, so nothing can be predicted; '
            "choose a smaller variance or an activation that grows more slowly",
        ),
        (
            "root",
            1.0,
            'activation "root": E[f\'(x)²] is infinite for x of variance 1, so nothing can be predicted; '
            "choose a smaller variance or an activation that grows more slowly",
        ),
    ],
)
def test_bad_input_is_refused(name, variance, message):
    register_activation("steep", lambda z: np.exp(np.minimum(z * z / 8, 700)))
    register_activation(
        "root",
        lambda z: np.sign(z) * np.sqrt(np.abs(z)),
        lambda z: 0.5 / np.sqrt(np.maximum(np.abs(z), 1e-300)),
    )
    if name == "rellu":
        message = message.replace("16", "18")  # own, steep and root have been registered
    with pytest.raises(SpecError) as error:
        moments(name, variance)
    assert str(error.value) == message
