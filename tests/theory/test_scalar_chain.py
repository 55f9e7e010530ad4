"""The chain against a chain of numbers differentiated by hand, and the figures in print."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evenflow.errors import SpecError
from evenflow.spec.activation import activation, register_activation
from evenflow.theory.scalar_chain import chain


@pytest.mark.parametrize(
    ("name", "weight", "hops", "expected"),
    [
        ("sigmoid", 1.0, 20, 9.0949e-13),
        ("sigmoid", 1.0, 10, 9.5367e-7),
        ("sigmoid", 0.1, 3, 1 / 64000),
        ("sigmoid", 0.1, 4, 1 / 2.56e6),
        ("relu", 0.5, 3, 0.125),
        ("relu", 0.1, 4, 1e-4),
    ],
)
def test_figures_in_print(name, weight, hops, expected):
    found = chain(name, weight, hops)
    assert found.gradient == pytest.approx(expected, rel=1e-4)
    assert found.log10 == pytest.approx(math.log10(expected), abs=1e-4)


def test_it_is_the_derivative_of_a_chain_of_units():
    names, weights, x = ["tanh", "sigmoid", "gelu", "own"], [0.7, -1.3, 0.4, 2.0], 0.9

    def forward(x):
        points = []
        for name, weight in zip(names, weights, strict=True):
            points.append(x)
            x = weight * activation(name)(x)
        return x, points

    _, points = forward(x)
    found = chain(names, weights, at=points)
    numeric = (forward(x + 1e-6)[0] - forward(x - 1e-6)[0]) / 2e-6
    assert found.gradient == pytest.approx(numeric, rel=1e-6)
    assert found.remaining[0] == pytest.approx(found.factors[-1])
    assert found.remaining == pytest.approx(np.cumprod(found.factors[::-1]))


def test_a_mixture_repeats_and_the_logarithm_outlives_the_product():
    found = chain(["relu", "sigmoid"], [1.0, 0.5], hops=2000)
    assert found.activations[:3] == ("relu", "sigmoid", "relu")
    assert found.gradient == 0.0
    assert found.log10 == pytest.approx(1000 * math.log10(0.125))


def test_a_closed_gate_stops_everything():
    found = chain("relu", 1.0, hops=3, at=[1.0, -1.0, 1.0])
    assert (found.gradient, found.log10, found.remaining) == (0.0, -math.inf, (1.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chain("relu", 1.0, 0), "a chain has 1 hop or more, not 0; two layers make one hop"),
        (lambda: chain([], 1.0), "a chain needs activations; none were given"),
        (lambda: chain("relu", []), "a chain needs weights; none were given"),
        (
            lambda: chain("relu", [1.0, 2.0, 3.0], 2),
            "a chain of 2 hops takes at most 2 of each; a sequence of 3 was given",
        ),
        (lambda: chain("relu", math.inf), "the weights of a chain are finite numbers, not inf"),
        (
            lambda: chain("relu", 1.0, at=math.nan),
            "the pre-activations of a chain are finite numbers, not nan",
        ),
        (
            lambda: chain("cubic", 1.0),
            'activation "cubic" has no largest slope; give the pre-activations with at=...',
        ),
        (
            lambda: chain("rellu", 1.0),
            'activation "rellu" is not known; did you mean "relu"? \'evenflow activations\' lists all 17.',
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    register_activation("cubic", lambda z: z**3, lambda z: np.where(np.abs(z) > 1e3, np.inf, 3 * z**2))
    with pytest.raises(SpecError) as error:
        call()
    assert str(error.value) == message
