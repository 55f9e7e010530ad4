"""Exact derivatives of a NumPy function by dual numbers.

A dual number a + b·ε with ε² = 0 carries a value and a slope; f(z + ε) = f(z) + f'(z)·ε for every function
put together from operators, NumPy functions and SciPy's special functions (Wengert 1964). No step size, no
error of approximation. At a tie the slope follows torch's backward pass: `maximum` and `minimum` share it
equally, `clip` passes it at its bounds, `abs` stops it at 0, `where` takes that of the chosen branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from evenflow.spec.dual_rules import RULES


def derivative(function: Callable[[Any], Any], z: np.ndarray) -> np.ndarray:
    """f'(z) of an elementwise `function`, in the shape and dtype of `z`.

    >>> derivative(lambda z: np.where(z > 0, z * z, 0.1 * z), np.array([-1.0, 3.0])).tolist()
    [0.1, 6.0]

    Raises:
        TypeError: the function uses an operation without a rule here, or leaves NumPy.
    """
    with np.errstate(all="ignore"):
        result = function(Dual(z, np.ones_like(z)))
    if isinstance(result, Dual):
        return np.array(np.broadcast_to(result.slope, z.shape), dtype=z.dtype)
    if isinstance(result, (bool, int, float)) or np.asarray(result).dtype.kind in "biuf":
        return np.zeros_like(z)  # a step or a constant: only comparisons of z reached the result
    raise TypeError(f"the result is a {type(result).__name__}, not an array")


class Dual(NDArrayOperatorsMixin):
    """An array of dual numbers: `value` and `slope`, two arrays of one shape."""

    def __init__(self, value: Any, slope: Any) -> None:
        self.value = np.asarray(value)
        self.slope = np.array(np.broadcast_to(slope, self.value.shape), dtype=self.value.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Dual:
        return Dual(self.value[index], self.slope[index])

    def __setitem__(self, index: Any, item: Any) -> None:
        self.value[index], self.slope[index] = _parts(item)

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("a conversion to a plain array loses the derivative")

    def copy(self) -> Dual:
        return Dual(self.value.copy(), self.slope)

    def astype(self, dtype: Any, **_: object) -> Dual:
        return Dual(self.value.astype(dtype), self.slope)

    def clip(self, min: Any = None, max: Any = None) -> Dual:
        return _clip(self, min, max)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", (None,))[0]
        if method != "__call__" or options:
            raise TypeError(f"np.{ufunc.__name__} with {method} or {sorted(options)} has no derivative rule")
        values = [_parts(item)[0] for item in inputs]
        name = ufunc.__name__
        result = ufunc(*values)
        if name in _PLAIN:
            return result
        if name not in RULES:
            raise TypeError(f"{name} has no derivative rule")
        slope = np.zeros_like(result)
        for item, partial in zip(inputs, RULES[name](result, *values), strict=True):
            if isinstance(item, Dual):
                # what is constant stays so where the outer slope is infinite: sqrt(maximum(z, 0))
                slope = slope + np.where(item.slope == 0, 0, partial * item.slope)
        if out is None:
            return Dual(result, slope)
        out.value, out.slope = result, slope
        return out

    def __array_function__(self, function: Any, _: Any, inputs: Any, options: Any) -> Any:
        rule = _FUNCTIONS.get(function.__name__)
        if rule is None:
            raise TypeError(f"np.{function.__name__} has no derivative rule")
        return rule(*inputs, **options)


class DualNamespace:
    """NumPy as an array namespace for dual numbers: what a callable `function(z, xp)` gets as `xp`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def clip(self, z: Any, /, min: Any = None, max: Any = None) -> Any:
        return _clip(z, min, max)

    def astype(self, z: Any, dtype: Any, /, **_: object) -> Any:
        return z.astype(dtype)

    def asarray(self, z: Any, /, **options: Any) -> Any:
        return z if isinstance(z, Dual) else np.asarray(z, **options)


def _parts(item: Any) -> tuple[Any, Any]:
    return (item.value, item.slope) if isinstance(item, Dual) else (item, 0)


def _clip(z: Any, low: Any = None, high: Any = None, **names: Any) -> Any:
    low, high = names.get("min", names.get("a_min", low)), names.get("max", names.get("a_max", high))
    if low is not None:
        z = _where(np.less(z, low), low, z)
    return z if high is None else _where(np.greater(z, high), high, z)


def _where(condition: Any, yes: Any, no: Any) -> Dual:
    (yes, yes_slope), (no, no_slope) = _parts(yes), _parts(no)
    if isinstance(condition, Dual):
        condition = condition.value
    return Dual(np.where(condition, yes, no), np.where(condition, yes_slope, no_slope))


def _select(conditions: Any, choices: Any, default: Any = 0) -> Any:
    result = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = _where(condition, choice, result)
    return result


def _piecewise(z: Dual, conditions: Any, functions: Any) -> Any:
    pieces = [piece(z) if callable(piece) else piece for piece in functions]
    default = pieces.pop() if len(pieces) > len(conditions) else 0
    return _select(conditions, pieces, default)


def _constant_like(fill: float) -> Callable[..., Dual]:
    return lambda z, **_: Dual(np.full_like(z.value, fill), 0)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": _where,
    "clip": _clip,
    "select": _select,
    "piecewise": _piecewise,
    "zeros_like": _constant_like(0.0),
    "empty_like": _constant_like(0.0),
    "ones_like": _constant_like(1.0),
    "full_like": lambda z, fill, **_: _where(np.full(z.shape, True), fill, z),
    "copy": lambda z, **_: z.copy(),
    "astype": lambda z, dtype, **_: z.astype(dtype),
    "shape": lambda z: z.shape,
    "ndim": lambda z: z.ndim,
    "size": lambda z: z.size,
}

# results that carry no slope
_TESTS = "isnan isinf isfinite signbit"
_LOGIC = "logical_and logical_or logical_not logical_xor"
_PLAIN = frozenset(f"less less_equal greater greater_equal equal not_equal {_TESTS} {_LOGIC}".split())
