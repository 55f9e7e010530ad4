"""A training dumped tensor by tensor with plain hooks and copies, and the figures that NumPy makes of it in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Clip = Callable[[list[nn.Parameter]], object]


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64).clone().numpy()


def norm(values: np.ndarray) -> float:
    return float(np.sqrt(np.sum(np.abs(values) ** 2)))


class Dump:
    """Hooks on the named modules of a model, and copies of gradients and weights whenever `look` is called.

    Attributes:
        steps: for each step what was seen: under a module's name its "z", "y" and "g" (pre-activations, outputs,
            gradients of the pre-activations) as lists over calls, under a moment the parameters' arrays.
    """

    def __init__(self, model: nn.Module, modules: Sequence[str]) -> None:
        self.model = model
        self.steps: list[dict] = []
        self.now: dict = {}
        self.on = True
        for name in modules:
            module = model.get_submodule(name)
            module.register_forward_pre_hook(self._entering(name))
            module.register_forward_hook(self._leaving(name))

    def _entering(self, name: str) -> Callable[[nn.Module, tuple], None]:
        return lambda _module, inputs: self._enter(name, inputs[0])

    def _leaving(self, name: str) -> Callable[[nn.Module, tuple, object], None]:
        return lambda _module, _inputs, output: self._leave(name, output)

    def _seen(self, name: str) -> dict[str, list[np.ndarray]]:
        return self.now.setdefault(name, {"z": [], "y": [], "g": []})

    def _enter(self, name: str, inputs: Tensor) -> None:
        if self.on:
            self._seen(name)["z"].append(numbers(inputs))
        if inputs.requires_grad:
            inputs.register_hook(lambda gradient: self._seen(name)["g"].append(numbers(gradient)))

    def _leave(self, name: str, output: object) -> None:
        values = output[0] if isinstance(output, tuple) else output
        assert isinstance(values, Tensor)
        if self.on:
            self._seen(name)["y"].append(numbers(values))
        if isinstance(output, tuple) and values.requires_grad:
            values.register_hook(lambda gradient: self._seen(name)["h"].append(numbers(gradient)))
            self._seen(name).setdefault("h", [])

    def look(self, moment: str) -> None:
        """Copy the gradients, or the weights "before" and "after" the optimiser's step."""
        self.on = moment == "after"
        weights = moment in ("before", "after")
        self.now[moment] = {
            name: numbers(found)
            for name, parameter in self.model.named_parameters()
            if (found := parameter if weights else parameter.grad) is not None
        }
        if weights and moment == "after":
            self.steps.append(self.now)
            self.now = {}


def train(
    model: nn.Module,
    batches: Sequence[Tensor],
    look: Callable[[str], None],
    *,
    micro: int = 1,
    clip: Clip | None = None,
    amp: torch.dtype | None = None,
    scale: float = 0.0,
    optimiser: Callable[[list[nn.Parameter]], torch.optim.Optimizer] = lambda p: torch.optim.Adam(p, 1e-2),
    attach: Callable[[torch.optim.Optimizer], object] = lambda _: None,
) -> None:
    """The plain loop, with gradient accumulation, autocast, a loss scale and clipping where they are asked for."""
    parameters = list(model.parameters())
    stepper = optimiser(parameters)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale > 0)
    attach(stepper)
    for whole in batches:
        stepper.zero_grad()
        for part in whole.chunk(micro):
            with torch.autocast("cpu", amp or torch.bfloat16, enabled=amp is not None):
                output = model(part)
                output = output[0] if isinstance(output, tuple) else output
                loss = output.float().square().mean() / micro if amp else output.square().mean() / micro
            scaler.scale(loss).backward()
        look("accumulated")
        if scale:
            scaler.unscale_(stepper)
            look("unscaled")
        if clip:
            clip(parameters)
            look("clipped")
        look("before")
        scaler.step(stepper)
        scaler.update()
        look("after")


def forward_figures(values: Sequence[np.ndarray]) -> dict[str, float]:
    """The statistics of a forward signal, from the outputs of all calls of a step."""
    y = np.concatenate([part.ravel() for part in values])
    finite = np.isfinite(y)
    return {
        "mean": y.mean(),
        "std": y.std(),
        "rms": np.sqrt((y**2).mean()),
        "max_abs": np.abs(y).max(),
        "zero_fraction": (y == 0).mean(),
        "nonfinite_count": (~finite).sum(),
    }


def parameter_figures(step: dict, name: str) -> dict[str, float]:
    """The statistics of a parameter in the phase "accumulated"."""
    before, after = step["before"][name], step["after"][name]
    found = {
        "weight_norm": norm(before),
        "update_norm": norm(after - before),
        "update_to_weight": norm(after - before) / norm(before) if before.any() else np.nan,
    }
    if name in step["accumulated"]:
        gradient = step["accumulated"][name]
        found |= {
            "grad_norm": norm(gradient),
            "grad_rms": norm(gradient) / np.sqrt(gradient.size),
            "nonfinite_count": (~np.isfinite(gradient)).sum(),
        }
    return found
