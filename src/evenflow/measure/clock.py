"""When things happen in a training: optimisers that step, gradients that are unscaled, process-wide and once for all.

Every optimiser of torch calls global hooks before and after its step, so that one that is made later, or hidden in a
wrapper, is noticed too. `torch.amp.GradScaler` has no hooks: the methods through which it divides the loss scale out,
and leaves out the step of an optimiser whose gradients have overflowed, are wrapped while anything listens.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim import optimizer as optimisers  # pyright: ignore[reportAttributeAccessIssue]


class Watcher(Protocol):
    """What wants to know."""

    def before_step(self, optimiser: Optimizer, closure: bool) -> None: ...
    def after_step(self, optimiser: Optimizer, closure: bool) -> None: ...
    def unscaled(self, optimiser: Optimizer, scale: float) -> None: ...
    def skipped(self, optimiser: Optimizer) -> None: ...


_watchers: list[Watcher] = []
_handles: list[Any] = []


def watch(watcher: Watcher) -> None:
    """Tell `watcher` from now on."""
    if not _watchers:
        _handles.append(optimisers.register_optimizer_step_pre_hook(_before))
        _handles.append(optimisers.register_optimizer_step_post_hook(_after))
        GradScaler._unscale_grads_ = _unscale  # pyright: ignore[reportAttributeAccessIssue]
        GradScaler._maybe_opt_step = _step  # pyright: ignore[reportAttributeAccessIssue]
    _watchers.append(watcher)


def unwatch(watcher: Watcher) -> None:
    """Tell `watcher` no more; the last one takes every hook with it."""
    if watcher in _watchers:
        _watchers.remove(watcher)
        if not _watchers:
            for handle in _handles:
                handle.remove()
            _handles.clear()
            _inside.clear()
            GradScaler._unscale_grads_ = _plain_unscale
            GradScaler._maybe_opt_step = _plain_step


_plain_unscale = GradScaler._unscale_grads_
_plain_step = GradScaler._maybe_opt_step
_stepped: set[int] = set()  # optimisers that have made a step since a scaler was asked for one


_inside: dict[
    int, int
] = {}  # steps under way: an optimiser's step may call that of the class it is derived from


def _before(optimiser: Optimizer, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    if id(optimiser) in _inside and _calls(optimiser) > 1:
        _inside[id(optimiser)] += 1
        return
    _inside[id(optimiser)] = 1
    closure = _closure(arguments, options)
    for watcher in tuple(_watchers):
        watcher.before_step(optimiser, closure)


def _after(optimiser: Optimizer, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    _inside[id(optimiser)] = left = _inside.get(id(optimiser), 1) - 1
    if left > 0:
        return
    del _inside[id(optimiser)]
    closure = _closure(arguments, options)
    _stepped.add(id(optimiser))
    for watcher in tuple(_watchers):
        watcher.after_step(optimiser, closure)


def _calls(optimiser: Optimizer) -> int:
    """How many calls of an optimiser's step are under way; one that raised an error has not said that it is over."""
    found, frame = 0, sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "wrapper" and code.co_filename == optimisers.__file__:
            found += frame.f_locals.get("self") is optimiser
        frame = frame.f_back
    return found


def _closure(arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Whether the step evaluates the loss by itself; the optimiser is the first of the arguments."""
    if len(arguments) < 2 and not options:
        return False
    return options.get("closure") is not None or any(callable(value) for value in arguments[1:])


def _unscale(
    scaler: GradScaler, optimizer: Optimizer, inv_scale: torch.Tensor, *arguments: Any, **options: Any
) -> Any:
    found = _plain_unscale(scaler, optimizer, inv_scale, *arguments, **options)
    factor = float(inv_scale)
    if factor != 1.0:  # a scaler also asks for non-finite gradients only, with the factor 1
        for watcher in tuple(_watchers):
            watcher.unscaled(optimizer, 1 / factor)
    return found


def _step(scaler: GradScaler, optimizer: Optimizer, *arguments: Any, **options: Any) -> Any:
    _stepped.clear()
    found = _plain_step(scaler, optimizer, *arguments, **options)
    if id(optimizer) not in _stepped:
        for watcher in tuple(_watchers):
            watcher.skipped(optimizer)
    return found
