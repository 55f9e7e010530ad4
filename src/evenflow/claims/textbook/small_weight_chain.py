"""Weights of 0.1: the arithmetic of a chain, counted in layers and in hops, and a network of such weights."""

from __future__ import annotations

import math

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Answer, Figures, above, computed, every, sampled, within
from evenflow.claims.verdict import Verdict, case, core, weigh
from evenflow.spec.network import Network
from evenflow.theory.scalar_chain import chain


def experiment(settings: Settings, kept: str = "relu", lost: str = "sigmoid", weight: float = 0.1) -> Figures:
    """Chains of three and of four hops, and five layers of 128 units whose weights have that standard deviation."""
    figures = {}
    for hops in (3, 4):
        values = {name: chain(name, weight, hops).gradient for name in (kept, lost)}
        figures |= {
            f"{hops} kept": computed(f"{kept}, {hops} hops", values[kept]),
            f"{hops} lost": computed(f"{lost}, {hops} hops", values[lost]),
            f"{hops} times": computed(f"{kept} over {lost}, {hops} hops", values[kept] / values[lost]),
        }
    for role, name in (("kept", kept), ("lost", lost)):
        network = Network(depth=5, width=128, activation=name, initialisation=f"normal:{weight:g}")
        starts = [at_start(network, seed) for seed in settings.seeds(8, 40)]
        decades = [float(start.signals[0] - start.signals[-1]) for start in starts]
        figures[f"network {role}"] = sampled(f"{name}, 5 layers of 128 units", decades, "decades")
    return figures


def judge(figures: Figures) -> Verdict:
    """The numbers in print against each way of counting."""

    def printed(hops: int) -> Answer:
        return every(
            within(figures[f"{hops} kept"], 0.00099, 0.00101),
            within(figures[f"{hops} lost"], 1.555e-5, 1.565e-5),
            within(figures[f"{hops} times"], 63.5, 64.5),
        )

    def shown(hops: int) -> tuple:
        return tuple(figures[f"{hops} {what}"] for what in ("kept", "lost", "times"))

    wide = every(
        within(figures["network kept"], -3 - math.log10(2), -3 + math.log10(2)),
        within(
            figures["network lost"], math.log10(1.56e-5) - math.log10(2), math.log10(1.56e-5) + math.log10(2)
        ),
    )
    return weigh(
        core("ReLU keeps more than sigmoid", above(figures["4 times"], 1), figures["4 times"]),
        case("in a chain of single units with three hops, which is four layers", printed(3), *shown(3)),
        case("in a chain of five layers, which have four hops", printed(4), *shown(4)),
        case(
            "in five layers of 128 units with weights of standard deviation 0.1, within a factor of 2",
            wide,
            figures["network kept"],
            figures["network lost"],
        ),
    )


CLAIM = Claim(
    name="small_weight_chain",
    sentence="With weights of 0.1 in five layers, ReLU leaves 0.001 of the gradient at the first layer and sigmoid "
    "1.56·10⁻⁵, which is 64 times less; after four layers it is 64,000 times smaller.",
    source="tutorials on vanishing gradients",
    true_if="The product of slope × weight is that number for the count of layers named, and in a network too.",
    false_if="The count of hops is another, or the sum over many units makes another number of it.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
