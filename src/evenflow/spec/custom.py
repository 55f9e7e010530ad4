"""Evaluate a user's callable, and its derivative, on whichever kind of array comes.

A callable written for NumPy runs in a torch network through an autograd function that goes by NumPy; one
written for torch runs on NumPy arrays the other way round. Neither framework is imported here: an array of a
framework shows that the framework is already loaded.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from evenflow.errors import SpecError, UnavailableError
from evenflow.spec import dual

Array = Any
Namespace = Any


@dataclass(frozen=True, eq=False)
class CustomFunction:
    """A user's elementwise callable; `value(z, xp)` and `slope(z, xp)` as in the catalogue.

    Args:
        name: of the activation, for messages.
        function: one argument `z`, or two, `z` and the array namespace `xp`.
        on_numpy: whether the callable takes NumPy arrays; if not, it takes torch tensors.
        by_dual: whether dual numbers give its derivative; if not, torch's autograd does.
        derivative: the user's own derivative, or None.
    """

    name: str
    function: Callable[..., Any]
    on_numpy: bool
    by_dual: bool
    derivative: CustomFunction | None = None

    def value(self, z: Array, xp: Namespace) -> Array:
        if isinstance(z, np.ndarray):
            return self._numpy_value(z)
        if not _is_torch(z):
            return self._jax_value(z, xp)
        if self.derivative is None and self._torch_native:
            return self._call(z, xp).to(z.dtype)
        return _torch_bridge().apply(z, self)

    def slope(self, z: Array, xp: Namespace) -> Array:
        if self.derivative is not None:
            return self.derivative.value(z, xp)
        if isinstance(z, np.ndarray):
            if self.by_dual:
                return dual.derivative(lambda item: self._call(item, dual.DualNamespace()), z)
            return self._torch_slope(_to_torch(z)).numpy()
        if not _is_torch(z):
            return sys.modules["jax"].jvp(lambda item: self._jax_value(item, xp), (z,), (xp.ones_like(z),))[1]
        if self._torch_native:
            return self._torch_slope(z)
        return _from_numpy(self.slope(_to_numpy(z), None), z)

    def plain_torch_value(self, z: Array) -> Array:
        """The value on a tensor outside autograd."""
        if self._torch_native:
            return self._call(z).to(z.dtype)
        return _from_numpy(self._numpy_value(_to_numpy(z)), z)

    def _numpy_value(self, z: np.ndarray) -> np.ndarray:
        if self.on_numpy:
            with np.errstate(all="ignore"):
                return np.asarray(self._call(z)).astype(z.dtype, copy=False)
        if "torch" not in sys.modules:
            raise UnavailableError(f'activation "{self.name}" is written for torch; import torch first')
        return self.plain_torch_value(_to_torch(z)).detach().numpy()

    def _torch_slope(self, z: Array) -> Array:
        torch = sys.modules["torch"]
        with torch.enable_grad():
            argument = z if z.requires_grad else z.detach().requires_grad_()
            total = self._call(argument).sum()
            return torch.autograd.grad(total, argument, create_graph=z.requires_grad)[0]

    def _jax_value(self, z: Array, xp: Namespace) -> Array:
        try:
            result = self._call(z, xp)
        except Exception as error:
            raise self._no_jax(f"{type(error).__name__}: {first_line(error)}") from error
        if type(result).__module__.partition(".")[0] not in ("jax", "jaxlib"):
            raise self._no_jax(f"it returns a {type(result).__name__}")
        return result.astype(z.dtype)

    def _no_jax(self, reason: str) -> SpecError:
        return SpecError(
            f'activation "{self.name}" cannot run on JAX ({reason}); write it as function(z, xp) with '
            "xp the array namespace, or use the torch engine"
        )

    def _call(self, z: Array, xp: Namespace | None = None) -> Any:
        if not self._namespaced:
            return self.function(z)
        return self.function(z, array_namespace(z) if xp is None else xp)

    @functools.cached_property
    def _namespaced(self) -> bool:
        return takes_namespace(self.function)

    @functools.cached_property
    def _torch_native(self) -> bool:
        """Whether the callable takes tensors and autograd passes through it; tried once, on eight points."""
        if not self.on_numpy:
            return True
        torch = sys.modules["torch"]
        points = np.linspace(-2.7, 3.1, 8)
        z = torch.from_numpy(points).requires_grad_()
        try:
            with torch.enable_grad():
                result = self._call(z)
            if not isinstance(result, torch.Tensor) or result.shape != z.shape or not result.requires_grad:
                return False
            return bool(np.allclose(result.detach().numpy(), self._numpy_value(points), equal_nan=True))
        except Exception:  # whatever it raises, it does not take tensors; the way by NumPy is left
            return False

    def __getstate__(self) -> dict[str, Any]:
        return {key: item for key, item in self.__dict__.items() if not key.startswith("_")}


def takes_namespace(function: Callable[..., Any]) -> bool:
    """Whether a second argument is required, or is called `xp`.

    >>> takes_namespace(lambda z, xp: xp.tanh(z)), takes_namespace(lambda z, slope=0.1: slope * z)
    (True, False)
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # built-in functions without a signature take one array
        return False
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 and (
        positional[1].default is inspect.Parameter.empty or positional[1].name == "xp"
    )


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _is_torch(z: Array) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(z, torch.Tensor)


def _to_torch(z: np.ndarray) -> Array:
    return sys.modules["torch"].from_numpy(np.array(z))


def _to_numpy(z: Array) -> np.ndarray:
    torch = sys.modules["torch"]
    wide = z.detach().cpu()
    return (wide.float() if wide.dtype == torch.bfloat16 else wide).numpy()  # NumPy has no bfloat16


def _from_numpy(values: np.ndarray, like: Array) -> Array:
    return sys.modules["torch"].from_numpy(np.array(values)).to(dtype=like.dtype, device=like.device)


@functools.cache
def _torch_bridge() -> Any:
    """The autograd function whose backward pass multiplies by `CustomFunction.slope`."""
    torch = sys.modules["torch"]

    class Bridge(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Array, custom: CustomFunction) -> Array:
            ctx.save_for_backward(z)
            ctx.custom = custom
            return custom.plain_torch_value(z)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, gradient: Array) -> tuple[Array, None]:
            (z,) = ctx.saved_tensors
            return gradient * ctx.custom.slope(z.detach(), None), None

    return Bridge
