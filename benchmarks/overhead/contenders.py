"""What is held against a bare step: the probe, and what people write by hand.

Attaching gives back the function that detaches. A contender that cannot be attached, because its package is not
installed or does not know the model, raises, and the benchmark says so and goes on.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import evenflow as ef

from .workloads import Training

Detach = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """One way to watch a training, and what it tells."""

    name: str
    gives: str
    attach: Callable[[Training], Detach]
    period: int = 1  # steps after which its work repeats
    compiled: bool = False  # held against the bare compiled step
    detaches: bool = False  # leaves the training as it was
    environment: dict[str, str] = field(default_factory=dict)  # set before the package is imported


def nothing(_training: Training) -> Detach:
    """The bare step."""
    return lambda: None


def probe(every: int, **options: Any) -> Callable[[Training], Detach]:
    """Evenflow's own."""

    def attach(training: Training) -> Detach:
        own = ef.Probe(training.model, training.optimiser, every=every, **options)
        own.attach()
        return own.detach

    return attach


def compiled(inner: Callable[[Training], Detach]) -> Callable[[Training], Detach]:
    """`torch.compile` after `inner` has attached."""

    def attach(training: Training) -> Detach:
        detach = inner(training)
        model = training.model

        def forward(inputs: Tensor) -> Tensor:
            return model(inputs)

        # What was compiled is kept by code object and is not guarded by hooks: two models of one class would
        # run the same compiled code, hooks or not. A code object of its own keeps every copy to itself.
        own_code = forward.__code__.replace(co_name=f"forward_{id(training)}")
        own = types.FunctionType(own_code, globals(), closure=forward.__closure__)
        training.forward = torch.compile(own)
        return detach

    return attach


def hand_written(training: Training) -> Detach:
    """A forward hook on every module without children, a norm of every gradient, and a number out of each."""
    log: dict[str, float] = {}

    def hook_of(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            output = output.detach()
            log[f"{name}.mean"] = output.mean().item()
            log[f"{name}.std"] = output.std().item()
            log[f"{name}.zero"] = (output == 0).float().mean().item()

        return hook

    def after_backward(_loss: Tensor) -> None:
        for name, parameter in training.model.named_parameters():
            if parameter.grad is not None:
                log[f"{name}.grad"] = parameter.grad.norm().item()

    leaves = [(name, one) for name, one in training.model.named_modules() if not any(one.children())]
    hooks = [module.register_forward_hook(hook_of(name)) for name, module in leaves]
    training.after_backward = after_backward
    return lambda: [hook.remove() for hook in hooks]


def foreach_norm(training: Training) -> Detach:
    """The quickest way in PyTorch to the norms of all gradients: one call, one transfer."""
    log: list[list[float]] = []
    norms: Callable[[list[Tensor]], list[Tensor]] = torch.__dict__["_foreach_norm"]  # not a public name

    def after_backward(_loss: Tensor) -> None:
        gradients = [one.grad for one in training.model.parameters() if one.grad is not None]
        log[:] = [torch.stack(norms(gradients)).tolist()]

    training.after_backward = after_backward
    return log.clear


_PROBED = "activations, their gradients, gradients, updates"

BARE = Contender("bare", "nothing", nothing, detaches=True)
BARE_AGAIN = Contender("bare again", "the noise floor", nothing, detaches=True)
COMPILED_BARE = Contender("compiled bare", "nothing", compiled(nothing), compiled=True)
COMPILED_BARE_AGAIN = Contender("compiled bare again", "the noise floor", compiled(nothing), compiled=True)

OWN = (
    Contender("probe every step", _PROBED, probe(1), detaches=True),
    Contender("probe every 10 steps", f"{_PROBED}, at every tenth step", probe(10), period=10, detaches=True),
    Contender(
        "probe, torch kernels",
        f"{_PROBED}, without the compiled kernels",
        probe(1),
        environment={"EVENFLOW_KERNELS": "torch"},
    ),
    Contender("compiled with probe", _PROBED, compiled(probe(1)), compiled=True),
)
BY_HAND = (
    Contender("hand-written loop", "mean, std, zero share of outputs; norms of gradients", hand_written),
    Contender("foreach norm", "norms of gradients", foreach_norm),
)
