"""For every rule a training that it finds something in and one that looks alike and passes.

They are small enough to run when the documentation is built.

Ten classes of points in 64 dimensions, networks of 32 units: each takes a fraction of a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

import evenflow as ef

WIDTH, FEATURES, CLASSES, BATCH = 32, 64, 10, 64

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Args:
        name: in the legend.
        model: makes it.
        learning_rate: of `optimiser`.
        steps: how many.
        change: of the inputs.
        loss: of output and target.
        clip: norm that gradients are clipped to; 0 for none.
        optimiser: its class.
        warm_up: steps over which the learning rate rises.
    """

    name: str
    model: Callable[[], nn.Module]
    learning_rate: float = 1e-3
    steps: int = 1
    change: Callable[[Tensor], Tensor] = lambda inputs: inputs
    loss: Loss = nn.functional.cross_entropy
    clip: float = 0.0
    optimiser: type[torch.optim.Optimizer] = torch.optim.Adam
    warm_up: int = 0

    def record(self) -> ef.Table:
        """Train it from a fixed seed with a probe."""
        model, batches, optimiser = self.begin()
        with ef.Probe(model, optimiser, nonfinite=False) as probe:
            for step in range(self.steps):
                if self.warm_up:
                    optimiser.param_groups[0]["lr"] = self.learning_rate * self.warmed(step)
                inputs, labels = batches[step % len(batches)]
                loss = self.loss(model(inputs), labels)
                optimiser.zero_grad()
                loss.backward()
                if self.clip:
                    nn.utils.clip_grad_norm_(model.parameters(), self.clip)
                probe.loss(loss)
                optimiser.step()
        return probe.table

    def begin(self) -> tuple[nn.Module, list[tuple[Tensor, Tensor]], torch.optim.Optimizer]:
        """The model, the batches and the optimiser, from a fixed seed."""
        torch.manual_seed(1)
        centres = torch.randn(CLASSES, FEATURES)
        labels = torch.randint(0, CLASSES, (BATCH * 8,))
        inputs = self.change(centres[labels] + torch.randn(len(labels), FEATURES))
        model = self.model()
        optimiser = self.optimiser(model.parameters(), lr=self.learning_rate)  # pyright: ignore[reportCallIssue]
        return model, list(zip(inputs.split(BATCH), labels.split(BATCH), strict=True)), optimiser

    def warmed(self, step: int) -> float:
        """The share of the learning rate that a step has."""
        return min((step + 1) / self.warm_up, 1.0) if self.warm_up else 1.0


@dataclass(frozen=True)
class Picture:
    """What of two trainings is drawn.

    Args:
        specimen: what the rule finds something in.
        look_alike: what it leaves alone.
        statistic, kind: of the table.
        over: "depth" at the last step, or "step" of the first site.
        label: of the vertical axis.
        logarithmic: whether the vertical axis is.
    """

    specimen: Training
    look_alike: Training
    statistic: str = "loss"
    kind: str = "loss"
    over: Literal["depth", "step"] = "step"
    label: str = "loss"
    logarithmic: bool = False


class Forgetful(torch.optim.SGD):
    """SGD in a loop that never sets gradients to zero."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing."""


