"""Which operation produced the first non-finite value of a training step.

Hooks see cheaply that a NaN is somewhere; this finds where it was made. The same batch runs once more, every
operation of the forward pass is judged by what it takes and gives, then every node of the backward pass, and
the training is left as it was, bit for bit.

>>> import torch
>>> from torch import nn
>>> class Logarithm(nn.Module):
...     def forward(self, inputs):
...         return inputs.log()
>>> model = nn.Sequential(nn.ReLU(), Logarithm(), nn.Flatten())
>>> origin = trace_nonfinite(model, (torch.tensor([[1.0, -1.0]]),), {})
>>> origin.direction, origin.module, origin.operation, origin.passed_on
('forward', '1', 'aten::log', ('2',))
>>> str(origin.operands[0])
'self of shape (1, 2) float32 in [0, 1] (1 zero)'
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._autograd import _get_sequence_nr as node_number

from evenflow.errors import SpecError
from evenflow.measure.nonfinite_backward import BackwardWatch
from evenflow.measure.nonfinite_choice import (
    after_failure,
    before_the_pass,
    leaving,
    reaching,
    reason,
    written,
)
from evenflow.measure.nonfinite_forward import ForwardWatch
from evenflow.measure.nonfinite_origin import Operand, Origin, kinds, levels, operand
from evenflow.measure.nonfinite_state import RandomStates, untouched
from evenflow.measure.nonfinite_tree import copied, named_arguments, tensors_in
from evenflow.measure.sites import unwrapped

__all__ = ["Operand", "Origin", "first_nonfinite_parameter", "tensors_in", "trace_nonfinite"]

Autocast = tuple[str, torch.dtype, bool] | None


def trace_nonfinite(
    model: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    gradients: Sequence[Tensor | None] | None = None,
    autocast: Autocast = None,
    generator_state: RandomStates = None,
) -> Origin | None:
    """Run a step again and name the operation that produced its first non-finite value; None if there is none.

    An infinity that is written on purpose, as in an attention mask, is no fault; nor is a value that
    dies out before it leaves the module that made it.

    Args:
        model: with the weights of the step. Its own hooks run again too.
        args, kwargs: what it was called with.
        gradients: what arrived at those tensors of `tensors_in(output)` that require a gradient, in their
            order; None searches the forward pass only.
        autocast: device type, dtype and whether it is enabled, to enter around the forward pass.
        generator_state: `torch.get_rng_state()` at the start of the pass, so that dropout repeats; or a mapping
            from "cpu" and CUDA devices ("cuda:0") to their states.

    Not restored: what the model keeps outside of modules and their plain attributes. Not seen: the backward
    pass of a segment checkpointed with `use_reentrant=True`. A model that cannot run twice
    gives an origin of direction "unknown", whose note says why.
    """
    try:
        return _trace(unwrapped(model), args, kwargs, gradients, autocast, generator_state)
    except Exception as error:  # whatever a model of the user's raises
        return Origin("unknown", "", "", note=f"the step cannot be run again: {reason(error)}")


def first_nonfinite_parameter(model: nn.Module) -> str | None:
    """The dotted path of the first parameter that holds NaN or an infinity, else of the first buffer that holds
    NaN, else None. Buffers may hold infinities on purpose, as an attention mask does.

    >>> model = nn.Linear(2, 2)
    >>> first_nonfinite_parameter(model)
    >>> _ = nn.init.constant_(model.bias, float("nan"))
    >>> first_nonfinite_parameter(model)
    'bias'
    """
    for name, parameter in model.named_parameters():
        if any(kinds(parameter)):
            return name
    return next((name for name, buffer in model.named_buffers() if kinds(buffer).nan), None)


def _trace(
    model: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    gradients: Sequence[Tensor | None] | None,
    autocast: Autocast,
    generator_state: RandomStates,
) -> Origin | None:
    broken = [(name, p) for name, p in model.named_parameters() if any(kinds(p))]
    if broken:
        owner = broken[0][0].rpartition(".")[0]
        return Origin("parameter", owner, "", tuple(operand(name, p) for name, p in broken), levels(owner))
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise SpecError("it holds a TorchScript module, whose operations are not seen one by one")
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(action="ignore"))  # they have been given once
        if "torch._dynamo" in sys.modules:  # a compiled module runs as it was written
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        watch = ForwardWatch(stack.enter_context(untouched(model, generator_state)))
        before = node_number()
        with torch.enable_grad():  # what was computed is computed again
            args, kwargs = copied((args, dict(kwargs)))
        for name, tensor in named_arguments(model, args, kwargs):
            if any(kinds(tensor)):
                watch.ledger.seed("input", name, tensor)
        for name, buffer in model.named_buffers():
            if any(kinds(buffer)):
                watch.ledger.seed("parameter", name, buffer, name.rpartition(".")[0])
        outputs, failure = _forward(model, args, kwargs, watch, autocast, gradients is not None)
        if failure is not None:
            return after_failure(watch, failure)
        origin = reaching(watch, outputs)
        if origin is None and gradients is not None:
            origin = _backward(model, outputs, gradients, watch, before)
        return origin or leaving(watch) or before_the_pass(watch) or written(watch, outputs)


def _forward(
    model: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    watch: ForwardWatch,
    autocast: Autocast,
    grad: bool,
) -> tuple[object, Exception | None]:
    with ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(grad or torch.is_grad_enabled()))
        if autocast is not None:
            device, dtype, enabled = autocast
            # Weights that the training's own autocast keeps belong to its graph.
            stack.enter_context(torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False))
        stack.enter_context(watch.following(model))
        stack.enter_context(watch)
        try:
            return model(*args, **kwargs), None
        except Exception as error:
            return None, error


def _backward(
    model: nn.Module,
    outputs: object,
    gradients: Sequence[Tensor | None],
    watch: ForwardWatch,
    before: int,
) -> Origin | None:
    tensors = [tensor for tensor in tensors_in(outputs) if tensor.requires_grad]
    if len(tensors) != len(gradients):
        raise SpecError(
            f"{len(gradients)} gradients were given, but {len(tensors)} tensors of the output require one"
        )
    given = [
        (i, tensor, g) for i, (tensor, g) in enumerate(zip(tensors, gradients, strict=True)) if g is not None
    ]
    bad = tuple(operand(f"of output {i}", gradient) for i, _, gradient in given if any(kinds(gradient)))
    if bad:
        own = tuple(operand(f"output {i}", tensor) for i, tensor, _ in given)
        return Origin("loss", "", "", bad, outputs=own)
    pairs = [(tensor, gradient.clone()) for _, tensor, gradient in given if tensor.grad_fn is not None]
    if not pairs:
        return None
    return BackwardWatch(model, watch, before).run(*zip(*pairs, strict=True))
