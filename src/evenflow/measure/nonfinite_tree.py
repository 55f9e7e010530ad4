"""Tensors in nested arguments and outputs: find them, name them, copy them."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree


def tensors_in(value: object) -> list[Tensor]:
    """Every tensor in a value, in the order of `torch.utils._pytree.tree_leaves`; a leaf that is a dataclass or
    a mapping gives those of its fields.

    >>> import torch
    >>> len(tensors_in({"a": [torch.ones(1), 3], "b": torch.ones(2)}))
    2
    """
    return [tensor for _, tensor in named_tensors(value, "")]


def named_tensors(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """The same with a path behind `name`, such as "batch['mask'][0]"."""
    if isinstance(value, Tensor):
        yield name, value
        return
    try:
        leaves = [(pytree.keystr(path), leaf) for path, leaf in pytree.tree_flatten_with_path(value)[0]]
    except ValueError:  # a container that was registered without paths
        leaves = [(f"[{number}]", leaf) for number, leaf in enumerate(pytree.tree_leaves(value))]
    for path, leaf in leaves:
        if isinstance(leaf, Tensor):
            yield name + path, leaf
        elif _is_data(leaf):
            for field in dataclasses.fields(leaf):
                yield from named_tensors(getattr(leaf, field.name, None), f"{name}{path}.{field.name}")
        elif isinstance(leaf, Mapping):
            for key, entry in leaf.items():
                yield from named_tensors(entry, f"{name}{path}[{key!r}]")


def named_arguments(model: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
    """The tensors in the arguments of a call, named as the signature of `forward` names them."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    single = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    found: list[tuple[str, Tensor]] = []
    for number, value in enumerate(args):
        name = single[number] if number < len(single) else f"argument {number}"
        found += named_tensors(value, name)
    for name, value in kwargs.items():
        found += named_tensors(value, name)
    return found


def copied(value: Any, known: dict[int, Tensor] | None = None) -> Any:
    """The value with a copy of every tensor in it, cut off from the graph that made it.

    The same tensor twice stays the same tensor twice. A leaf that required a gradient is a leaf that requires
    one; what was computed from others is so again, so that it may be changed in place.
    """
    known = {} if known is None else known

    def one(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            if id(leaf) not in known:
                fresh = leaf.detach().clone().requires_grad_(leaf.requires_grad)
                known[id(leaf)] = fresh if leaf.is_leaf else fresh.clone()
            return known[id(leaf)]
        if _is_data(leaf):
            twin = copy.copy(leaf)
            for field in dataclasses.fields(leaf):
                if hasattr(leaf, field.name):
                    object.__setattr__(twin, field.name, copied(getattr(leaf, field.name), known))
            return twin
        return leaf

    return pytree.tree_map(one, value)


def _is_data(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
