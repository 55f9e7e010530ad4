"""AUTOTRAINER's solutions (Zhang et al., ICSE 2021, Table 1 and its published settings), on a training of ours.

Each is one change to a whole training, made at its start. As published, SELU comes with LeCun's uniform draw, ReLU and
tanh with He's; batch normalisation follows every hidden layer with its activation; the last layer is left alone, and
so are the gates of recurrent layers, whose activation becomes tanh where ReLU or SELU is asked for. What was drawn at
random there (initialisers, optimisers, momentum, the bound of clipping) is drawn here from a generator of the case.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from .models import ACTIVATIONS, Exponential, Recurrent
from .recipe import Batch, Training
from .record import EPOCH
from .trial import faster

Change = Callable[[Training, random.Random], Training | None]
"""Gives the changed training; None where there is nothing of the kind to change."""

HIDDEN = (Exponential, *(type(make()) for name, make in ACTIVATIONS.items() if name != "exp"))
MAPS = (nn.Linear, nn.Conv2d)
INITIALISERS = ("he_uniform", "lecun_uniform", "glorot_normal", "glorot_uniform", "he_normal", "lecun_normal")
OPTIMISERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "SGD": lambda some: torch.optim.SGD(some, lr=0.01),
    "Adam": lambda some: torch.optim.Adam(some, lr=0.001),
    "Nadam": lambda some: torch.optim.NAdam(some, lr=0.001),
    "Adamax": lambda some: torch.optim.Adamax(some, lr=0.001),
    "RMSprop": lambda some: torch.optim.RMSprop(some, lr=0.001),
}
"""With the defaults of Keras."""


class Thresholded(nn.Module):
    """x beyond 1, 0 elsewhere: ThresholdedReLU of Keras."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Of any shape."""
        return inputs * (inputs > 1.0)


class Normalised(nn.BatchNorm1d):
    """Batch normalisation of the last dimension, whatever comes before it."""

    def forward(self, input: Tensor) -> Tensor:
        """Of shape (batch, ..., units)."""
        return super().forward(input.reshape(-1, input.shape[-1])).reshape(input.shape)


class Noise(nn.Module):
    """Normal noise of standard deviation 0.1 on what comes in, in training alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Of any shape."""
        return inputs + 0.1 * torch.randn_like(inputs) if self.training else inputs


class Plateau:
    """A rate that falls to a fifth, 0.001 at least, once five epochs have not brought the loss down."""

    def __init__(self, optimiser: torch.optim.Optimizer, losses: list[float]) -> None:
        self._losses, self._groups = losses, optimiser.param_groups
        self._best, self._waited = math.inf, 0
        self.base_lrs = [group["lr"] for group in self._groups]

    def step(self) -> None:
        """Called after every step of the optimiser."""
        if len(self._losses) % EPOCH:
            return
        level = sum(self._losses[-EPOCH:]) / EPOCH
        better = level < self._best
        self._best, self._waited = min(self._best, level), 0 if better else self._waited + 1
        if self._waited >= 5:
            self._waited = 0
            for group in self._groups:
                group["lr"] = min(group["lr"], max(0.2 * group["lr"], 0.001))


def activation(make: Callable[[], nn.Module], initialiser: str = "") -> Change:
    """Another activation in every hidden layer, with another draw of its weights."""

    def change(training: Training, draw: random.Random) -> Training | None:
        found = [(parent, name) for parent, name, _, _ in _hidden(training.model)]
        for parent, name in found:
            setattr(parent, name, make())
        plain = [one for one in training.model.modules() if isinstance(one, nn.RNN)]
        for one in plain:
            one.nonlinearity, one.mode = "tanh", "RNN_TANH"
        if not found and not plain:
            return None
        return initialised(initialiser)(training, draw) if initialiser else training

    return change


