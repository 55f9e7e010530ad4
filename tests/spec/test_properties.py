"""Measured properties against mpmath, closed forms and what the papers state."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from evenflow.spec import activation as activation_module
from evenflow.spec.activation import activation, activation_names, register_activation
from evenflow.spec.properties import Properties, properties

mp: Any = mpmath.mp
INFINITY = math.inf


def sigma(z):
    return 1 / (1 + mp.exp(-z))


# f and f', written out a second time, with the places where the integral must be cut
IN_MPMATH = {
    "sigmoid": (sigma, lambda z: sigma(z) * sigma(-z)),
    "tanh": (mp.tanh, lambda z: mp.sech(z) ** 2),
    "relu": (lambda z: max(z, mp.mpf(0)), lambda z: mp.mpf(z > 0)),
    "leaky_relu": (lambda z: z if z > 0 else z * mp.mpf(0.01), lambda z: mp.mpf(1 if z > 0 else 0.01)),
    "prelu": (lambda z: z if z > 0 else z / 4, lambda z: mp.mpf(1 if z > 0 else 0.25)),
    "elu": (lambda z: z if z > 0 else mp.expm1(z), lambda z: 1 if z > 0 else mp.exp(z)),
    "selu": (
        lambda z: mp.mpf(1.0507009873554805) * (z if z > 0 else mp.mpf(1.6732632423543772) * mp.expm1(z)),
        lambda z: mp.mpf(1.0507009873554805) * (1 if z > 0 else mp.mpf(1.6732632423543772) * mp.exp(z)),
    ),
    "gelu": (lambda z: z * mp.ncdf(z), lambda z: mp.ncdf(z) + z * mp.npdf(z)),
    "gelu_tanh": (
        lambda z: z * sigma(mp.sqrt(8 / mp.pi) * (z + mp.mpf("0.044715") * z**3)),
        lambda z: mp.diff(lambda t: t * sigma(mp.sqrt(8 / mp.pi) * (t + mp.mpf("0.044715") * t**3)), z),
    ),
    "silu": (lambda z: z * sigma(z), lambda z: sigma(z) * (1 + z * sigma(-z))),
    "softplus": (lambda z: mp.log1p(mp.exp(z)), sigma),
    "mish": (
        lambda z: z * mp.tanh(mp.log1p(mp.exp(z))),
        lambda z: mp.tanh(mp.log1p(mp.exp(z))) + z * sigma(z) * mp.sech(mp.log1p(mp.exp(z))) ** 2,
    ),
    "hardswish": (
        lambda z: z * min(max(z + 3, mp.mpf(0)), mp.mpf(6)) / 6,
        lambda z: mp.mpf(z > 3) if abs(z) > 3 else z / 3 + mp.mpf(1) / 2,
    ),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    "identity": (lambda z: z, lambda _: mp.mpf(1)),
}


@pytest.fixture(autouse=True)
def _forget_custom(monkeypatch):
    monkeypatch.setattr(activation_module, "_custom", {})


@pytest.mark.parametrize("name", IN_MPMATH)
def test_expectations_equal_mpmath(name):
    function, slope = IN_MPMATH[name]
    found = properties(name)
    cuts = [-13, -6, -3, -1, 0, 1, 3, 6, 13]
    with mp.workdps(20):
        mean = mp.quad(lambda z: function(z) * mp.npdf(z), cuts)
        second_moment = mp.quad(lambda z: function(z) ** 2 * mp.npdf(z), cuts)
        slope_second_moment = mp.quad(lambda z: slope(z) ** 2 * mp.npdf(z), cuts)
    assert found.mean == pytest.approx(float(mean), rel=1e-10, abs=1e-12)
    assert found.second_moment == pytest.approx(float(second_moment), rel=1e-10)
    assert found.slope_second_moment == pytest.approx(float(slope_second_moment), rel=1e-10)
    assert found.gain == pytest.approx(1 / math.sqrt(second_moment), rel=1e-10)


def test_the_whole_catalogue_is_compared():
    assert set(IN_MPMATH) == set(activation_names())


def test_closed_forms():
    relu, leaky, identity = properties("relu"), properties("leaky_relu:0.2"), properties("identity")
    assert relu.second_moment == pytest.approx(0.5, rel=1e-14)
    assert relu.slope_second_moment == pytest.approx(0.5, rel=1e-14)
    assert relu.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-14)
    assert relu.gain == pytest.approx(math.sqrt(2), rel=1e-14)  # He et al. 2015
    assert leaky.second_moment == pytest.approx((1 + 0.04) / 2, rel=1e-14)
    assert identity.gain == pytest.approx(1.0, rel=1e-14)
    # Klambauer et al. 2017: zero mean and unit variance are kept exactly
    assert properties("selu").zero_centred
    assert properties("selu").gain == pytest.approx(1.0, rel=1e-12)
    assert properties("selu").slope_second_moment == pytest.approx(1.0715750, abs=5e-8)


@pytest.mark.parametrize(
    ("name", "slope", "at"),
    [
        ("sigmoid", 0.25, 0.0),
        ("tanh", 1.0, 0.0),
        ("relu", 1.0, 0.0),
        ("leaky_relu", 1.0, 0.0),
        ("prelu:2.0", 2.0, 0.0),
        ("elu", 1.0, 0.0),
        ("selu", 1.0507009873554805 * 1.6732632423543772, 0.0),
        ("gelu", 1.1289041451851547, math.sqrt(2)),  # Φ(√2) + √2 φ(√2), where f'' = (2 - z²) φ(z) = 0
        ("softplus", 1.0, INFINITY),
        ("hardswish", 1.5, 3.0),
        ("softsign", 1.0, 0.0),
        ("identity", 1.0, 0.0),
    ],
)
def test_largest_slope_and_where(name, slope, at):
    found = properties(name)
    assert found.max_slope == pytest.approx(slope, rel=1e-12)
    assert found.max_slope_at == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(("name", "near"), [("gelu_tanh", 1.4), ("silu", 2.4), ("mish", 1.5)])
def test_largest_slope_equals_mpmath(name, near):
    slope = IN_MPMATH[name][1]
    with mp.workdps(20):
        at = mp.findroot(lambda z: mp.diff(slope, z), near)
        largest = slope(at)
    assert properties(name).max_slope == pytest.approx(float(largest), rel=1e-12)
    assert properties(name).max_slope_at == pytest.approx(float(at), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "minimum", "maximum"),
    [
        ("sigmoid", 0.0, 1.0),
        ("tanh", -1.0, 1.0),
        ("relu", 0.0, INFINITY),
        ("leaky_relu", -INFINITY, INFINITY),
        ("prelu:-0.5", 0.0, INFINITY),
        ("elu", -1.0, INFINITY),
        ("selu", -1.7580993408473766, INFINITY),
        ("gelu", -0.16997120747990366, INFINITY),
        ("silu", -0.2784645427610738, INFINITY),  # -W(1/e)
        ("softplus", 0.0, INFINITY),
        ("mish", -0.30884341301725037, INFINITY),
        ("hardswish", -0.375, INFINITY),
        ("softsign", -1.0, 1.0),
        ("identity", -INFINITY, INFINITY),
    ],
)
def test_range(name, minimum, maximum):
    found = properties(name)
    assert (found.minimum, found.maximum) == pytest.approx((minimum, maximum), rel=1e-12)
    assert math.copysign(1, found.minimum) == 1 or found.minimum != 0  # never printed as -0


def test_zero_centred_and_monotone():
    centred = {name for name in activation_names() if properties(name).zero_centred}
    falling = {name for name in activation_names() if not properties(name).monotone}
    assert centred == {"tanh", "selu", "softsign", "identity"}
    assert falling == {"gelu", "gelu_tanh", "silu", "mish", "hardswish"}


def test_saturated_regions():
    # σ' = σ(1 - σ) = 0.0025 where σ = (1 + √0.99)/2; sech² = 0.01 at arsech 0.1; 1/(1 + |z|)² = 0.01 at 9
    edge = math.log((1 + math.sqrt(0.99)) / (1 - math.sqrt(0.99)))
    for name, place in (("sigmoid", edge), ("tanh", math.acosh(10)), ("softsign", 9.0)):
        (low, left), (right, high) = properties(name).saturated
        assert (low, left, right, high) == pytest.approx((-INFINITY, -place, place, INFINITY), abs=1e-10)
    assert properties("relu").saturated == ((-INFINITY, 0.0),)
    assert properties("elu").saturated == ((-INFINITY, pytest.approx(math.log(0.01))),)
    for name in ("leaky_relu", "prelu", "identity"):
        assert properties(name).saturated == ()
    # GELU turns at -0.7518: there is no slope around its minimum either
    (_, left), (low, high) = properties("gelu").saturated
    assert left < -3 < low < -0.7518 < high


def test_dead_regions_are_exact_zeros_and_not_underflow():
    dead = {name: properties(name).dead for name in activation_names() if properties(name).dead}
    assert dead == {"relu": ((-INFINITY, 0.0),), "hardswish": ((-INFINITY, -3.0),)}
    assert activation("sigmoid").derivative(-1e4) == 0.0  # the underflow that must not count


def test_kinks_and_the_slope_at_zero():
    relu, gelu, elu = properties("relu"), properties("gelu"), properties("elu")
    assert (relu.kinks, relu.slope_at_zero, relu.slope_at_zero_is_convention) == ((0.0,), 0.0, True)
    assert (gelu.kinks, gelu.slope_at_zero, gelu.slope_at_zero_is_convention) == ((), 0.5, False)
    assert (elu.kinks, elu.slope_at_zero_is_convention) == ((), False)
    assert properties("hardswish").kinks == (-3.0, 3.0)


def test_a_custom_function_is_measured_like_its_twin():
    register_activation("my_silu", lambda z: z / (1 + np.exp(-z)))  # NaN at -∞, overflow at -10⁴
    register_activation("my_tanh", lambda z: torch.tanh(z))
    for custom, twin in (("my_silu", "silu"), ("my_tanh", "tanh")):
        measured, expected = properties(custom), properties(twin)
        for field in Properties.__dataclass_fields__:
            mine, theirs = getattr(measured, field), getattr(expected, field)
            assert np.ravel(mine) == pytest.approx(np.ravel(theirs), rel=1e-9, abs=1e-12), field


def test_extreme_custom_functions():
    register_activation("relu6", lambda z: np.clip(z, 0, 6))
    register_activation("square", lambda z: z * z)
    register_activation("step", lambda z: (z > 0) * 1.0)
    relu6, square, step = properties("relu6"), properties("square"), properties("step")
    assert relu6.dead == ((-INFINITY, 0.0), (6.0, INFINITY))
    assert (square.max_slope, square.maximum, square.minimum) == (INFINITY, INFINITY, 0.0)
    assert (square.monotone, square.saturated, square.second_moment) == (False, (), pytest.approx(3.0))
    assert (step.max_slope, step.dead, step.saturated) == (
        0.0,
        ((-INFINITY, INFINITY),),
        ((-INFINITY, INFINITY),),
    )
    register_activation("zero", lambda z: 0 * z)
    assert properties("zero").gain == INFINITY


def test_a_replaced_function_is_measured_anew():
    register_activation("mine", lambda z: z)
    assert properties("mine").max_slope == 1.0
    register_activation("mine", lambda z: 3 * z, replace=True)
    assert properties("mine").max_slope == pytest.approx(3.0)
