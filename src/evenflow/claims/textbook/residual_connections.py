"""Skip connections: how much more of the gradient arrives, and when it is too much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figures, above, sampled, within
from evenflow.claims.verdict import Verdict, case, core, weigh
from evenflow.spec.network import Network
from evenflow.spec.plan import Residual


@dataclass(frozen=True)
class _Place:
    text: str
    activation: str
    initialisation: str
    scale: float = 1.0


_DEPTH = 50
_PLACES = {
    "relu": _Place("ReLU with PyTorch's default weights", "relu", "torch"),
    "sigmoid": _Place("sigmoid with PyTorch's default weights", "sigmoid", "torch"),
    "he": _Place("ReLU with He's weights", "relu", "he"),
    "scaled": _Place("ReLU with He's weights and branches scaled by 1/√50", "relu", "he", _DEPTH**-0.5),
}


def experiment(settings: Settings, residual: Residual = "pre") -> Figures:
    """Digits, 50 layers of 64 units: decades by which ∂L/∂h of the first layer differs from that of the last."""
    seeds, figures = settings.seeds(4, 20), {}
    for key, place in _PLACES.items():
        network = Network(
            depth=_DEPTH,
            width=64,
            activation=place.activation,
            initialisation=place.initialisation,
            residual=residual,
            residual_scale=place.scale if residual != "none" else 1.0,
        )
        figures[key] = sampled(f"{place.text}", _arriving(network, seeds), "decades")
    plain = Network(depth=_DEPTH, width=64, activation="relu")
    lost = _arriving(plain, seeds)
    kept = _arriving(Network(depth=_DEPTH, width=64, activation="relu", residual=residual), seeds)
    figures["more"] = sampled(
        "ReLU, PyTorch's default: with skips minus without",
        [b - a for a, b in zip(lost, kept, strict=True)],
        "decades",
    )
    return figures


def _arriving(network: Network, seeds: tuple[int, ...]) -> list[float]:
    """As said; what a layer hands to a branch is the scale times what arrives at the stream behind it."""
    starts = (at_start(network, seed) for seed in seeds)
    scale = np.log10(network.residual_scale)
    return [float(start.signals[0] - (start.signals[-1] - scale)) for start in starts]


def judge(figures: Figures) -> Verdict:
    """Let through: within a factor of 10 of the last layer's gradient, neither lost nor multiplied."""
    return weigh(
        core("more arrives than without them", above(figures["more"], 1), figures["more"]),
        *(
            case(f"for {place.text}", within(figures[key], -1, 1), figures[key])
            for key, place in _PLACES.items()
        ),
    )


CLAIM = Claim(
    name="residual_connections",
    sentence="Residual connections let gradients through to the first layers.",
    source="tutorials on deep networks",
    true_if="In 50 layers the first layer's gradient is within a factor of 10 of the last one's.",
    false_if="It is not, because the branches add to it in every layer or take it away.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
