"""What a user's function must satisfy to become an activation: each check with the message it gives."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from evenflow.errors import SpecError
from evenflow.spec.custom import CustomFunction, first_line, takes_namespace

# irregular, so that no kink is met by accident, with 0 and the ends of what a healthy network produces
_POINTS = np.concatenate([np.linspace(-9.7, 9.9, 58), [0.0, -30.0, 30.0]])


def checked_name(name: str, taken: Iterable[str]) -> None:
    """Raise SpecError unless `name` can become the name of an activation."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise SpecError(
            f"register_activation: {name!r} is not a name; "
            "use letters, digits, _, - and ., with a letter first"
        )
    if name in taken:
        raise SpecError(f'register_activation: "{name}" is taken by the catalogue; choose another name')


def inspected(
    name: str, function: Callable[..., Any], derivative: Callable[..., Any] | None
) -> CustomFunction:
    """Try `function` out and find how to evaluate and to differentiate it.

    Raises:
        SpecError: see `evenflow.spec.activation.register_activation`.
    """
    if not callable(function):
        raise SpecError(
            f'activation "{name}": the function is a {type(function).__name__} and cannot be called; '
            "give a function of one array, such as lambda z: z**3"
        )
    if derivative is not None:
        if not callable(derivative):
            raise SpecError(
                f'activation "{name}": the derivative is a {type(derivative).__name__} and cannot be called; '
                "give a function of one array or leave it out"
            )
        slope = _evaluated(f"{name}' ", derivative, f'activation "{name}": the derivative')
        custom = _evaluated(name, function, f'activation "{name}": the function', slope)
        _compare_slopes(custom)
        return custom
    custom = _evaluated(name, function, f'activation "{name}": the function')
    return _differentiated(custom)


def _evaluated(
    name: str, function: Callable[..., Any], what: str, derivative: CustomFunction | None = None
) -> CustomFunction:
    """A CustomFunction that is known to give finite values of the right shape."""
    on_numpy, failure = True, ""
    try:
        result: Any = _call_on_numpy(function, _POINTS.copy())
        on_numpy = _is_plain(result)
    except Exception as error:
        failure = f"{type(error).__name__}: {first_line(error)}"
        result, on_numpy = None, False
    if not on_numpy and "torch" in sys.modules:
        torch = sys.modules["torch"]
        try:
            on_torch = _call_on_torch(function, torch.from_numpy(_POINTS.copy()))
            if isinstance(on_torch, torch.Tensor):
                result, failure = on_torch.detach().numpy(), ""
        except Exception as error:
            if (
                "Tensor" in failure or "ndarray" in failure
            ):  # NumPy's failure only says that the function wants tensors
                failure = f"{type(error).__name__}: {first_line(error)}"
    if failure:
        raise SpecError(
            f"{what} fails on an array ({failure}); write it with operators and NumPy functions, "
            "such as np.where(z > 0, z, 0), or with torch functions"
        )
    if not _is_plain(result):
        kind = f"array of {result.dtype}" if isinstance(result, np.ndarray) else type(result).__name__
        raise SpecError(f"{what} returns {kind}, not an array of numbers")
    result = np.asarray(result)
    if result.shape != _POINTS.shape:
        raise SpecError(
            f"{what} returns an array of shape {result.shape} for one of shape {_POINTS.shape}; "
            "an activation gives one value for each element"
        )
    custom = CustomFunction(name, function, on_numpy, on_numpy, derivative)
    _refuse_not_finite(result, what)
    _refuse_in_place(custom, what)
    _refuse_not_elementwise(custom, result, what)
    return custom


def _refuse_not_finite(values: np.ndarray, what: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        point = min(wrong, key=lambda index: abs(_POINTS[index]))
        raise SpecError(
            f"{what} gives {values[point]:g} at z = {_POINTS[point]:g}; "
            "an activation is finite at every finite z"
        )


def _refuse_in_place(custom: CustomFunction, what: str) -> None:
    z = _POINTS.copy()
    custom.value(z, None)
    if not custom.on_numpy:
        z = sys.modules["torch"].from_numpy(z)
        custom.plain_torch_value(z)
        z = z.numpy()
    if not np.array_equal(z, _POINTS):
        raise SpecError(f"{what} changes its argument in place; let it work on a copy")


def _refuse_not_elementwise(custom: CustomFunction, values: np.ndarray, what: str) -> None:
    part = slice(3, 21, 2)
    alone = custom.value(_POINTS[part].reshape(3, 3), None)
    if alone.shape != (3, 3):
        raise SpecError(
            f"{what} returns an array of shape {alone.shape} for one of shape (3, 3); "
            "an activation gives one value for each element"
        )
    wrong = np.flatnonzero(~np.isclose(alone.ravel(), values[part], rtol=1e-6, atol=1e-9))
    if wrong.size:
        point = _POINTS[part][wrong[0]]
        raise SpecError(
            f"{what} gives another value at z = {point:g} when the elements beside it change; "
            "an activation acts on each element alone"
        )


def _differentiated(custom: CustomFunction) -> CustomFunction:
    """`custom` with the way that differentiates it; dual numbers first, then torch's autograd."""
    ways = [custom] if custom.on_numpy else []
    if "torch" in sys.modules:
        ways.append(CustomFunction(custom.name, custom.function, custom.on_numpy, by_dual=False))
    failure = ""
    for way in ways:
        try:
            slopes = way.slope(_POINTS.copy(), None)
        except Exception as error:
            failure = failure or f"{type(error).__name__}: {first_line(error)}"
            continue
        if np.isfinite(slopes).all():
            return way
        point = _POINTS[np.flatnonzero(~np.isfinite(slopes))[0]]
        failure = f"it is not finite at z = {point:g}"
        break
    raise SpecError(
        f'activation "{custom.name}": the derivative cannot be found ({failure}); pass it as derivative='
    )


def _compare_slopes(custom: CustomFunction) -> None:
    # central differences; wide steps, since a torch function may compute in float32
    z = np.linspace(-4.9, 5.3, 41)
    step = 1e-3
    measured = (custom.value(z + step, None) - custom.value(z - step, None)) / (2 * step)
    given = custom.slope(z, None)
    wrong = np.flatnonzero(np.abs(given - measured) > 1e-2 * (1 + np.abs(measured)))
    if wrong.size > 2:  # a kink may lie between the two points of a difference
        point = wrong[0]
        raise SpecError(
            f'activation "{custom.name}": the derivative gives {given[point]:.6g} at z = {z[point]:.6g}, '
            f"where the slope of the function is {measured[point]:.6g}; correct it or leave it out"
        )


def _call_on_numpy(function: Callable[..., Any], z: np.ndarray) -> Any:
    import array_api_compat.numpy

    with np.errstate(all="ignore"):
        return function(z, array_api_compat.numpy) if takes_namespace(function) else function(z)


def _call_on_torch(function: Callable[..., Any], z: Any) -> Any:
    from array_api_compat import array_namespace

    return function(z, array_namespace(z)) if takes_namespace(function) else function(z)


def _is_plain(result: Any) -> bool:
    return (
        isinstance(result, (np.ndarray, np.generic, bool, int, float))
        and np.asarray(result).dtype.kind in "biuf"
    )
