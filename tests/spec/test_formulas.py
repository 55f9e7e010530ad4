"""Every formula against torch, against mpmath with 400 digits, and against autograd through itself."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch.nn import functional

from evenflow.spec.activation import activation, activation_names

mp: Any = mpmath.mp
CATALOGUE = activation_names()[:15]
SETTINGS = [*CATALOGUE, "leaky_relu:0.2", "leaky_relu:0.0", "prelu:-0.5", "elu:2.0"]
INFINITY = float("inf")

IN_TORCH = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "leaky_relu:0.2": lambda z: functional.leaky_relu(z, 0.2),
    "leaky_relu:0.0": lambda z: functional.leaky_relu(z, 0.0),
    "prelu": lambda z: functional.prelu(z, torch.tensor([0.25], dtype=z.dtype)),
    "prelu:-0.5": lambda z: functional.prelu(z, torch.tensor([-0.5], dtype=z.dtype)),
    "elu": functional.elu,
    "elu:2.0": lambda z: functional.elu(z, 2.0),
    "selu": functional.selu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "silu": functional.silu,
    "softplus": functional.softplus,
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "softsign": functional.softsign,
    "identity": lambda z: 1 * z,
}


def _leaky(slope):
    return lambda z: z if z > 0 else mp.mpf(slope) * z


def _elu(alpha, scale=1.0):
    return lambda z: mp.mpf(scale) * (z if z > 0 else mp.mpf(alpha) * (mp.exp(z) - 1))


IN_MPMATH = {
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "tanh": mp.tanh,
    "relu": lambda z: max(z, mp.mpf(0)),
    "leaky_relu": _leaky(0.01),
    "leaky_relu:0.2": _leaky(0.2),
    "leaky_relu:0.0": _leaky(0.0),
    "prelu": _leaky(0.25),
    "prelu:-0.5": _leaky(-0.5),
    "elu": _elu(1.0),
    "elu:2.0": _elu(2.0),
    "selu": _elu(1.6732632423543772, 1.0507009873554805),
    "gelu": lambda z: z * mp.ncdf(z),
    "gelu_tanh": lambda z: z / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (z + mp.mpf("0.044715") * z**3))),
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "softplus": lambda z: mp.log(1 + mp.exp(z)),
    "mish": lambda z: z * mp.tanh(mp.log(1 + mp.exp(z))),
    "hardswish": lambda z: z * min(max(z + 3, mp.mpf(0)), mp.mpf(6)) / 6,
    "softsign": lambda z: z / (1 + abs(z)),
    "identity": lambda z: z,
}

LIMITS = {  # f(-∞), f(∞), f'(-∞), f'(∞)
    "sigmoid": (0, 1, 0, 0),
    "tanh": (-1, 1, 0, 0),
    "relu": (0, INFINITY, 0, 1),
    "leaky_relu": (-INFINITY, INFINITY, 0.01, 1),
    "leaky_relu:0.2": (-INFINITY, INFINITY, 0.2, 1),
    "leaky_relu:0.0": (0, INFINITY, 0, 1),
    "prelu": (-INFINITY, INFINITY, 0.25, 1),
    "prelu:-0.5": (INFINITY, INFINITY, -0.5, 1),
    "elu": (-1, INFINITY, 0, 1),
    "elu:2.0": (-2, INFINITY, 0, 1),
    "selu": (-1.7580993408473766, INFINITY, 0, 1.0507009873554805),
    "gelu": (0, INFINITY, 0, 1),
    "gelu_tanh": (0, INFINITY, 0, 1),
    "silu": (0, INFINITY, 0, 1),
    "softplus": (0, INFINITY, 0, 1),
    "mish": (0, INFINITY, 0, 1),
    "hardswish": (0, INFINITY, 0, 1),
    "softsign": (-1, 1, 0, 0),
    "identity": (-INFINITY, INFINITY, 1, 1),
}


def gradient(function, z):
    """The value and the gradient that torch's backward pass gives."""
    z = z.clone().requires_grad_()
    value = function(z)
    return value.detach(), torch.autograd.grad(value.sum(), z)[0]


def random_points(count, scale=3.0):
    return np.random.default_rng(0).normal(scale=scale, size=count)


