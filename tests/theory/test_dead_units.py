"""Dead units against counted networks, exact probabilities and the multivariate normal distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.datasets import load_digits

from evenflow.errors import SpecError
from evenflow.theory.dead_units import born_dead, common_factors, dead_fractions, silent_probability


def counted(x, depth, width, weight_variance, bias_variance=0.0, seeds=20, flat_below=0.0):
    """The measured share of units of each layer that no input switches on, mean over seeds."""
    shares = np.zeros((seeds, depth))
    for seed in range(seeds):
        random, a = np.random.default_rng(seed), x.astype(np.float32)
        for layer in range(depth):
            weight = random.normal(size=(a.shape[1], width)) * math.sqrt(weight_variance / a.shape[1])
            h = a @ weight.astype(np.float32)
            h += (math.sqrt(bias_variance) * random.normal(size=width)).astype(np.float32)
            shares[seed, layer] = np.mean(np.max(h, axis=0) <= flat_below)
            a = np.maximum(h, 0) if flat_below == 0 else h * np.clip(h + 3, 0, 6) / 6
    return shares.mean(axis=0)


def standard_digits():
    x, _ = load_digits(return_X_y=True)
    x = np.asarray(x, dtype=np.float64)
    return (x - x.mean()) / x.std()


@pytest.mark.parametrize(
    ("weight_variance", "bias_variance"),
    [(2.0, 0.0), pytest.param(1 / 3, 1e-3, marks=pytest.mark.slow)],
)
def test_relu_networks_on_digits(weight_variance, bias_variance):
    """He and PyTorch's scale, 20 × 128. The mean of 20 seeds has itself a standard error of 0.015, hence 60."""
    x = standard_digits()
    measured = counted(x, 20, 128, weight_variance, bias_variance, seeds=60)
    predicted = dead_fractions("relu", x, 20, weight_variance, bias_variance)
    assert np.max(np.abs(np.array(predicted) - measured)) < 0.03
    assert predicted[-1] > 0.2


def test_hardswish_dies_below_minus_3():
    x = 4 * standard_digits()[:100]
    measured = counted(x, 3, 256, 2.0, seeds=8, flat_below=-3.0)
    predicted = dead_fractions("hardswish", x, 3, 2.0)
    assert np.array(predicted) == pytest.approx(measured, abs=0.02)


@pytest.mark.parametrize("name", ["tanh", "gelu", "leaky_relu", "own"])
def test_without_a_flat_part_nothing_is_dead(name):
    assert dead_fractions(name, standard_digits()[:20], 3, 2.0) == (0.0, 0.0, 0.0)


def test_one_input_kills_half_of_the_units():
    assert dead_fractions("relu", np.ones((1, 5)), 4, 2.0) == pytest.approx([0.5] * 4, abs=1e-6)
    assert dead_fractions("relu", np.ones((30, 5)), 2, 2.0) == pytest.approx([0.5] * 2, abs=0.01)


@pytest.mark.parametrize("widths", [[2, 3, 2], [1], [5, 5]])
def test_born_dead_networks_are_counted(widths):
    random, networks = np.random.default_rng(0), 40_000
    a = np.ones((networks, 3))
    for width in widths:
        a = np.maximum(np.einsum("nij,nj->ni", random.normal(size=(networks, width, a.shape[1])), a), 0)
    share = np.mean(np.all(a == 0, axis=1))
    assert born_dead(widths) == pytest.approx(share, abs=0.01)


def test_wide_networks_are_not_born_dead():
    assert born_dead([60] * 10) == pytest.approx(10 * 2.0**-60, rel=1e-12)
    assert born_dead([2000]) == 0.0


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9])
def test_equal_correlations_agree_with_the_normal_distribution(correlation):
    from scipy.stats import multivariate_normal

    covariance = np.full((4, 4), correlation) + (1 - correlation) * np.eye(4)
    bounds = np.array([0.2, -0.1, 0.0, 0.5])
    expected = multivariate_normal(np.zeros(4), covariance).cdf(bounds)
    loadings = np.full((4, 1), math.sqrt(correlation))
    assert silent_probability(bounds, loadings) == pytest.approx(expected, abs=1e-4)
    assert silent_probability(bounds, np.hstack([loadings, 0 * loadings])) == pytest.approx(
        expected, abs=0.01
    )
    assert silent_probability(bounds[:1], loadings[:1], times=2) == pytest.approx(
        silent_probability(bounds[[0, 0]], loadings[[0, 0]])
    )


def test_all_factors_give_the_correlations_back():
    matrix = np.asarray(np.corrcoef(np.random.default_rng(0).normal(size=(6, 9))))
    loadings = common_factors(matrix, 6)
    assert loadings @ loadings.T == pytest.approx(matrix, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: born_dead([]), "a network needs at least one hidden layer; give the width of each"),
        (lambda: born_dead([3, 0]), "a layer has 1 unit or more, not 0"),
        (
            lambda: dead_fractions("relu", np.ones((2, 2)), 0, 2.0),
            "a network has 1 hidden layer or more, not 0",
        ),
        (
            lambda: dead_fractions("relu", np.ones(2), 1, 2.0),
            "inputs are an array of shape (inputs, features), not one of shape (2,)",
        ),
        (
            lambda: dead_fractions("relu", np.array([[1.0, np.nan]]), 1, 2.0),
            "inputs hold a number that is not finite",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(SpecError) as error:
        call()
    assert str(error.value) == message
