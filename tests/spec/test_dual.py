"""Dual numbers against central differences, and against torch at ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special

from evenflow.spec.dual import DualNamespace, derivative

Z = np.random.default_rng(1).normal(scale=1.5, size=200)
INSIDE = np.random.default_rng(2).uniform(0.05, 0.95, size=200)  # for arcsin, log, arctanh


def masked(z):
    result = np.zeros_like(z)
    result[z > 0] = z[z > 0] ** 2
    return result


def in_place(z):
    result = z.copy()
    result *= z
    result += 1
    return result


FUNCTIONS = {
    "arithmetic": lambda z: (3 * z - z / 2 + 1) * z / (2 + z * z) - (-z),
    "power": lambda z: z**3 + 2.0**z + np.abs(z) ** 1.5,
    "power of itself": lambda z: np.abs(z) ** z,
    "exp": lambda z: np.exp(z) + np.exp2(z) + np.expm1(z),
    "hyperbolic": lambda z: np.tanh(z) + np.sinh(z) * np.cosh(z),
    "trigonometric": lambda z: np.sin(z) * np.cos(z) + np.arctan(z) + np.arcsinh(z),
    "logistic": lambda z: np.log1p(np.exp(z)) + np.logaddexp(z, 0) + np.logaddexp(0, -z),
    "where": lambda z: np.where(z > 0.3, z * z, np.where(z < -1, 0.1 * z, 2.0)),
    "maximum": lambda z: np.maximum(z, 0) + np.minimum(z, 1 - z) + np.fmax(z, -z) + np.fmin(z, 2),
    "clip": lambda z: np.clip(z, -1, 1) * z.clip(max=0.5) + np.clip(z, None, 0.7),
    "abs": lambda z: abs(z) + np.fabs(z - 1) + np.sqrt(np.square(z) + 1) + np.hypot(z, 2),
    "sign": lambda z: np.sign(z) * z + np.copysign(z, 1.0) * z + np.heaviside(z, 0.5) * z,
    "steps": lambda z: np.floor(z) * z + np.ceil(z) + np.rint(z) + np.trunc(z),
    "select": lambda z: np.select([z < -1, z < 1], [-z, z * z], 3 * z),
    "piecewise": lambda z: np.piecewise(z, [z < 0, z >= 0], [lambda z: 0.1 * z, lambda z: z * z]),
    "masked": masked,
    "in place": in_place,
    "full like": lambda z: np.full_like(z, 2.0) * z + np.ones_like(z) * z + np.copy(z),
    "special": lambda z: (
        special.erf(z) + special.erfc(z) * z + special.expit(z) + special.ndtr(z) + special.log_expit(z)
    ),
    "comparison": lambda z: (z > 0) * z + (z <= 0) * np.exp(z),
    "root of a rectifier": lambda z: np.sqrt(np.maximum(z, 0)),
}
INNER = {
    "logs": lambda z: np.log(z) + np.log2(z) + np.log10(z) + np.log1p(z),
    "roots": lambda z: np.sqrt(z) + np.cbrt(z) + np.reciprocal(z) + z**-0.5,
    "inverse": lambda z: np.arcsin(z) + np.arccos(z) * z + np.arctanh(z) + np.arccosh(1 + z),
    "arctan2": lambda z: np.arctan2(z, 2) + np.arctan2(1, z) + np.tan(z),
}


def differences(function, z, step=1e-6):
    return (function(z + step) - function(z - step)) / (2 * step)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_central_differences(name):
    assert derivative(FUNCTIONS[name], Z) == pytest.approx(
        differences(FUNCTIONS[name], Z), rel=1e-5, abs=1e-5
    )


@pytest.mark.parametrize("name", INNER)
def test_equals_central_differences_inside_the_unit_interval(name):
    expected = differences(INNER[name], INSIDE)
    assert derivative(INNER[name], INSIDE) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ["logistic", "where", "abs", "special"])
def test_is_exact_where_differences_are_not(name):
    in_torch = {
        "logistic": lambda z: (
            torch.log1p(torch.exp(z))
            + torch.logaddexp(z, torch.zeros_like(z))
            + torch.logaddexp(torch.zeros_like(z), -z)
        ),
        "where": lambda z: torch.where(z > 0.3, z * z, torch.where(z < -1, 0.1 * z, 2.0)),
        "abs": lambda z: (
            abs(z) + abs(z - 1) + torch.sqrt(torch.square(z) + 1) + torch.hypot(z, torch.full_like(z, 2))
        ),
        "special": lambda z: (
            torch.erf(z)
            + torch.erfc(z) * z
            + torch.sigmoid(z)
            + torch.special.ndtr(z)
            + torch.nn.functional.logsigmoid(z)
        ),
    }[name]
    z = torch.from_numpy(Z).requires_grad_()
    expected = torch.autograd.grad(in_torch(z).sum(), z)[0].numpy()
    assert derivative(FUNCTIONS[name], Z) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("function", "in_torch"),
    [
        (lambda z: np.maximum(z, 0), lambda z: torch.maximum(z, torch.zeros(()))),
        (lambda z: np.minimum(z, 0), lambda z: torch.minimum(z, torch.zeros(()))),
        (lambda z: np.clip(z, 0, None), lambda z: torch.clamp(z, min=0)),
        (lambda z: np.clip(z, -1, 0), lambda z: torch.clamp(z, -1, 0)),
        (np.abs, torch.abs),
        (lambda z: np.where(z > 0, z, 0), lambda z: torch.where(z > 0, z, 0)),
        (lambda z: np.fmax(z, 0), lambda z: torch.fmax(z, torch.zeros(()))),
    ],
    ids=["maximum", "minimum", "clip below", "clip above", "abs", "where", "fmax"],
)
def test_a_tie_follows_torchs_backward_pass(function, in_torch):
    z = torch.zeros(1, requires_grad=True)
    expected = torch.autograd.grad(in_torch(z), z)[0].item()
    assert derivative(function, np.zeros(1)).item() == expected


def test_the_namespace_has_the_functions_of_the_array_standard():
    xp = DualNamespace()

    def function(z):
        return (
            xp.clip(z, min=-1.0, max=1.0) + xp.where(z > 0, xp.exp(-z), xp.astype(z, z.dtype)) + xp.asarray(z)
        )

    expected = np.where(np.abs(Z) < 1, 1.0, 0.0) + np.where(Z > 0, -np.exp(-Z), 1.0) + 1
    assert derivative(function, Z) == pytest.approx(expected)


def test_dtype_and_shape_are_kept_and_a_step_has_no_slope():
    z = np.float32(Z[:6]).reshape(2, 3)
    slope = derivative(np.tanh, z)
    assert (slope.dtype, slope.shape) == (np.float32, (2, 3))
    assert derivative(lambda z: (z > 0) * 1.0, z).tolist() == [[0.0] * 3] * 2
    assert derivative(lambda _: 2.0, z).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: np.frexp(z)[0], "frexp has no derivative rule"),
        (lambda z: np.interp(z, [0, 1], [0, 1]), "np.interp has no derivative rule"),
        (lambda z: np.add.reduce(z) + z, "np.add with reduce or .* has no derivative rule"),
        (lambda z: np.asarray(z) * 2, "a conversion to a plain array loses the derivative"),
        (lambda _: "z", "the result is a str, not an array"),
    ],
    ids=["ufunc", "function", "reduction", "conversion", "result"],
)
def test_what_has_no_rule_says_so(function, message):
    with pytest.raises(TypeError, match=message):
        derivative(function, Z)
