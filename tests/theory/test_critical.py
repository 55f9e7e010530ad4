"""Critical lines: published points, thresholds in closed form, and the honest "there is none"."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import SpecError
from evenflow.theory.critical import critical_line, critical_point
from evenflow.theory.meanfield import chi, variance_map
from evenflow.theory.roots import crossings


def test_tanh_at_variance_1():
    point = critical_point("tanh")
    assert (round(point.weight_variance, 6), round(point.bias_variance, 6)) == (2.153303, 0.150965)
    assert point.stable


def test_the_line_of_tanh_begins_at_1_and_0():
    point = critical_point("tanh", 1e-5)
    assert point.weight_variance == pytest.approx(1.0, abs=5e-5)
    assert point.bias_variance == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize(
    ("name", "threshold", "weight_variance", "bias_variance"),
    [
        ("gelu", (3 + math.sqrt(17)) / 2, 1.98305826, 0.17292239),
        ("silu", 14.3202, 1.98800468, 0.55514317),  # Roberts, Yaida & Hanin 2022, section 5.3.4
        ("mish", 1.67, None, None),
        ("hardswish", 4.804, None, None),
    ],
)
def test_half_stable_activations(name, threshold, weight_variance, bias_variance):
    line = critical_line(name)
    assert (line.kind, line.starts) == ("half-stable", 0.0)
    assert line.stable_from == pytest.approx(threshold, rel=1e-3)
    if weight_variance:
        point = critical_point(name, line.stable_from)
        assert point.weight_variance == pytest.approx(weight_variance, abs=2e-8)
        assert point.bias_variance == pytest.approx(bias_variance, abs=2e-8)
    assert not critical_point(name, line.stable_from * 0.9).stable
    assert critical_point(name, line.stable_from * 1.1).stable


def test_the_threshold_of_gelu_is_exact():
    assert critical_line("gelu").stable_from == pytest.approx((3 + math.sqrt(17)) / 2, rel=1e-9)


@pytest.mark.parametrize(("name", "steepest"), [("gelu", 1.105), ("silu", 1.10)])
def test_half_stable_variances_drift_slowly(name, steepest):
    slopes = [critical_point(name, q).variance_slope for q in np.geomspace(0.01, 10, 40)]
    assert max(slopes) == pytest.approx(steepest, abs=0.003)


@pytest.mark.parametrize(
    ("name", "kind", "verdict"),
    [
        ("relu", "scale-invariant", "relu is critical at σ_w² = 2, σ_b² = 0, at any variance"),
        (
            "leaky_relu:0.5",
            "scale-invariant",
            "leaky_relu:0.5 is critical at σ_w² = 1.6, σ_b² = 0, at any variance",
        ),
        ("tanh", "stable", "tanh has a stable critical initialisation"),
        ("elu", "stable", "elu has a stable critical initialisation"),
        ("selu", "stable", "selu has a stable critical initialisation"),
        ("softsign", "stable", "softsign has a stable critical initialisation"),
        (
            "gelu",
            "half-stable",
            "gelu is critical at every variance, with a bias; the variance is stable only above 3.562",
        ),
        (
            "softplus",
            "none",
            "no critical initialisation exists for softplus: it would need a negative bias variance at every variance",
        ),
        ("sigmoid", "stable", "sigmoid has a stable critical initialisation from variance 45.62 on"),
    ],
)
def test_what_is_said_of_an_activation(name, kind, verdict):
    line = critical_line(name)
    assert (line.kind, line.verdict) == (kind, verdict)


def test_sigmoid_would_need_enormous_weights():
    point = critical_point("sigmoid", critical_line("sigmoid").starts * 1.000001)
    assert point.weight_variance == pytest.approx(103.0, abs=0.1)


@given(st.sampled_from(["tanh", "gelu", "elu", "silu", "relu", "hardswish"]), st.floats(0.05, 100.0))
@settings(max_examples=40, deadline=None)
def test_a_critical_point_keeps_signal_and_gradient(name, q):
    point = critical_point(name, q)
    assert float(chi(name, q, point.weight_variance)) == pytest.approx(1.0, rel=1e-12)
    after = variance_map(name, q, point.weight_variance, point.bias_variance)
    assert float(after) == pytest.approx(q, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "variance", "message"),
    [
        (
            "softplus",
            1.0,
            'activation "softplus": no critical initialisation exists at variance 1 (the bias variance would be '
            "-2.14), and at no other from 1e-06 to 10000",
        ),
        (
            "sigmoid",
            1.0,
            'activation "sigmoid": no critical initialisation exists at variance 1 (the bias variance would be '
            "-5.543), only from variance 45.62 on",
        ),
        ("tanh", 0.0, "a critical initialisation keeps a variance above 0, not 0"),
        ("tanh", math.nan, "a critical initialisation keeps a variance above 0, not nan"),
    ],
)
def test_there_is_none(name, variance, message):
    with pytest.raises(SpecError) as error:
        critical_point(name, variance)
    assert str(error.value) == message


def test_crossings_are_found_to_the_last_digits():
    grid = np.geomspace(0.1, 10, 20)
    assert crossings(np.log, grid) == pytest.approx([1.0], rel=1e-14)
    assert crossings(lambda x: (x - 0.5) ** 3 * (x - 2), grid) == pytest.approx([0.5, 2.0], rel=1e-4)
    assert not crossings(np.exp, grid).size
