"""Outputs that are not centred on zero: the same function at the start, with and without a mean of 1 in every layer."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import data
from evenflow.claims.experiments.trainings import plainly
from evenflow.claims.figure import Figures, above, sampled, within
from evenflow.claims.verdict import Verdict, case, weigh

if TYPE_CHECKING:
    import torch

_PLACES = {
    "slow": ("SGD at 0.02", "sgd", 0.02),
    "sgd": ("SGD at 0.3", "sgd", 0.3),
    "adam": ("Adam at 0.001", "adam", 0.001),
}
_SLOWER = 1.2


def experiment(settings: Settings, shift: float = 1.0) -> Figures:
    """Digits, 4 layers of 64 units with tanh(z) + shift: mean training loss over that with tanh(z).

    The shift is taken out again by the biases of the next layer at the start, so that both networks compute the same
    and have the same gradients of equal weights; what differs is the mean of what the next weights are given.
    """
    steps, seeds, figures = settings.choose(150, 600), settings.seeds(5, 12), {}
    for key, (words, optimiser, rate) in _PLACES.items():
        for normalised in (False, True):
            logs = [
                math.log(_loss(shift, optimiser, rate, normalised, steps, seed))
                - math.log(_loss(0.0, optimiser, rate, normalised, steps, seed))
                for seed in seeds
            ]
            tail = ", batch normalisation" if normalised else ""
            figures[f"{key} normalised" if normalised else key] = sampled(
                f"{words}{tail}: log of the loss over that with centred outputs", logs
            )
    return figures


def _loss(shift: float, optimiser: str, rate: float, normalised: bool, steps: int, seed: int) -> float:
    """Mean loss over the last third of a training."""
    import torch

    losses: list[float] = []
    model = _model(shift, normalised, seed)
    kind = torch.optim.Adam if optimiser == "adam" else torch.optim.SGD
    plainly(model, kind(model.parameters(), lr=rate), steps, seed, each_step=losses.append)
    last = losses[-steps // 3 :]
    return sum(last) / len(last)


def _model(shift: float, normalised: bool, seed: int) -> torch.nn.Module:
    import torch
    from torch import nn

    class Shifted(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.tanh(z) + shift

    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    widths = (64, 64, 64, 64, 64, data().classes)
    for place, (fan_in, units) in enumerate(pairwise(widths)):
        linear = nn.Linear(fan_in, units)
        nn.init.xavier_normal_(linear.weight)
        with torch.no_grad():
            linear.bias.copy_(-shift * linear.weight.sum(dim=1) if place else torch.zeros(units))
        layers.append(linear)
        if place < len(widths) - 2:
            layers += [nn.BatchNorm1d(units)] * normalised + [Shifted()]
    return nn.Sequential(*layers)


def judge(figures: Figures) -> Verdict:
    """Slow: a loss higher by a fifth after equally many steps. Mended: higher or lower by less than that."""
    bound = math.log(_SLOWER)
    return weigh(
        *(
            case(f"it slows {words}", above(figures[key], bound), figures[key])
            for key, (words, *_) in _PLACES.items()
        ),
        *(
            case(
                f"it does not with batch normalisation, for {words}",
                within(figures[f"{key} normalised"], -bound, bound),
                figures[f"{key} normalised"],
            )
            for key, (words, *_) in _PLACES.items()
        ),
    )


CLAIM = Claim(
    name="uncentred_outputs",
    sentence="Outputs that are not centred on zero slow learning; batch normalisation mends it.",
    source="lecture notes on activation functions",
    true_if="A mean of 1 in every layer's outputs leaves a loss at least 1.2 times as high, and not with "
    "normalisation.",
    false_if="The loss falls as fast, or batch normalisation does not make it.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
