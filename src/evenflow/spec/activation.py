"""Activation functions by name: the catalogue, the user's own, and how to look one up.

An `Activation` is a value f and a slope f', each callable on arrays of NumPy, torch and JAX and on numbers:

>>> relu = activation("relu")
>>> relu(-2.0), relu.derivative(3.0), activation("leaky_relu:0.2").derivative(-1.0)
(0.0, 1.0, 0.2)
"""

from __future__ import annotations

import functools
import hashlib
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from evenflow.errors import SpecError, suggest
from evenflow.spec.catalogue import ALIASES, CATALOGUE
from evenflow.spec.custom import CustomFunction

Array = Any  # numpy.ndarray, torch.Tensor, jax.Array or a number

_custom: dict[str, Activation] = {}


@dataclass(frozen=True, eq=False, repr=False)
class Activation:
    """An activation function f and its derivative f'.

    `activation` and `register_activation` make them; two look-ups of one name give the same object.

    Args:
        name: canonical name, such as `"relu"` or `"leaky_relu:0.2"`.
        title: name for figures and tables, such as `"Leaky ReLU (0.2)"`.
        formula: f(z) as plain text.
        derivative_formula: f'(z) as plain text.
        reference: the paper, or an empty string.
        parameter: the slope or α, where there is one; for a learned one the value training starts from.
        learned: whether training changes the parameter (PReLU: one slope a channel).
        custom: whether the user registered it.
    """

    name: str
    title: str
    formula: str
    derivative_formula: str
    reference: str
    parameter: float | None
    learned: bool
    custom: bool
    _value: Callable[..., Array] = field(kw_only=True)
    _slope: Callable[..., Array] = field(kw_only=True)
    _custom: CustomFunction | None = field(kw_only=True, default=None)

    def __call__(self, z: Array) -> Array:
        """f(z), elementwise, in the kind, shape and dtype of `z`; integers become floating point.

        Raises:
            SpecError: `z` is neither a number nor an array.
        """
        return self._apply(self._value, z)

    def derivative(self, z: Array) -> Array:
        """f'(z), elementwise; at a kink what torch's backward pass gives, such as ReLU'(0) = 0.

        Raises:
            SpecError: `z` is neither a number nor an array.
        """
        return self._apply(self._slope, z)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits that change when the values of f or f' change, for content hashes."""
        # a spacing no formula shares, and nine digits, which every machine's exp agrees on
        z = np.linspace(-8.1, 8.3, 83)
        digits = ",".join(f"{number + 0.0:.9e}" for number in (*self(z), *self.derivative(z)))
        return hashlib.sha256(digits.encode()).hexdigest()[:12]

    def _apply(self, function: Callable[..., Array], z: Array) -> Array:
        if isinstance(z, (int, float, np.generic)):
            return float(self._apply(function, np.asarray([z], dtype=np.float64))[0])
        if isinstance(z, (list, tuple)):
            z = np.asarray(z, dtype=np.float64)
        try:
            xp = array_namespace(z)
        except TypeError:
            raise SpecError(
                f'activation "{self.name}": cannot be applied to a {type(z).__name__}; '
                "give a number or an array of NumPy, torch or JAX"
            ) from None
        if not xp.isdtype(z.dtype, "real floating"):
            z = xp.astype(z, xp.asarray(0.0).dtype)
        if isinstance(z, np.ndarray) and z.ndim == 0:
            return function(z.reshape(1), xp).reshape(())  # NumPy turns 0-d arrays into scalars on the way
        return function(z, xp)

    def __repr__(self) -> str:
        return f'activation("{self.name}")'

    def __reduce__(self) -> tuple[Any, ...]:
        if self._custom is None:
            return activation, (self.name,)
        from evenflow.spec.pickling import by_value

        return _restore, (self.name, self.title, self.formula, by_value(self._custom), self.fingerprint)


def activation(name: str | Activation) -> Activation:
    """Look an activation up by name; an `Activation` is returned as it is.

    A number after a colon sets the parameter of `leaky_relu:SLOPE`, `prelu:SLOPE` (where training starts) and
    `elu:ALPHA`. `swish` is another name of `silu`.

    Raises:
        SpecError: the name is not known, or the number after the colon is wrong.

    >>> activation("swish").name, activation("elu:0.5").title
    ('silu', 'ELU (0.5)')
    """
    if isinstance(name, Activation):
        return name
    if not isinstance(name, str):
        raise SpecError(f'an activation is given by its name, such as "relu", not by a {type(name).__name__}')
    if name in _custom:
        return _custom[name]
    base, colon, tail = name.partition(":")
    base = ALIASES.get(base, base)
    if base not in CATALOGUE:
        hint = suggest(base, [*activation_names(), *ALIASES]) or ";"
        count = len(activation_names())
        raise SpecError(f"activation \"{name}\" is not known{hint} 'evenflow activations' lists all {count}.")
    default = CATALOGUE[base].parameter
    if not colon:
        return _known(base, default)
    if default is None:
        raise SpecError(f'activation "{name}" takes no number; write "{base}"')
    try:
        parameter = float(tail)
    except ValueError:
        parameter = math.nan
    if not math.isfinite(parameter):
        raise SpecError(
            f'activation "{name}": "{tail}" is not a finite number; write one, such as {base}:0.2'
        )
    return _known(base, parameter)


