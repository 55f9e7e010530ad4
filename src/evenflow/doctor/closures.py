"""Functions that a model holds, made to speak of the copy: a lambda over `self.body` goes on calling the original's.

`copy.deepcopy` hands functions out as they are, with what they have closed over. A copy that holds such a function
would run the layers of the original, and send its gradients there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import Tensor, nn

_OWN = ("_parameters", "_buffers", "_modules")  # which deepcopy has taken over


def rebind(model: nn.Module, memory: Mapping[int, Any]) -> None:
    """Let the functions among the attributes and hooks of a copy close over the copy's modules and tensors.

    Args:
        model: a copy, changed in place.
        memory: that of `copy.deepcopy`: for the id of every original what it has become.

    >>> import copy
    >>> model = nn.Sequential(nn.Linear(2, 2))
    >>> model.call = lambda inputs, first=model[0]: first(inputs)
    >>> memory = {}
    >>> other = copy.deepcopy(model, memory)
    >>> rebind(other, memory)
    >>> other.call.__defaults__[0] is other[0]
    True
    """
    for module in model.modules():
        held = vars(module)
        parts = [held, *(one for name, one in held.items() if isinstance(one, dict) and name not in _OWN)]
        for part in parts:
            for key, value in list(part.items()):
                bound = _bound(value, memory, ())
                if bound is not value:
                    part[key] = bound


def bound(function: Any, memory: Mapping[int, Any]) -> Any:
    """A function that closes over the copy's modules and tensors, or that itself where it closes over none."""
    return _bound(function, memory, ())


def _bound(value: Any, memory: Mapping[int, Any], within: tuple[int, ...]) -> Any:
    """The same for the copy; the value itself where nothing in it has been copied."""
    if isinstance(value, nn.Module | Tensor):
        return memory.get(id(value), value)
    if isinstance(value, MethodType):
        owner = _bound(value.__self__, memory, within)
        return value if owner is value.__self__ else MethodType(value.__func__, owner)
    if type(value) in (list, tuple):
        parts = [_bound(one, memory, within) for one in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if isinstance(value, partial):
        parts = [_bound(one, memory, within) for one in (value.func, value.args, *value.keywords.values())]
        same = all(
            new is old
            for new, old in zip(parts, (value.func, value.args, *value.keywords.values()), strict=True)
        )
        named = dict(zip(value.keywords, parts[2:], strict=True))
        return value if same else partial(parts[0], *parts[1], **named)
    if isinstance(value, FunctionType) and id(value) not in within:
        return _function(value, memory, (*within, id(value)))
    return value


def _function(function: FunctionType, memory: Mapping[int, Any], within: tuple[int, ...]) -> FunctionType:
    cells = function.__closure__ or ()
    held = [_content(cell) for cell in cells]
    closed = [_bound(one, memory, within) for one in held]
    defaults = _bound(function.__defaults__, memory, within)
    options = function.__kwdefaults__ or {}
    named = {name: _bound(one, memory, within) for name, one in options.items()}
    if (
        all(new is old for new, old in zip(closed, held, strict=True))
        and defaults is function.__defaults__
        and all(named[name] is one for name, one in options.items())
    ):
        return function
    renewed = [
        cell if new is old else CellType(new) for cell, new, old in zip(cells, closed, held, strict=True)
    ]
    made = FunctionType(
        function.__code__, function.__globals__, function.__name__, defaults, tuple(renewed) or None
    )
    made.__kwdefaults__ = named or None
    made.__dict__.update(vars(function))
    return made


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that is not bound yet
        return None
