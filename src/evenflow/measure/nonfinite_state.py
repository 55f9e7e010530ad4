"""Run a model once more and leave everything as it was, bit for bit.

Buffers are swapped for copies, so that the training's own are not even touched. Parameters stay the very
objects they are, because a recurrent layer keeps pointers to them; what is about to be written in place is
copied first.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

RandomStates = Tensor | Mapping[str, Tensor] | None


class Guard:
    """Copies of whatever the replay writes into and the training owns, made just before the first write."""

    def __init__(self, owned: list[Tensor]) -> None:
        self._owned = {storage_key(tensor): tensor.detach() for tensor in owned if _has_storage(tensor)}
        self._saved: dict[int, Tensor] = {}

    def before_write(self, tensor: Tensor) -> None:
        """To be called with every tensor that an operation is about to change."""
        if not _has_storage(tensor):
            return
        key = storage_key(tensor)
        if key in self._owned and key not in self._saved:
            self._saved[key] = _whole(self._owned[key]).clone()

    def restore(self) -> None:
        """Write the copies back, past the version counters, on which a waiting backward pass relies."""
        for key, saved in self._saved.items():
            _whole(self._owned[key]).copy_(saved)


@contextmanager
def untouched(model: nn.Module, states: RandomStates) -> Iterator[Guard]:
    """Parameters, gradients, buffers, attributes, modes and random states are afterwards what they were.

    Args:
        model: what is going to run.
        states: the random states to begin with, as `trace_nonfinite` takes them.
    """
    modules = list(model.modules())
    parameters = list(model.parameters())
    attributes = [(module, dict(vars(module)), _containers(module)) for module in modules]
    values = [(parameter, parameter.data, parameter.grad) for parameter in parameters]
    plain = [
        leaf
        for module in modules
        for value in vars(module).values()
        for leaf in pytree.tree_leaves(value)
        if isinstance(leaf, Tensor)
    ]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    guard = Guard([*plain, *gradients])  # the parameters are among the attributes
    copies: dict[int, Tensor] = {}
    with ExitStack() as stack:
        stack.enter_context(_random_states(modules))
        try:
            _set_random_states(states)
            for module in modules:
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = copies.setdefault(id(buffer), buffer.detach().clone())
            yield guard
        finally:
            guard.restore()
            for module, own, containers in attributes:
                vars(module).clear()
                vars(module).update(own)
                for live, kept in containers:
                    live.clear()
                    (live.extend if isinstance(live, (list, deque)) else live.update)(kept)
            for parameter, data, gradient in values:
                if _has_storage(parameter) and parameter.data_ptr() != data.data_ptr():
                    parameter.data = data
                if parameter.grad is not gradient:
                    parameter.grad = gradient


def _containers(module: nn.Module) -> list[tuple[Any, Any]]:
    """Every plain container that is an attribute, the module's own of parameters, buffers and hooks among them,
    with a copy."""
    plain = (list, dict, set, OrderedDict, deque)
    return [(value, copy(value)) for value in vars(module).values() if type(value) in plain]


@contextmanager
def _random_states(modules: list[nn.Module]) -> Iterator[None]:
    generators = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, torch.Generator)
    }
    own = [(generator, generator.get_state()) for generator in generators.values()]
    plain, numeric = random.getstate(), np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    cpu = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        random.setstate(plain)
        np.random.set_state(numeric)
        for generator, state in own:
            generator.set_state(state)


def _set_random_states(states: RandomStates) -> None:
    if states is None:
        return
    if isinstance(states, Tensor):
        states = {"cpu": states}
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)


def storage_key(tensor: Tensor) -> int:
    """Names the memory behind a tensor and its views, as long as one of them lives."""
    return tensor.untyped_storage()._cdata


def _has_storage(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta


def _whole(tensor: Tensor) -> Tensor:
    """All the memory behind a tensor, as bytes."""
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())
