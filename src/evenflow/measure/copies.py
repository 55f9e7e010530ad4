"""Copies of tapped modules run by themselves, without the taps.

A copy takes over everything an instance has, and with it the way to call the original. Module leaves that out of what
is copied and pickled; classes that say themselves what is copied, such as LSTM, do not, and neither does the method
that makes DataParallel's replicas for other devices, which is wrapped while anything is tapped.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

_plain: Any = nn.Module._replicate_for_data_parallel
_tapped: list[object] = []
_COPYING = ("__getstate__", "__reduce__", "__reduce_ex__", "__copy__", "__deepcopy__")


class Dropped(functools.partial):
    """A callable that copies and pickles as None."""

    def __reduce__(self) -> Any:
        return type(None), ()

    def __deepcopy__(self, _known: object) -> None:
        return None


def says_what_is_copied(module: nn.Module) -> bool:
    """Whether the class of a module decides what of an instance is copied and pickled.

    >>> says_what_is_copied(nn.LSTM(2, 2)), says_what_is_copied(nn.Linear(2, 2))
    (True, False)
    """
    kind = type(module)
    return any(getattr(kind, name, None) is not getattr(nn.Module, name, None) for name in _COPYING)


def free_replicas(owner: object) -> None:
    """Let replicas of modules be called without what `owner` has put around them."""
    _tapped.append(owner)
    nn.Module._replicate_for_data_parallel = _replicate  # pyright: ignore[reportAttributeAccessIssue]


def forget_replicas(owner: object) -> None:
    """What `owner` has put around modules is gone."""
    if owner in _tapped:
        _tapped.remove(owner)
        if not _tapped:
            nn.Module._replicate_for_data_parallel = _plain


def is_tapped(module: nn.Module) -> bool:
    """Whether a probe has put a tap around a module."""
    call = module.__dict__.get("_compiled_call_impl")
    return (getattr(call, "__module__", None) or "").startswith("evenflow.")


def _replicate(module: nn.Module) -> nn.Module:
    replica = _plain(module)
    if is_tapped(replica):
        del replica.__dict__["_compiled_call_impl"]
    return replica
