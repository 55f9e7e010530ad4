"""The batch's kernels against the slower, finer ones, at variances that differ from sample to sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import SpecError
from evenflow.spec.activation import activation
from evenflow.theory.batch_kernel import batch_kernels, series_table
from evenflow.theory.correlation import slope_kernel, value_kernel
from evenflow.theory.gaussian import moments

NAMES = (
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu:0.2",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "mish",
    "hardswish",
)


def covariance(scale: float, seed: int = 0, samples: int = 12) -> np.ndarray:
    inputs = np.random.default_rng(seed).normal(size=(samples, 40)) + 0.8
    return scale * inputs @ inputs.T / 40


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 8.0])
def test_the_kernels_are_those_of_the_finer_computation(name: str, scale: float) -> None:
    function, matrix = activation(name), covariance(scale)
    q = np.diag(matrix)
    correlation = np.clip(matrix / np.sqrt(np.outer(q, q)), -1, 1)
    value, slope = batch_kernels(function, matrix)
    finer_value = value_kernel(function, q[:, None], q, correlation)
    finer_slope = slope_kernel(function, q[:, None], q, correlation)
    assert np.max(np.abs(value - finer_value)) < 3e-6 * np.max(finer_value)
    assert np.max(np.abs(slope - finer_slope)) < 3e-6 * np.max(finer_slope)


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu", "relu", "softplus"])
def test_below_the_grid_the_kernels_shrink_as_two_rays_do(name: str) -> None:
    function, matrix = activation(name), covariance(1e-16)
    q = np.diag(matrix)
    value, slope = batch_kernels(function, matrix)
    exact = moments(function, q)
    assert np.allclose(np.diag(value), exact.second, rtol=1e-5, atol=0)
    assert np.allclose(np.diag(slope), exact.slope_second, rtol=1e-5)


@pytest.mark.parametrize("name", ["tanh", "gelu", "selu", "hardswish"])
def test_second_moments_agree_with_the_integrals(name: str) -> None:
    q = np.geomspace(1e-8, 50, 24).reshape(4, 6)
    second, slope_second = series_table(activation(name)).second_moments(q)
    exact = moments(name, q)
    assert np.allclose(second, exact.second, rtol=2e-6)
    assert np.allclose(slope_second, exact.slope_second, rtol=2e-6)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(8)), st.sampled_from(NAMES), st.floats(0.01, 5))
def test_a_permuted_batch_has_permuted_kernels(order: list[int], name: str, scale: float) -> None:
    matrix = covariance(scale, samples=8)
    for whole, permuted in zip(
        batch_kernels(activation(name), matrix),
        batch_kernels(activation(name), matrix[np.ix_(order, order)]),
        strict=True,
    ):
        assert np.allclose(whole[np.ix_(order, order)], permuted, rtol=1e-9, atol=1e-12)
        assert np.array_equal(whole, whole.T)


def test_a_silent_sample_is_a_constant() -> None:
    matrix = np.array([[0.0, 0.0], [0.0, 1.0]])
    value, slope = batch_kernels(activation("sigmoid"), matrix)
    assert value[0, 0] == pytest.approx(0.25)
    assert value[0, 1] == pytest.approx(0.25)
    assert slope[0, 0] == pytest.approx(1 / 16)


def test_an_exploded_variance_is_refused_with_a_way_out() -> None:
    with pytest.raises(SpecError, match="choose smaller weights"):
        batch_kernels(activation("tanh"), np.full((1, 1), 1e13))
    with pytest.raises(SpecError, match="no finite variance"):
        batch_kernels(activation("tanh"), np.full((1, 1), np.inf))
