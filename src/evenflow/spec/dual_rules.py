"""The partial derivatives of NumPy's and SciPy's elementwise functions, for `evenflow.spec.dual`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _shared(result: Any, a: Any, b: Any) -> tuple[Any, Any]:
    tie = np.where(np.equal(a, b), 0.5, 1.0)
    return tie * np.equal(a, result), tie * np.equal(b, result)


def _power(_: Any, a: Any, b: Any) -> tuple[Any, Any]:
    first = np.where(np.equal(b, 0), 0.0, b * np.power(a, np.where(np.equal(b, 0), 1.0, np.subtract(b, 1.0))))
    return first, np.where(np.equal(a, 0), 0.0, np.power(a, b) * np.log(np.where(np.equal(a, 0), 1.0, a)))


_ROOT_PI = np.sqrt(np.pi)
_ROOT_2PI = np.sqrt(2 * np.pi)

# Name of the ufunc -> (result, *arguments) -> the partial derivative for each argument. By name, so that
# SciPy's special functions have rules without SciPy being imported.
RULES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "add": lambda _r, _a, _b: (1, 1),
    "subtract": lambda _r, _a, _b: (1, -1),
    "multiply": lambda _r, a, b: (b, a),
    "divide": lambda r, _a, b: (1 / np.asarray(b), -r / b),
    "power": _power,
    "float_power": _power,
    "maximum": _shared,
    "minimum": _shared,
    "fmax": lambda _r, a, b: (np.greater_equal(a, b), np.less(a, b)),
    "fmin": lambda _r, a, b: (np.less_equal(a, b), np.greater(a, b)),
    "clip": lambda _r, a, low, high: (
        np.greater_equal(a, low) & np.less_equal(a, high),
        np.less(a, low),
        np.greater(a, high),
    ),
    "logaddexp": lambda r, a, b: (np.exp(a - r), np.exp(b - r)),
    "hypot": lambda r, a, b: (a / r, b / r),
    "arctan2": lambda _r, a, b: (b / (a * a + b * b), -a / (a * a + b * b)),
    "copysign": lambda r, a, _b: (np.sign(a) * np.sign(r), 0),
    "heaviside": lambda _r, a, _b: (0, np.equal(a, 0)),
    "negative": lambda _r, _a: (-1,),
    "positive": lambda _r, _a: (1,),
    "absolute": lambda _r, a: (np.sign(a),),
    "fabs": lambda _r, a: (np.sign(a),),
    "sign": lambda _r, _a: (0,),
    "floor": lambda _r, _a: (0,),
    "ceil": lambda _r, _a: (0,),
    "rint": lambda _r, _a: (0,),
    "trunc": lambda _r, _a: (0,),
    "square": lambda _r, a: (2 * a,),
    "reciprocal": lambda r, _a: (-r * r,),
    "sqrt": lambda r, _a: (0.5 / r,),
    "cbrt": lambda r, _a: (1 / (3 * r * r),),
    "exp": lambda r, _a: (r,),
    "exp2": lambda r, _a: (r * np.log(2),),
    "expm1": lambda _r, a: (np.exp(a),),
    "log": lambda _r, a: (1 / a,),
    "log2": lambda _r, a: (1 / (a * np.log(2)),),
    "log10": lambda _r, a: (1 / (a * np.log(10)),),
    "log1p": lambda _r, a: (1 / (1 + a),),
    "sin": lambda _r, a: (np.cos(a),),
    "cos": lambda _r, a: (-np.sin(a),),
    "tan": lambda r, _a: (1 + r * r,),
    "arcsin": lambda _r, a: (1 / np.sqrt(1 - a * a),),
    "arccos": lambda _r, a: (-1 / np.sqrt(1 - a * a),),
    "arctan": lambda _r, a: (1 / (1 + a * a),),
    "sinh": lambda _r, a: (np.cosh(a),),
    "cosh": lambda _r, a: (np.sinh(a),),
    "tanh": lambda _r, a: (1 / np.cosh(a) ** 2,),
    "arcsinh": lambda _r, a: (1 / np.hypot(a, 1),),
    "arccosh": lambda _r, a: (1 / np.sqrt(a * a - 1),),
    "arctanh": lambda _r, a: (1 / (1 - a * a),),
    "erf": lambda _r, a: (2 / _ROOT_PI * np.exp(-a * a),),
    "erfc": lambda _r, a: (-2 / _ROOT_PI * np.exp(-a * a),),
    "ndtr": lambda _r, a: (np.exp(-a * a / 2) / _ROOT_2PI,),
    "expit": lambda _r, a: (0.25 / np.cosh(a / 2) ** 2,),
    "log_expit": lambda r, _a: (-np.expm1(r),),
}