def initialised(kernel: str = "") -> Change:
    """Weights of all layers but the last drawn anew; without a name, both names are drawn."""

    def change(training: Training, draw: random.Random) -> Training | None:
        own = kernel or draw.choice(INITIALISERS)
        bias = "zeros" if kernel else draw.choice(INITIALISERS)
        maps = [one for one in training.model.modules() if isinstance(one, (*MAPS, nn.RNN))][:-1]
        for one in maps:
            for name, each in one.named_parameters(recurse=False):
                if "weight_hh" not in name:
                    _drawn(each, own if each.dim() > 1 else bias)
        return training if maps else None

    return change


def normalised(training: Training, _draw: random.Random) -> Training | None:
    """Batch normalisation behind every hidden layer."""
    new: list[nn.Module] = []
    for parent, name, one, before in _hidden(training.model):
        if isinstance(before, nn.Conv2d):
            new.append(nn.BatchNorm2d(before.out_channels))
        elif isinstance(before, nn.Linear):
            new.append(Normalised(before.out_features))
        else:
            continue
        setattr(parent, name, nn.Sequential(one, new[-1]))
    for parent in list(training.model.modules()):
        for name, one in list(parent.named_children()):
            if isinstance(one, Recurrent):
                new.append(Normalised(one.cells.hidden_size))
                setattr(parent, name, nn.Sequential(one, new[-1]))
    added = [each for one in new for each in one.parameters()]
    training.optimiser.param_groups[0]["params"] += added
    return training if new else None


def clipped(training: Training, draw: random.Random) -> Training:
    """Every entry of the gradient within ±9 to ±10."""
    bound = draw.uniform(9.0, 10.0)

    def clip(optimiser: torch.optim.Optimizer, *_: object) -> None:
        nn.utils.clip_grad_value_([one for group in optimiser.param_groups for one in group["params"]], bound)

    training.optimiser.register_step_pre_hook(clip)
    return training


def optimised(name: str = "") -> Change:
    """Another optimiser with the defaults of Keras; without a name it is drawn."""

    def change(training: Training, draw: random.Random) -> Training | None:
        own = type(training.optimiser).__name__.lower()
        if name.lower() == own:
            return None
        chosen = name or draw.choice([one for one in OPTIMISERS if one.lower() != own])
        return replace(training, optimiser=OPTIMISERS[chosen](_parameters(training)), scheduler=None)

    return change


def rate(factor: float) -> Change:
    """The learning rate times so much."""
    return lambda training, _: faster(training, factor)


def plateau(training: Training, _draw: random.Random) -> Training:
    """A learning rate that falls where the loss stands still."""
    losses: list[float] = []
    plain = training.loss

    def loss(output: Tensor, target: Tensor) -> Tensor:
        found = plain(output, target)
        if training.model.training:
            losses.append(float(found.detach()))
        return found

    return replace(training, loss=loss, scheduler=Plateau(training.optimiser, losses))  # type: ignore[arg-type]


def batched(factor: int) -> Change:
    """Batches that are so many times larger."""

    def change(training: Training, _draw: random.Random) -> Training | None:
        some = training.batches
        if len(some) < factor:
            return None
        return replace(
            training, batches=[_joined(some[at : at + factor]) for at in range(0, len(some), factor)]
        )

    return change


def momentum(training: Training, draw: random.Random) -> Training:
    """SGD with a rate of 0.01 and a momentum that is drawn."""
    own = torch.optim.SGD(_parameters(training), lr=0.01, momentum=round(draw.uniform(0.01, 0.9), 2))
    return replace(training, optimiser=own, scheduler=None)


def noisy(training: Training, _draw: random.Random) -> Training | None:
    """Noise on the inputs."""
    if not training.batches[0][0].is_floating_point():
        return None
    return replace(training, model=nn.Sequential(Noise(), training.model))


def scaled(standard: bool) -> Change:
    """Inputs brought to 0 to 1, or to mean 0 and standard deviation 1, over all samples."""

    def change(training: Training, _draw: random.Random) -> Training | None:
        if not training.batches[0][0].is_floating_point():
            return None
        every = torch.cat([inputs for inputs, _ in training.batches])
        low, reach = every.amin(0), every.amax(0) - every.amin(0)
        if standard:
            low, reach = every.mean(0), every.std(0)
        reach = torch.where(reach > 0, reach, torch.ones_like(reach))
        return replace(
            training, batches=[((inputs - low) / reach, targets) for inputs, targets in training.batches]
        )

    return change


