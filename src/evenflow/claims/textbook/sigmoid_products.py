"""A quarter to the power of the depth: what slopes alone leave of a gradient, and what real networks do."""

from __future__ import annotations

import math

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figures, below, computed, every, sampled, within
from evenflow.claims.verdict import Verdict, case, core, weigh
from evenflow.spec.network import Network
from evenflow.spec.properties import properties
from evenflow.theory.scalar_chain import chain

_LARGE = 8.0  # standard deviation of a weight times √fan-in


def experiment(settings: Settings, falling: str = "sigmoid", keeping: str = "relu") -> Figures:
    """Products of the largest slopes, and the gradient behind 20 layers of real networks."""

    def left(name: str, spread: float | None = None) -> list[float]:
        network = Network(depth=21, width=settings.choose(64, 128), activation=name)
        starts = (at_start(network, seed, spread=spread) for seed in settings.seeds(8, 40))
        return [float(start.signals[0] - start.signals[-1]) for start in starts]

    products = {count: chain(falling, 1.0, hops=count).gradient for count in (5, 10, 20)}
    return {
        "slope": computed(f"largest slope of {falling}", properties(falling).max_slope),
        **{
            f"after {count}": computed(f"largest slope to the power of {count}", product)
            for count, product in products.items()
        },
        "kept": computed(
            f"product of 20 slopes of {keeping} at z = 1", chain(keeping, 1.0, 20, at=1.0).gradient
        ),
        "default": sampled(f"{falling}, PyTorch's default, 20 layers on", left(falling), "decades"),
        "large": sampled(f"{falling}, weights of 8/√fan-in, 20 layers on", left(falling, _LARGE), "decades"),
        "kept default": sampled(f"{keeping}, PyTorch's default, 20 layers on", left(keeping), "decades"),
    }


def judge(figures: Figures) -> Verdict:
    """The numbers must be those in print; as statements about networks they are bounds, which weights can break."""
    printed = every(
        within(figures["after 5"], 0.000975, 0.000985),
        within(figures["after 10"], 0.9e-6, 1e-6),
        within(figures["after 20"], 8.5e-13, 9.5e-13),
    )
    bound = math.log10(9.5e-13)
    return weigh(
        core(
            "sigmoid's slope is at most 0.25",
            within(figures["slope"], 0.25 - 1e-9, 0.25 + 1e-9),
            figures["slope"],
        ),
        core(
            "its powers are the numbers in print",
            printed,
            *(figures[f"after {count}"] for count in (5, 10, 20)),
        ),
        case(
            "for the slopes alone, with weights of 1 and ReLU switched on",
            within(figures["kept"], 1, 1),
            figures["kept"],
        ),
        case(
            "as a bound for a sigmoid network with PyTorch's default weights",
            below(figures["default"], bound),
            figures["default"],
        ),
        case("as a bound for one with large weights", below(figures["large"], bound), figures["large"]),
        case(
            "for what a ReLU network with PyTorch's default weights keeps, within a factor of 2",
            within(figures["kept default"], -math.log10(2), math.log10(2)),
            figures["kept default"],
        ),
    )


CLAIM = Claim(
    name="sigmoid_products",
    sentence="Sigmoid's slope is at most 0.25, so five layers leave at most 0.25⁵ ≈ 0.00098 of the gradient, ten "
    "0.0000009 and twenty 9·10⁻¹³; ReLU leaves 1.",
    source="tutorials on activation functions",
    true_if="The largest slope is 0.25, its powers are those numbers, and real networks keep below them with sigmoid "
    "and near 1 with ReLU.",
    false_if="A number is another, or weights make more or less of it than the slopes alone.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
