"""Short trainings as cases for the rules of diagnosis: what the doctor's trial and its twins have put on record."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import Verdict
from evenflow.diagnose.rules import rule_named
from evenflow.doctor.examine import examine
from evenflow.record.axes import Run
from evenflow.record.table import Table
from evenflow.spec.setting import Setting

Batches = list[tuple[Tensor, Tensor]]
sgd = partial(partial, torch.optim.SGD)
adam = partial(partial, torch.optim.Adam)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return torch.tensor(images, dtype=torch.float32)[order], torch.tensor(classes)[order]


def digits(*shape: int, scale: float = 0.0) -> Batches:
    """The digits of scikit-learn in batches of 64, of this shape each; standardised, or times `scale`."""
    images, classes = _digits()
    inputs = images * scale if scale else (images - images.mean()) / images.std()
    return list(zip(inputs.reshape(-1, *(shape or (64,))).split(64), classes.split(64), strict=True))[:24]


def chain(width: int, depth: int, activation: Callable[[], nn.Module], *, inputs: int = 64) -> nn.Sequential:
    """A network of `depth` linear layers for the digits, as torch draws it."""
    torch.manual_seed(depth)
    parts: list[nn.Module] = []
    for before, after in pairwise([inputs, *[width] * (depth - 1)]):
        parts += [nn.Linear(before, after), activation()]
    return nn.Sequential(*parts, nn.Linear(width, 10))


def convolutions(depth: int, activation: Callable[[], nn.Module], channels: int = 8) -> nn.Sequential:
    """A network of `depth` convolutions and a linear layer for the digits as images."""
    torch.manual_seed(depth)
    parts: list[nn.Module] = []
    for before in [1, *[channels] * (depth - 1)]:
        parts += [nn.Conv2d(before, channels, 3, padding=1), activation()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10))


class Recurrent(nn.Module):
    """A recurrent layer that reads the rows of a digit, and a linear one for its last state."""

    def __init__(self, kind: str = "LSTM", width: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows = getattr(nn, kind)(8, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.rows(inputs)[0][:, -1])


class Transformer(nn.Module):
    """An encoder that reads the rows of a digit."""

    def __init__(self, blocks: int = 2, *, norm_first: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=norm_first)
        self.enter = nn.Linear(8, 32)
        self.blocks = nn.TransformerEncoder(block, blocks, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.blocks(self.enter(inputs)).mean(1))


class Residual(nn.Module):
    """Blocks x + f(x) of two linear layers each, with or without a LayerNorm before them."""

    def __init__(self, blocks: int, *, norm: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter = nn.Linear(64, 64)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(64) if norm else nn.Identity(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        signal = self.enter(inputs)
        for block in self.blocks:
            signal = signal + block(signal)
        return self.head(signal)


def redrawn(model: nn.Module, draw: Callable[[Tensor], object], bias: float | None = 0.0) -> nn.Module:
    """The model with the matrices of its linear and convolution layers drawn anew, in place."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            with torch.no_grad():
                draw(module.weight)
            if bias is not None and module.bias is not None:
                nn.init.constant_(module.bias, bias)
    return model


def normal(deviation: float) -> Callable[[Tensor], object]:
    return partial(nn.init.normal_, std=deviation)


def norm_of_gradient(layer: nn.Linear) -> Tensor:
    assert layer.weight.grad is not None
    return layer.weight.grad.norm()


def trained(
    model: nn.Module,
    optimizer: Any,
    batches: Batches,
    loss: Callable[..., Tensor] = nn.functional.cross_entropy,
    **options: Any,
) -> Case:
    """What the doctor sees of 100 steps of a training; its twins, which these rules do not ask, are left out."""
    with patch(f"{examine.__module__}._TWIN_SECONDS", 0.0):
        table = examine(model, batches, loss, optimizer, **{"steps": 100, **options})
    return Case(table, table.runs[0])


def large_recurrent_weights() -> nn.Module:
    model = Recurrent("RNN")
    nn.init.normal_(model.rows.weight_hh_l0, std=3.0)
    nn.init.normal_(model.rows.weight_ih_l0, std=3.0)
    return model


_KNOWN: dict[str, Callable[[], Case]] = {
    # Sound ones.
    "deep ReLU that Adam trains": lambda: trained(chain(64, 10, nn.ReLU), adam(lr=2e-3), digits()),
    "deep and half born dead": lambda: trained(chain(64, 12, nn.ReLU), adam(lr=2e-3), digits()),
    "He": lambda: trained(
        redrawn(chain(64, 10, nn.ReLU), nn.init.kaiming_normal_), adam(lr=1e-3), digits(), steps=60
    ),
    "residual": lambda: trained(Residual(12), adam(lr=1e-3), digits(), steps=60),
    "Transformer": lambda: trained(Transformer(3), adam(lr=2e-3), digits(8, 8), steps=60),
    "GRU": lambda: trained(Recurrent("GRU"), adam(lr=1e-2), digits(8, 8), steps=60),
    "tanh with large weights that learns": lambda: trained(
        redrawn(chain(64, 3, nn.Tanh), normal(0.4)), sgd(lr=0.1), digits()
    ),
    # Faulty ones, each the specimen of some rules and a look-alike to others.
    "rate too low": lambda: trained(chain(64, 4, nn.ReLU), sgd(lr=1e-4), digits(), steps=60),
    "sigmoids": lambda: trained(chain(64, 12, nn.Sigmoid), sgd(lr=0.1), digits()),
    "tiny weights": lambda: trained(
        redrawn(chain(64, 6, nn.ReLU), normal(0.01)), sgd(lr=0.1), digits(), steps=60
    ),
    "large weights for tanh": lambda: trained(
        redrawn(chain(64, 6, nn.Tanh), normal(1.5)), sgd(lr=0.1), digits(), steps=60
    ),
    "large weights of convolutions": lambda: trained(
        redrawn(convolutions(6, nn.ReLU), normal(1.0)), sgd(lr=0.01), digits(1, 8, 8), steps=60
    ),
    "large recurrent weights": lambda: trained(
        large_recurrent_weights(), adam(lr=3e-3), digits(8, 8), steps=60
    ),
}


@cache
def known(name: str) -> Case:
    """A training that several rules are asked about; trained once."""
    return _KNOWN[name]()


def verdict(rule: str, case: Case) -> Verdict | None:
    """What a rule says of a case."""
    return rule_named(rule).judge(case)


def severity(rule: str, case: Case) -> str:
    """How bad a rule finds a case; "" where it finds nothing."""
    found = verdict(rule, case)
    return "" if found is None else found.severity


def without(case: Case, *statistics: str, setting: bool = True) -> Case:
    """The case with some statistics never recorded, or nothing known of its setting."""
    table = case.table
    figures = {name: values for name, values in table.figures.items() if name not in statistics}
    run = case.run if setting else Run(case.run.key, facts=Setting().to_facts())
    return Case(Table((run,), table.sites, table.index, figures), run)
