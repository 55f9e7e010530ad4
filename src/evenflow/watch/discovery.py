"""Which models an optimiser steps: the outermost modules that hold its parameters, looked for among all objects.

An optimiser knows parameters, not modules. Every module that holds one of them directly is a beginning; from there
the way goes up through the modules that contain it. Some outermost modules are never called themselves: a module
without a forward, or one whose `training_step` calls its parts. Of these the first part that is called counts.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from evenflow.measure.sites import stepped_by, unwrapped


def models_of(optimiser: Optimizer) -> list[list[nn.Module]]:
    """The models that an optimiser steps; each a list of candidates, outermost first, of which one will be called.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> outer = nn.ModuleList([model])
    >>> models_of(torch.optim.SGD(model[0].parameters())) == [[model]]
    True
    """
    wanted = stepped_by(optimiser)
    modules = [found for found in gc.get_objects() if _is_module(found)]
    parents: dict[int, list[nn.Module]] = {}
    for module in modules:
        for child in _children(module):
            parents.setdefault(id(child), []).append(module)
    reached = [module for module in modules if any(id(one) in wanted for one in _own(module))]
    seen = set(map(id, reached))
    roots = []
    for module in reached:  # grows on the way up
        above = parents.get(id(module), ())
        if not above:
            roots.append(module)
        for parent in above:
            if id(parent) not in seen:
                seen.add(id(parent))
                reached.append(parent)
    return [_candidates(root, wanted) for root in roots]


def when_called(candidates: Sequence[nn.Module], begin: Callable[[nn.Module], None]) -> Callable[[], None]:
    """Call `begin` with the first of these modules that is called, before it runs; gives what calls it off."""
    waiting: list[nn.Module] = []

    def call_off() -> None:
        for module in waiting:
            module.__dict__.pop("_compiled_call_impl", None)
        waiting.clear()

    def tap(module: nn.Module) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if not torch.compiler.is_compiling():
                call_off()
                begin(module)
            return (module._compiled_call_impl or module._call_impl)(*arguments, **options)

        return call

    for module in candidates:
        if module._compiled_call_impl is None:
            module.__dict__["_compiled_call_impl"] = tap(module)
            waiting.append(module)
    return call_off


def _candidates(root: nn.Module, wanted: set[int]) -> list[nn.Module]:
    model = unwrapped(root)
    chain = [model]
    needed = wanted & _held(model)
    while _is_called_by_parts(chain[-1]):
        holders = [child for child in chain[-1].children() if needed <= _held(child)]
        if len(holders) != 1:
            break
        chain.append(unwrapped(holders[0]))
    if len(chain) == 1:
        return chain
    # A container of several models, each with an optimiser of its own, is no model.
    whole = [module for module in chain if _has_forward(module) and _trainable(module) <= wanted]
    return whole or chain[-1:]


def _is_called_by_parts(module: nn.Module) -> bool:
    return hasattr(module, "training_step") or not _has_forward(module)


def _has_forward(module: nn.Module) -> bool:
    return getattr(module.forward, "__func__", None) is not nn.Module.forward


def _is_module(found: object) -> bool:
    """By type alone: `isinstance` would wake objects that stand in for others."""
    kind = type(found)
    return issubclass(kind, nn.Module) and not issubclass(kind, torch.jit.ScriptModule)


def _children(module: nn.Module) -> Iterable[nn.Module]:
    return [child for child in vars(module).get("_modules", {}).values() if child is not None]


def _own(module: nn.Module) -> Iterable[nn.Parameter]:
    return [one for one in vars(module).get("_parameters", {}).values() if one is not None]


def _held(module: nn.Module) -> set[int]:
    return set(map(id, module.parameters()))


def _trainable(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
