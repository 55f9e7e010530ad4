"""A weight of 0.5: how large He's weights are, and what three hops of 0.5 leave."""

from __future__ import annotations

import math

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figures, above, computed, every, sampled, within
from evenflow.claims.verdict import Verdict, core, size, weigh
from evenflow.spec.initialisation import weight_draw
from evenflow.spec.network import Network
from evenflow.theory.scalar_chain import chain

_FAN_INS = (8, 64, 128, 512)


def experiment(settings: Settings, weight: float = 0.5, initialisation: str = "he") -> Figures:
    """Standard deviations of the initialisation, the chain of three hops, and four real layers."""
    network = Network(depth=4, width=128, activation="relu", initialisation=initialisation)
    starts = [at_start(network, seed) for seed in settings.seeds(10, 60)]
    decades = [float(start.signals[0] - start.signals[-1]) for start in starts]
    return {
        **{
            f"fan-in {count}": computed(
                f"standard deviation at fan-in {count}",
                weight_draw(initialisation, count, count, "relu").scale,
            )
            for count in _FAN_INS
        },
        "chain": computed("ReLU, three hops", chain("relu", weight, 3).gradient),
        "network": sampled("ReLU, three hops between layers of 128 units", decades, "decades"),
    }


def judge(figures: Figures) -> Verdict:
    """Typical: within a factor of 2 at fan-in 64 and more. No attenuation: nine tenths left."""
    usual = [figures[f"fan-in {count}"] for count in _FAN_INS if count >= 64]
    return weigh(
        core(
            "a weight of 0.5 is typical of He's initialisation at fan-in 64 to 512, within a factor of 2",
            every(*(within(one, 0.25, 1) for one in usual)),
            *usual,
        ),
        core(
            "what three hops of that leave is essentially no attenuation: nine tenths",
            above(figures["chain"], 0.9),
            figures["chain"],
        ),
        size(
            "a real network with He's weights keeps the gradient within a factor of 1.6 over three hops",
            within(figures["network"], -math.log10(1.6), math.log10(1.6)),
            figures["network"],
        ),
    )


CLAIM = Claim(
    name="half_after_he",
    sentence="A weight of 0.5 is typical after He initialisation; three layers then leave 0.125, which is "
    "essentially no attenuation.",
    source="tutorials on vanishing gradients",
    true_if="He's weights are near 0.5 in layers of usual width, and a product of 0.125 is near 1.",
    false_if="They are much smaller, and 0.125 is a loss of seven eighths; what keeps the "
    "gradient is the sum over units.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