class Heavy(torch.optim.SGD):
    """SGD with momentum 0.9, whose steps go along a sum of gradients too, but one that fades."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, lr=lr, momentum=0.9)


def mlp(
    depth: int,
    activation: Callable[[], nn.Module] = nn.ReLU,
    begin: Callable[[nn.Linear], object] = lambda _: None,
    *,
    between: Callable[[], nn.Module] | None = None,
    end: Callable[[], nn.Module] | None = None,
) -> Callable[[], nn.Sequential]:
    """Makes a stack of so many hidden layers, whose weights `begin` sets."""

    def make() -> nn.Sequential:
        layers: list[nn.Module] = []
        widths = [FEATURES, *[WIDTH] * depth]
        for wide, narrow in pairwise(widths):
            layer = nn.Linear(wide, narrow)
            begin(layer)
            layers += [layer, *([between()] if between else []), activation()]
        layers += [nn.Linear(WIDTH, CLASSES), *([end()] if end else [])]
        return nn.Sequential(*layers)

    return make


def normal(gain: float, power: float = 0.5) -> Callable[[nn.Linear], object]:
    """Weights from N(0, (gain / fan-in^power)²), no bias."""

    def begin(layer: nn.Linear) -> None:
        nn.init.normal_(layer.weight, 0.0, gain / layer.in_features**power)
        nn.init.zeros_(layer.bias)

    return begin


def constant(layer: nn.Linear) -> None:
    nn.init.constant_(layer.weight, 0.05)
    nn.init.zeros_(layer.bias)


def silent(layer: nn.Linear) -> None:
    nn.init.constant_(layer.bias, -8.0)


def zero_head() -> nn.Module:
    model = mlp(3)()
    nn.init.zeros_(model[-1].weight)  # pyright: ignore[reportArgumentType]
    return model


class Detached(nn.Module):
    """Lets the signal through, and no gradient."""

    def forward(self, signal: Tensor) -> Tensor:
        return signal.detach()


def cut() -> nn.Module:
    model = mlp(6)()
    model.insert(6, Detached())
    return model


class Stream(nn.Module):
    """A residual stream of branches x + W φ(x)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.enter = nn.Linear(FEATURES, WIDTH)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)) for _ in range(depth)
        )
        self.activations = nn.ModuleList(nn.ReLU() for _ in range(depth))
        self.leave = nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        stream = self.enter(inputs)
        for branch, activation in zip(self.branches, self.activations, strict=True):
            stream = activation(stream + branch(stream))
        return self.leave(stream)


