"""Batch normalisation without skip connections: the gradient by depth, theory's factor a layer, and what trains."""

from __future__ import annotations

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figures, computed, sampled, within
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.network import Network
from evenflow.spec.plan import Normalisation
from evenflow.theory.gaussian import moments

_DEPTHS = (5, 20, 50, 100)


def experiment(settings: Settings, normalisation: Normalisation = "batch", function: str = "relu") -> Figures:
    """Digits, 64 units a layer: decades by which ∂L/∂h of the first layer differs from that of the last."""
    seeds, figures = settings.seeds(4, 20), {}
    for depth in _DEPTHS:
        network = Network(depth=depth, width=64, activation=function, normalisation=normalisation)
        decades = _arriving(network, seeds)
        figures[f"{depth}"] = sampled(f"{depth} layers, {normalisation} normalisation", decades, "decades")
    skips = Network(depth=50, width=64, activation=function, normalisation=normalisation, residual="pre")
    figures["skips"] = sampled("50 layers with skip connections", _arriving(skips, seeds), "decades")
    found = moments(function, 1.0)
    variance = float(found.second - found.mean**2)
    figures["theory"] = computed(
        f"batch normalisation and {function}: factor on the gradient's norm a layer, from theory",
        (float(found.slope_second) / variance) ** 0.5,
    )
    return figures


def _arriving(network: Network, seeds: tuple[int, ...]) -> list[float]:
    starts = (at_start(network, seed) for seed in seeds)
    return [float(start.signals[0] - start.signals[-1]) for start in starts]


def judge(figures: Figures) -> Verdict:
    """Stable: the first layer's gradient is within a factor of 10 of the last one's."""
    return weigh(
        *(
            case(
                f"in {depth} layers without skip connections",
                within(figures[f"{depth}"], -1, 1),
                figures[f"{depth}"],
            )
            for depth in _DEPTHS
        ),
        case(
            "in 50 layers with skip connections",
            within(figures["skips"], -1, 1),
            figures["skips"],
        ),
    )


CLAIM = Claim(
    name="batch_norm_stable",
    sentence="Batch normalisation keeps gradients stable.",
    source="tutorials on normalisation",
    true_if="At every depth the first layer's gradient is within a factor of 10 of the last one's.",
    false_if="It grows from layer to layer, so that depth makes it explode.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