def activation_names() -> tuple[str, ...]:
    """The names of the catalogue in its order, then the user's own in the order of registration.

    >>> activation_names()[:3]
    ('sigmoid', 'tanh', 'relu')
    """
    return (*CATALOGUE, *_custom)


def register_activation(
    name: str,
    function: Callable[..., Array],
    derivative: Callable[..., Array] | None = None,
    *,
    title: str | None = None,
    formula: str = "",
    replace: bool = False,
) -> Activation:
    """Make a function of your own known under a name, everywhere a name is taken.

    Args:
        name: letters, digits, `_`, `-` and `.`, beginning with a letter.
        function: elementwise f(z), written with operators and NumPy functions, or with torch functions, or as
            `function(z, xp)` with `xp` the array namespace of `z` (then it also runs on JAX).
        derivative: f'(z), written in any of these ways. Left out, dual numbers give the exact derivative of
            a NumPy function, and torch's autograd that of a torch function.
        title: name for figures and tables; the name itself if left out.
        formula: f(z) as text for tables.
        replace: give the name of an earlier function of yours to this one. Registering a function with the
            same values again is always allowed.

    Raises:
        SpecError: the name is taken or not a name; the function is not callable, fails on arrays, returns
            another shape or a value that is not finite, or does not act on each element alone; or the
            derivative is missing, not finite, or not the slope of the function.

    >>> cube = register_activation("cube_example", lambda z: z**3)
    >>> cube.derivative(2.0)
    12.0
    """
    from evenflow.spec.registration import checked_name, inspected

    checked_name(name, (*CATALOGUE, *ALIASES))
    entry = _make_custom(name, title or name, formula, inspected(name, function, derivative))
    known = _custom.get(name)
    if known is not None and not replace and known.fingerprint != entry.fingerprint:
        raise SpecError(
            f'activation "{name}" is already registered with other values; choose another name '
            "or pass replace=True"
        )
    _custom[name] = entry
    return entry


def elementwise(name: str, function: Callable[..., Array]) -> Activation:
    """An activation of a function that is used here and now, without making its name known.

    Args:
        name: for messages.
        function: as `register_activation` takes it.

    Raises:
        SpecError: as `register_activation` has them.
    """
    from evenflow.spec.registration import inspected

    return _make_custom(name, name, "", inspected(name, function, None))


@functools.cache
def _known(base: str, parameter: float | None) -> Activation:
    entry = CATALOGUE[base]
    changed = parameter != entry.parameter
    arguments = {} if parameter is None else {_PARAMETER[base]: parameter}
    symbol = entry.symbol
    tail = f", {symbol} = {parameter:g}" if symbol and not entry.learned else ""
    tail = f", {symbol} = {parameter:g} at the start" if entry.learned else tail
    return Activation(
        name=f"{base}:{parameter!r}" if changed else base,
        title=f"{entry.title} ({parameter:g})" if changed else entry.title,
        formula=entry.formula + tail,
        derivative_formula=entry.derivative_formula,
        reference=entry.reference,
        parameter=parameter,
        learned=entry.learned,
        custom=False,
        _value=functools.partial(entry.value, **arguments),
        _slope=functools.partial(entry.slope, **arguments),
    )


_PARAMETER = {"leaky_relu": "slope", "prelu": "slope", "elu": "alpha"}


def _make_custom(name: str, title: str, formula: str, custom: CustomFunction) -> Activation:
    return Activation(
        name=name,
        title=title,
        formula=formula or "a function of your own",
        derivative_formula="given with the function" if custom.derivative else "found by differentiation",
        reference="",
        parameter=None,
        learned=False,
        custom=True,
        _value=custom.value,
        _slope=custom.slope,
        _custom=custom,
    )


def _restore(name: str, title: str, formula: str, pickled: bytes, fingerprint: str) -> Activation:
    """Rebuild a pickled custom activation, in a fresh process too, and make its name known there."""
    known = _custom.get(name)
    if known is not None and known.fingerprint == fingerprint:
        return known
    entry = _make_custom(name, title, formula, pickle.loads(pickled))
    entry.__dict__["fingerprint"] = (
        fingerprint  # carried over: a torch function cannot be evaluated before torch
    )
    _custom[name] = entry
    return entry