def overflow(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy without the care that torch takes: log(0) sooner or later."""
    chances = output.exp() / output.exp().sum(1, keepdim=True)
    return -chances[torch.arange(len(target)), target].log().mean()


_HE, _SGD = normal(math.sqrt(2)), torch.optim.SGD
_GRADIENT = {
    "statistic": "grad_rms",
    "kind": "weight",
    "over": "depth",
    "label": "gradient, rms",
    "logarithmic": True,
}
_SIGNAL = {"kind": "activation", "over": "depth"}

PICTURES: dict[str, Picture] = {
    "vanishing_gradient": Picture(
        Training("12 sigmoid layers: finds it", mlp(12, nn.Sigmoid)),
        Training("8 ReLU layers that learn: passes", mlp(8)),
        **_GRADIENT,
    ),
    "exploding_gradient": Picture(
        Training("12 ReLU layers, gain 4: finds it", mlp(12, begin=normal(4)), 0.1, optimiser=_SGD),
        Training(
            "12 ReLU layers with BatchNorm: passes", mlp(12, begin=_HE, between=lambda: nn.BatchNorm1d(WIDTH))
        ),
        statistic="signal_rms",
        kind="pre-activation",
        over="depth",
        label="gradient that arrives, rms",
        logarithmic=True,
    ),
    "exploding_activations": Picture(
        Training("12 ReLU layers, gain 4: finds it", mlp(12, begin=normal(4)), 0.1, optimiser=_SGD),
        Training("a residual stream of 12 blocks: passes", lambda: Stream(12)),
        statistic="rms",
        label="activation, rms",
        logarithmic=True,
        **_SIGNAL,
    ),
    "dead_units": Picture(
        Training("biases that begin at −8: finds it", mlp(6, begin=silent), steps=2),
        Training("half zeros, as ReLU has: passes", mlp(6), steps=2),
        statistic="zero_fraction",
        label="share of zeros",
        **_SIGNAL,
    ),
    "saturated_activations": Picture(
        Training("6 tanh layers, gain 12: finds it", mlp(6, nn.Tanh, normal(12))),
        Training("6 tanh layers, gain 5/3: passes", mlp(6, nn.Tanh, normal(5 / 3))),
        statistic="saturated_fraction",
        label="share that is flat",
        **_SIGNAL,
    ),
    "correlation_collapse": Picture(
        Training("24 tanh layers, PyTorch's own start: finds it", mlp(24, nn.Tanh), 0.1, optimiser=_SGD),
        Training("24 tanh layers, gain 5/3: passes", mlp(24, nn.Tanh, normal(5 / 3)), 0.1, optimiser=_SGD),
        statistic="cosine",
        label="cosine between samples",
        **_SIGNAL,
    ),
    "not_zero_centred": Picture(
        Training("6 sigmoid layers: says so", mlp(6, nn.Sigmoid)),
        Training("6 tanh layers: passes", mlp(6, nn.Tanh)),
        statistic="mean",
        label="mean of the activation",
        **_SIGNAL,
    ),
    "symmetric_init": Picture(
        Training("constant hidden weights: finds it", mlp(3, begin=constant), 3e-3, 100),
        Training("a head that begins at 0: passes", zero_head, 3e-3, 100),
    ),
    "poor_init": Picture(
        Training("weights from N(0, 0.02²): finds it", mlp(8, begin=normal(0.02, 0.0))),
        Training(
            "the same before BatchNorm: passes",
            mlp(8, begin=normal(0.02, 0), between=lambda: nn.BatchNorm1d(WIDTH)),
        ),
        statistic="rms",
        label="activation, rms",
        logarithmic=True,
        **_SIGNAL,
    ),
    "unnormalised_input": Picture(
        Training(
            "mean 300, deviation 100: finds it", mlp(3, nn.Tanh), 3e-3, 100, lambda inputs: 100 * inputs + 300
        ),
        Training("between 0 and 1: passes", mlp(3, nn.Tanh), 3e-3, 100, torch.sigmoid),
    ),
    "bad_output_layer": Picture(
        Training(
            "softmax before cross-entropy: finds it",
            mlp(2, end=lambda: nn.Softmax(1)),
            0.1,
            100,
            optimiser=_SGD,
        ),
        Training(
            "log-softmax before cross-entropy: passes",
            mlp(2, end=lambda: nn.LogSoftmax(1)),
            0.1,
            100,
            optimiser=_SGD,
        ),
    ),
    "lr_too_high": Picture(
        Training("learning rate 3: finds it", mlp(3), 3.0, 100, optimiser=_SGD),
        Training("learning rate 0.3, noise of small batches: passes", mlp(3), 0.3, 100, optimiser=_SGD),
        logarithmic=True,
    ),
    "lr_too_low": Picture(
        Training("learning rate 10⁻⁵: finds it", mlp(3), 1e-5, 100, optimiser=_SGD),
        Training("a warm-up of 60 steps: passes", mlp(3), 0.3, 100, optimiser=_SGD, warm_up=60),
    ),
    "frozen_layers": Picture(
        Training("detached behind layer 3: finds it", cut, 1e-3, 3),
        Training("a small learning rate: passes", mlp(6), 1e-4, 3),
        "update_to_weight",
        "weight",
        "depth",
        "update over weight",
        True,
    ),
    "clipping_always_on": Picture(
        Training("clipped to 0.01: finds it", mlp(3), 0.1, 100, clip=0.01, optimiser=_SGD),
        Training("clipped to 0.5, now and then: passes", mlp(3), 0.1, 100, clip=0.5, optimiser=_SGD),
        "clip_ratio",
        "weight",
        "step",
        "what clipping leaves",
    ),
    "uncleared_gradient": Picture(
        Training("gradients never cleared: finds it", mlp(3), 0.03, 150, optimiser=Forgetful),
        Training("momentum 0.9: passes", mlp(3), 0.03, 150, optimiser=Heavy),
    ),
    "nonfinite_origin": Picture(
        Training("log(softmax) by hand: finds it", mlp(3), 3.0, 60, loss=overflow, optimiser=_SGD),
        Training("cross-entropy that has converged: passes", mlp(3), 0.3, 60, optimiser=_SGD),
    ),
    "loss_plateau": Picture(
        Training("inputs that are all alike: says so", mlp(2), 1e-3, 120, torch.ones_like),
        Training("flat since it has converged: passes", mlp(2), 1e-2, 120),
    ),
}
"""By the rule's name."""
