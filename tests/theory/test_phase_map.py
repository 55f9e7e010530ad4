"""The plane against the point: every cell of a map is what `phase` says there, by another way of computing it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evenflow.errors import SpecError
from evenflow.spec.network import Network
from evenflow.theory import critical_point, phase
from evenflow.theory.phase_map import phase_map, plane_point

WEIGHTS = np.array([0.31, 0.97, 1.7, 1.93, 2.4, 3.6])
BIASES = np.array([0.0, 0.02, 0.4])


OTHERS = ("softplus", "sigmoid", "silu", "hardswish", "selu")


@pytest.mark.parametrize(
    "name",
    ["tanh", "relu", "gelu", "identity", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)],
)
def test_every_cell_is_what_phase_says(name):
    found = phase_map(name, WEIGHTS, BIASES)
    for row, bias in enumerate(BIASES):
        for column, weight in enumerate(WEIGHTS):
            point = phase(name, float(weight), float(bias))
            variance = found.variance[row, column]
            assert found.chi[row, column] == pytest.approx(point.chi, rel=0.01)
            if 0 < point.variance < math.inf:
                assert variance == pytest.approx(point.variance, rel=1e-3)
            else:
                assert variance == point.variance
            if abs(weight - found.grows_from[row]) > 1e-3:
                assert (variance == math.inf) == (weight > found.grows_from[row])


@pytest.mark.parametrize("name", ["tanh", "elu", "selu"])
def test_on_the_critical_line_chi_is_1(name):
    point = critical_point(name, 2.0)
    found = phase_map(name, [point.weight_variance], [point.bias_variance])
    assert found.variance.item() == pytest.approx(2.0, rel=1e-3)
    assert found.chi.item() == pytest.approx(1.0, abs=1e-3)


def test_relu_is_critical_at_2_and_keeps_any_variance():
    found = phase_map("relu", [1.9, 2.0, 2.1], [0.0, 0.3], start=5.0)
    assert found.chi == pytest.approx(np.array([[0.95, 1, 1.05]] * 2), rel=1e-12)
    assert found.variance[0].tolist() == [0.0, 5.0, math.inf]
    assert found.variance[1] == pytest.approx([6.0, math.inf, math.inf], rel=1e-3)
    assert found.grows_from == pytest.approx([2.0, 2.0], rel=1e-3)


def test_gelu_fades_below_its_unstable_variance_and_settles_above():
    """Around the unstable fixed point it is the first variance that decides, as `phase` has it too."""
    for start in (0.5, 6.0):
        found = phase_map("gelu", [2.05], [0.1], start=start)
        assert found.variance.item() == pytest.approx(phase("gelu", 2.05, 0.1, start).variance, rel=1e-3)


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        ([0.0], [0.0], "the weight variance σ_w² is above 0 and finite, not 0"),
        ([1.0], [-1.0], "the bias variance σ_b² is 0 or more and finite, not -1"),
    ],
)
def test_a_variance_out_of_range(weights, biases, message):
    with pytest.raises(SpecError) as caught:
        phase_map("tanh", weights, biases)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "point"),
    [
        ({"initialisation": "torch"}, (1 / 3, 1 / 300)),
        ({"initialisation": "lecun"}, (1, 0)),
        ({"initialisation": "xavier"}, (1, 0)),
        ({"initialisation": "he", "bias_initialisation": "normal:0.1"}, (2, 0.01)),
        ({"initialisation": "gain", "activation": "relu"}, (2, 0)),
        ({"initialisation": "orthogonal:1.5"}, (2.25, 0)),
        ({"initialisation": "normal:0.1"}, (1, 0)),
    ],
    ids=lambda value: value.get("initialisation", "") if isinstance(value, dict) else "",
)
def test_the_place_of_an_initialisation(fields, point):
    assert plane_point(Network(width=100, **fields)) == pytest.approx(point, rel=1e-9)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"normalisation": "batch"}, "it normalises"),
        ({"residual": "pre"}, "it has skips"),
        ({"dropout": 0.1}, "it has dropout"),
        ({"activation": ("relu", "tanh")}, "its activations differ"),
        ({"width": (3, 4)}, "its widths differ"),
        ({"initialisation": "constant:0.1"}, "its weights are constant"),
        ({"bias_initialisation": "constant:0.1"}, "its biases are constant"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_network_without_a_place_says_why(fields, reason):
    with pytest.raises(SpecError) as caught:
        plane_point(Network(**fields))
    assert str(caught.value) == f"the network has no place in a phase diagram: {reason}"
