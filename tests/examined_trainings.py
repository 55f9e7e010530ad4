"""Short trainings that the doctor has examined, as cases for the rules of diagnosis.

8 × 8 digits, in 0 to 1, or a smooth function of normal inputs; networks of a few thousand weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenflow.diagnose.case import Case
from evenflow.doctor.examine import examine
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table
from evenflow.spec.setting import Setting

STEPS = 60

Batches = list[tuple[Tensor, Tensor]]
Make = Callable[[nn.Module], torch.optim.Optimizer]


def adam(rate: float) -> Make:
    return lambda model: torch.optim.Adam(model.parameters(), rate)


def sgd(rate: float, momentum: float = 0.0) -> Make:
    return lambda model: torch.optim.SGD(model.parameters(), rate, momentum=momentum)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    values, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))
    return torch.tensor(values / 16.0)[order], torch.tensor(classes)[order]


def digits(scale: float = 1.0, *, images: bool = False, batch: int = 64) -> Batches:
    """Batches of scikit-learn's digits, in 0 to `scale`, the same each time."""
    values, targets = _digits()
    inputs = (values * scale).float().reshape(-1, *((1, 8, 8) if images else (64,)))
    return list(zip(inputs.split(batch), targets.split(batch), strict=True))


def regression(features: int = 8, batch: int = 64) -> Batches:
    """A smooth function of normal inputs, of mean 0 and deviation about 1."""
    draw = torch.Generator().manual_seed(0)
    direction = torch.randn(features, generator=draw) / features**0.5
    inputs = torch.randn(24, batch, features, generator=draw)
    return [(one, 1.5 * (one @ direction).sin().unsqueeze(1)) for one in inputs]


def noise(batch: int = 64) -> Batches:
    """Labels that do not follow from the inputs."""
    draw = torch.Generator().manual_seed(0)
    return [
        (torch.randn(batch, 64, generator=draw), torch.randint(10, (batch,), generator=draw))
        for _ in range(STEPS)
    ]


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    """Linear layers of these widths with an activation between each two."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def cnn(*, norm: bool = False, seed: int = 0) -> nn.Sequential:
    """Two convolutions and a linear layer; the images go through a normalisation first with `norm`."""
    torch.manual_seed(seed)
    first: list[nn.Module] = [nn.BatchNorm2d(1)] if norm else []
    return nn.Sequential(
        *first,
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def examined(
    model: nn.Module,
    batches: Batches,
    make: Make,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    *,
    steps: int = STEPS,
    twins: bool = True,
    **options: object,
) -> Case:
    """The case of a trial of some steps; twins are not raised for a rule that does not ask them."""
    torch.manual_seed(0)
    with nullcontext() if twins else patch(f"{examine.__module__}._TWIN_SECONDS", 0.0):
        table = examine(model, batches, loss, make(model), steps=steps, **options)  # type: ignore[arg-type]
    return Case(table, table.runs[0])


@cache
def known(name: str) -> Case:
    """A training that several rules are asked about; trained once."""
    return _KNOWN[name]()


_KNOWN: dict[str, Callable[[], Case]] = {
    "sound": lambda: examined(mlp(64, 32, 32, 10), digits(), adam(1e-2)),
    "sound regression": lambda: examined(mlp(8, 32, 1), regression(), sgd(0.05), functional.mse_loss),
    "nothing to learn": lambda: examined(mlp(64, 32, 10), noise(), adam(1e-3)),
    "sigmoids": lambda: examined(mlp(64, *[32] * 10, 10, activation=nn.Sigmoid), digits(), sgd(0.1)),
}


def without_twins(case: Case) -> Case:
    """The same training as a probe alone would have seen it."""
    return with_setting(case, msgspec.structs.replace(case.setting, twins=()))


def with_setting(case: Case, setting: Setting) -> Case:
    """The same figures with other facts."""
    run = replace(case.run, facts=setting.to_facts())
    return Case(Table((run,), case.table.sites, case.table.index, case.table.figures), run)


def curve(loss: Sequence[float], **facts: object) -> Case:
    """A case of nothing but a loss."""
    site = Site("batch", "loss", 0, 0)
    rows = [
        (0, step, site, "", {"loss": value, "nonfinite_count": float(not math.isfinite(value))})
        for step, value in enumerate(loss)
    ]
    run = Run("curve", facts=Setting(**facts).to_facts())  # type: ignore[arg-type]
    table = Table.from_rows([run], rows)
    return Case(table, run)