_INITIALISED, _RATES = initialised(), (1, 2, 3)
ORDER: dict[str, tuple[tuple[str, Change], ...]] = {
    "vanishing_gradient": (
        ("selu", activation(nn.SELU, "lecun_uniform")),
        ("relu", activation(nn.ReLU, "he_uniform")),
        ("batch normalisation", normalised),
    ),
    "exploding_gradient": (
        ("selu", activation(nn.SELU, "lecun_uniform")),
        ("relu", activation(nn.ReLU, "he_uniform")),
        ("clip 1", clipped),
        ("clip 2", clipped),
        ("tanh", activation(nn.Tanh, "he_uniform")),
        ("batch normalisation", normalised),
    ),
    "dead_units": (
        ("selu", activation(nn.SELU, "lecun_uniform")),
        ("batch normalisation", normalised),
        *((f"initialiser {count}", _INITIALISED) for count in (1, 2, 3)),
        ("leaky relu", activation(lambda: nn.LeakyReLU(0.3))),
        ("elu", activation(nn.ELU)),
        ("thresholded relu", activation(Thresholded)),
    ),
    "lr_too_high": (
        ("adam", optimised("Adam")),
        *((f"rate times 1e-{power}", rate(10.0**-power)) for power in _RATES),
        ("rate on plateaus", plateau),
        *((f"batch times {factor}", batched(factor)) for factor in (2, 4, 8, 16)),
        *((f"momentum {count}", momentum) for count in (1, 2, 3)),
        ("noise", noisy),
        ("initialiser", _INITIALISED),
    ),
    "lr_too_low": (
        *((f"optimiser {count}", optimised()) for count in (1, 2, 3)),
        *((f"rate times 1e{power}", rate(10.0**power)) for power in _RATES),
        *((f"initialiser {count}", _INITIALISED) for count in (1, 2, 3)),
    ),
    "unnormalised_input": (("from 0 to 1", scaled(False)), ("standardised", scaled(True))),
}
"""Solutions by symptom, in the order of its setting "balance". That of the last, which came later, is our guess."""


def _hidden(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module, nn.Module | None]]:
    """Activations in front of the last map: parent, name, module, and the map before it."""
    order = [(parent, name, one) for parent in model.modules() for name, one in parent.named_children()]
    places = {id(one): place for place, one in enumerate(model.modules())}
    order.sort(key=lambda each: places[id(each[2])])
    last = max((places[id(one)] for _, _, one in order if isinstance(one, MAPS)), default=-1)
    before: nn.Module | None = None
    for parent, name, one in order:
        if isinstance(one, MAPS):
            before = one
        elif isinstance(one, HIDDEN) and places[id(one)] < last:
            yield parent, name, one, before


@torch.no_grad()
def _drawn(one: nn.Parameter, name: str) -> None:
    """As Keras does it; what has one dimension has as many inputs as outputs as it is long."""
    if name == "zeros":
        one.zero_()
        return
    inputs, outputs = nn.init._calculate_fan_in_and_fan_out(one) if one.dim() > 1 else (len(one), len(one))
    kind, shape = name.split("_")
    variance = {"he": 2 / inputs, "lecun": 1 / inputs, "glorot": 2 / (inputs + outputs)}[kind]
    spread = math.sqrt(variance)
    if shape == "uniform":
        one.uniform_(-math.sqrt(3) * spread, math.sqrt(3) * spread)
    else:
        wide = spread / 0.87962566103423978  # what is cut off at two of its standard deviations is narrower
        nn.init.trunc_normal_(one, std=wide, a=-2 * wide, b=2 * wide)


def _parameters(training: Training) -> list[nn.Parameter]:
    return [one for group in training.optimiser.param_groups for one in group["params"]]


def _joined(some: list[Batch]) -> Batch:
    return torch.cat([inputs for inputs, _ in some]), torch.cat([targets for _, targets in some])
