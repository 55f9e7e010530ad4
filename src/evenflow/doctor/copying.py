"""Copies of a model with its optimiser and scheduler, that train without a trace in the user's own."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.optim import Optimizer

from evenflow.doctor.closures import bound, rebind
from evenflow.errors import SpecError
from evenflow.measure.sites import unwrapped

_RATE = 1e-3  # of the Adam that is taken where no optimiser is given


@dataclass(frozen=True)
class Patient:
    """A model, its optimiser, and a scheduler: as the user has them, or a copy.

    Args:
        model, optimizer, scheduler: that train together.
        became: by the id of each of the user's modules and tensors, what it is here; empty for the user's own.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: Any = None
    became: Mapping[int, Any] = field(default_factory=dict, repr=False, compare=False)

    def copied(self) -> Patient:
        """A copy that shares nothing with this one.

        Raises:
            SpecError: the model holds something that cannot be copied.
        """
        memory: dict[int, Any] = {}
        _keep_results(self.model, memory)
        try:
            model = copy.deepcopy(self.model, memory)
            rebind(model, memory)
            _hook_alike(self.model, memory)
            optimizer = _copied_optimizer(self.optimizer, memory)
            scheduler = copy.deepcopy(self.scheduler, memory)
        except Exception as error:
            raise SpecError(
                f"the {type(self.model).__name__} cannot be copied ({type(error).__name__}: {error}); the doctor works "
                "on a copy, so take what cannot be copied out of the model first"
            ) from error
        new = {key: one for key, one in memory.items() if isinstance(one, nn.Module | Tensor)}
        earlier = {key: memory.get(id(one), one) for key, one in self.became.items()}
        return Patient(model, optimizer, scheduler, {**new, **earlier})

    def own(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of the user's as it is to be called of this copy: a penalty speaks of the copy's weights.

        >>> model = nn.Linear(2, 2)
        >>> patient = Patient(model, torch.optim.SGD(model.parameters(), 0.1)).copied()
        >>> patient.own(lambda model=model: model)() is patient.model
        True
        """
        if not self.became:
            return function
        if isinstance(function, MethodType) and isinstance(function.__self__, nn.Module):
            return MethodType(function.__func__, self.own(function.__self__))
        if isinstance(function, nn.Module):
            try:
                copied = copy.deepcopy(function, dict(self.became))
            except Exception:  # what cannot be copied is called as it is
                return function
            rebind(copied, self.became)
            return copied
        return bound(function, self.became)


def admit(model: object, optimizer: object, scheduler: object) -> Patient:
    """What the user has handed over, checked, as a copy.

    Args:
        model: the network, perhaps wrapped.
        optimizer: of this model, or a function that makes one from parameters; Adam with 0.001 when None.
        scheduler: of this optimiser, or a function that makes one from an optimiser.

    Raises:
        SpecError: something is not what it should be, or cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"the doctor looks at a torch.nn.Module; what was given is of type {type(model).__name__}"
        )
    inner = unwrapped(model)
    for name, parameter in inner.named_parameters():
        if type(parameter).__name__ == "DTensor":
            raise SpecError(
                f'parameter "{name}" is sharded over several processes, and the doctor works on a copy in one; give '
                "it the model before fully_shard is applied"
            )
        if parameter.is_meta:
            raise SpecError(
                f'parameter "{name}" is on the meta device and has no values; move the model to a real device first'
            )
    optimizer = getattr(optimizer, "optimizer", optimizer)  # as accelerate wraps it
    own = scheduler if hasattr(scheduler, "step") and not isinstance(scheduler, type) else None
    if isinstance(optimizer, Optimizer):
        patient = Patient(inner, optimizer, own).copied()
    else:
        copied = Patient(inner, torch.optim.SGD([nn.Parameter(torch.zeros(1))]), None).copied()
        patient = replace(copied, optimizer=_made(optimizer, copied.model))
        if own is not None:
            raise SpecError(
                "the scheduler belongs to an optimiser that was not given; give that optimiser, or a function that "
                "makes a scheduler from one"
            )
    if own is None and scheduler is not None:
        if not callable(scheduler):
            raise SpecError(f"scheduler of the doctor: type {type(scheduler).__name__} is none")
        patient = replace(patient, scheduler=scheduler(patient.optimizer))
    return patient


def is_lazy(model: nn.Module) -> bool:
    """Whether some parameters wait for a first batch to have a shape."""
    tensors = (*model.parameters(), *model.buffers())
    return any(isinstance(one, UninitializedParameter | UninitializedBuffer) for one in tensors)


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Put the random numbers of Python, NumPy and torch back to where they were."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _made(optimizer: object, model: nn.Module) -> Optimizer:
    if optimizer is None:
        parameters = [one for one in model.parameters() if one.requires_grad]
        if not parameters:
            raise SpecError(
                f"the {type(model).__name__} has no parameter that requires a gradient; there is nothing to train"
            )
        return torch.optim.Adam(parameters, lr=_RATE)
    if not callable(optimizer):
        raise SpecError(
            "optimizer of the doctor: give a torch.optim.Optimizer of this model, or a function that makes one from "
            f"parameters, such as torch.optim.Adam; type {type(optimizer).__name__} is neither"
        )
    make: Callable[..., Any] = optimizer
    try:
        made = make([one for one in model.parameters() if one.requires_grad] or list(model.parameters()))
    except Exception as error:
        raise SpecError(
            f"the function that makes the optimiser raises {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, Optimizer):
        raise SpecError(
            f"the function that makes the optimiser gives {type(made).__name__}, not a torch.optim.Optimizer"
        )
    return made


def _keep_results(model: nn.Module, memory: dict[int, Any]) -> None:
    """Copy by value what a model has stored of a forward pass, which torch refuses to copy as it is."""
    for module in model.modules():
        held = [*vars(module).values(), *module._buffers.values()]
        for value in held:
            if isinstance(value, Tensor) and value.grad_fn is not None:
                memory[id(value)] = value.detach().clone()


def _hook_alike(model: nn.Module, memory: dict[int, Any]) -> None:
    """Give copied parameters what changes the gradients of the originals, which torch leaves behind: masks, clipping.

    Hooks of Evenflow's own are left behind as well, since they write down what the original does.
    """
    for parameter in model.parameters():
        copied = memory.get(id(parameter))
        if not isinstance(copied, nn.Parameter) or not copied.requires_grad:
            continue
        for hook in (parameter._backward_hooks or {}).values():
            if not str(getattr(hook, "__module__", "")).startswith("evenflow."):
                copied.register_hook(hook)
        for hook in (parameter._post_accumulate_grad_hooks or {}).values():
            if not str(getattr(hook, "__module__", "")).startswith("evenflow."):
                copied.register_post_accumulate_grad_hook(hook)


def _copied_optimizer(optimizer: Optimizer, memory: dict[int, Any]) -> Optimizer:
    """A copy with everything that it holds; torch's own leaves out what a class has beside its state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied = copy.deepcopy(optimizer, memory)
    for name, value in vars(optimizer).items():
        if name not in vars(copied) and name != "step" and not name.startswith("_optimizer_"):
            setattr(copied, name, copy.deepcopy(value, memory))
    return copied
