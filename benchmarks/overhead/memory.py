"""What a contender holds in memory between the forward and the backward pass, beside what the training holds.

Storages of all tensors that Python knows are counted, less those of the training itself and those that autograd
saved for the backward pass: a reference to a saved activation costs nothing. Objects of Python and arrays of NumPy
are counted by `tracemalloc`; memory that compiled code allocates by itself is not seen.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .contenders import Contender
from .timing import enter
from .workloads import Workload


@dataclass(frozen=True)
class Held:
    """Bytes after a forward pass, and before it."""

    activations: int  # saved by autograd
    always: int  # a contender's tensors before the pass
    forward: int  # how much more they are after it
    python: int  # how much more Python's objects are


def held(workload: Workload, contender: Contender, base_width: int) -> Held:
    """Measure one step of a training that has made a few."""
    training = workload.training(base_width)
    detach = enter(training, contender)
    tracemalloc.start()
    training.step()
    gc.collect()
    own = storages(training.own_tensors())
    before = alive()
    python = tracemalloc.get_traced_memory()[0]
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved.update(storages([tensor]))
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = training.loss()
    python = tracemalloc.get_traced_memory()[0] - python
    tracemalloc.stop()
    gc.collect()
    after = alive()
    graph = saved.keys() | storages([loss]).keys()
    always = sum(before[key] for key in before.keys() - own.keys())
    found = Held(
        activations=sum(saved[key] for key in saved.keys() - own.keys()),
        always=always,
        forward=sum(after[key] for key in after.keys() - own.keys() - graph) - always,
        python=python,
    )
    training.learn(loss)
    detach()
    return found


def storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Address and bytes of the memory under each tensor, once however many share it."""
    found = (tensor.untyped_storage() for tensor in tensors)
    return {one.data_ptr(): one.nbytes() for one in found}


def alive() -> dict[int, int]:
    """The same of all tensors that Python knows."""
    # by type: `isinstance` would ask lazy modules and proxies for their class
    return storages(one for one in gc.get_objects() if issubclass(type(one), torch.Tensor))