@pytest.mark.parametrize("name", SETTINGS)
def test_values_and_slopes_equal_torch(name):
    z = torch.from_numpy(random_points(500))
    value, slope = gradient(IN_TORCH[name], z)
    torch.testing.assert_close(activation(name)(z), value, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(activation(name).derivative(z), slope, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_slope_at_kinks_is_that_of_torchs_backward_pass(name, dtype):
    z = torch.tensor([0.0, -0.0, 3.0, -3.0, 1.0, -1.0], dtype=dtype)
    _, expected = gradient(IN_TORCH[name], z)
    formula = activation(name)
    tolerance: dict[str, Any] = {"rtol": 2e-6, "atol": 3e-7}
    torch.testing.assert_close(formula.derivative(z), expected, **tolerance)
    torch.testing.assert_close(gradient(formula, z)[1], expected, **tolerance)
    assert formula.derivative(z.numpy()) == pytest.approx(expected.numpy(), rel=2e-6, abs=3e-7)


@pytest.mark.parametrize("name", SETTINGS)
def test_values_and_slopes_equal_mpmath_in_the_tails_too(name):
    points = np.concatenate([random_points(40), np.linspace(-29.5, 29.7, 38)])
    points = points[np.abs(points) > 1e-3]  # mpmath differentiates numerically, away from kinks
    with mp.workdps(400):
        values = [float(IN_MPMATH[name](mp.mpf(z))) for z in points]
        slopes = [float(mp.diff(IN_MPMATH[name], mp.mpf(z), h=mp.mpf(10) ** -20)) for z in points]
    # erfc(x) multiplies the rounding error of x by 2x², here up to 900
    tolerance = 1e-12 if name.startswith("gelu") else 1e-14
    assert activation(name)(points) == pytest.approx(values, rel=tolerance, abs=1e-300)
    assert activation(name).derivative(points) == pytest.approx(slopes, rel=100 * tolerance, abs=1e-300)


@pytest.mark.parametrize(
    ("name", "z", "slope"),
    [
        ("sigmoid", -20, False),
        ("softplus", -30, False),
        ("gelu", -8, False),
        ("tanh", 15, True),
        ("mish", -25, True),
    ],
    ids=lambda item: str(item),
)
def test_tails_keep_relative_accuracy_in_float32(name, z, slope):
    with mp.workdps(400):
        exact = float(mp.diff(IN_MPMATH[name], z)) if slope else float(IN_MPMATH[name](mp.mpf(z)))
    function = activation(name).derivative if slope else activation(name)
    assert function(np.array([z], np.float32))[0] == pytest.approx(exact, rel=2e-5)
    assert function(torch.tensor([float(z)])).item() == pytest.approx(exact, rel=2e-5)


def test_naive_forms_would_fail_the_tail_test():
    naive = 1 - np.tanh(np.float32(15)) ** 2
    assert naive == 0


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_limits_at_infinity_without_warnings(name, dtype):
    formula = activation(name)
    ends = np.array([-INFINITY, INFINITY], dtype=dtype)
    low, high, low_slope, high_slope = LIMITS[name]
    tolerance: dict[str, Any] = {"rel": 2e-3 if dtype == "float16" else 1e-6}
    assert formula(ends) == pytest.approx(np.array([low, high], dtype=dtype), **tolerance)
    assert formula.derivative(ends) == pytest.approx([low_slope, high_slope], **tolerance)
    value, slope = gradient(formula, torch.from_numpy(ends))
    assert value.numpy() == pytest.approx(np.array([low, high], dtype=dtype), **tolerance)
    assert slope.numpy() == pytest.approx([low_slope, high_slope], **tolerance)


@pytest.mark.parametrize("name", SETTINGS)
def test_stable_at_ten_thousand_in_float32(name):
    formula = activation(name)
    z = np.array([-1e4, -1e3, -100, 100, 1e3, 1e4], np.float32)
    exact = [float(IN_MPMATH[name](mp.mpf(float(point)))) for point in z]
    assert formula(z) == pytest.approx(np.array(exact, np.float32), rel=1e-6, abs=1e-38)
    low, high = formula.derivative(z[[0, -1]])
    assert (low, high) == pytest.approx(LIMITS[name][2:], rel=1e-3, abs=2e-8)
    torch.testing.assert_close(
        gradient(formula, torch.from_numpy(z))[1], formula.derivative(torch.from_numpy(z))
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_nan_stays_nan(name):
    assert np.isnan(activation(name)(np.array([float("nan")]))).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_autograd_through_the_formula_is_the_derivative_formula(name):
    z = torch.cat([torch.from_numpy(random_points(300)), torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])])
    formula = activation(name)
    torch.testing.assert_close(gradient(formula, z)[1], formula.derivative(z), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", SETTINGS)
def test_kind_shape_and_dtype_are_kept(name):
    formula = activation(name)
    for function in (formula, formula.derivative):
        for dtype in (np.float16, np.float32, np.float64):
            result = function(np.zeros((2, 3), dtype=dtype))
            assert (type(result), result.shape, result.dtype) == (np.ndarray, (2, 3), dtype)
        for dtype in (torch.bfloat16, torch.float32, torch.float64):
            result = function(torch.zeros(2, 3, dtype=dtype))
            assert (type(result), tuple(result.shape), result.dtype) == (torch.Tensor, (2, 3), dtype)
        assert function(np.array(0.5)).shape == ()
        assert function(torch.tensor(0.5)).shape == ()
        assert function(np.zeros((0, 4))).shape == (0, 4)
        assert type(function(0.5)) is float
        assert function(np.arange(3)).dtype == np.float64
        assert function(torch.arange(3)).dtype == torch.float32


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax", reason="jax is not installed: pip install 'evenflow[test]'")


@pytest.mark.parametrize("name", SETTINGS)
def test_jax_gives_the_same_values_slopes_and_gradients(name, jax):
    formula = activation(name)
    z = np.concatenate([random_points(100), [-INFINITY, -1e4, -3, -1, 0, 1, 3, 1e4, INFINITY]]).astype(
        np.float32
    )
    values, slopes = jax.jit(formula)(z), jax.jit(formula.derivative)(z)
    assert values.dtype == slopes.dtype == np.float32
    assert np.asarray(values) == pytest.approx(formula(z), rel=1e-5, abs=1e-6)
    assert np.asarray(slopes) == pytest.approx(formula.derivative(z), rel=1e-5, abs=1e-6)
    gradients = jax.vmap(jax.grad(formula))(z)
    assert np.asarray(gradients) == pytest.approx(np.asarray(slopes), rel=1e-5, abs=1e-6)
