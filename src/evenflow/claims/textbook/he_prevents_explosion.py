"""Whether He's initialisation keeps the size of a ReLU network's activations: plain, with skips, at a high rate."""

from __future__ import annotations

import math

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figures, computed, sampled, within
from evenflow.claims.verdict import Verdict, case, core, weigh
from evenflow.spec.network import Network
from evenflow.spec.plan import Residual
from evenflow.theory.meanfield import variance_map


def experiment(settings: Settings, initialisation: str = "he") -> Figures:
    """Decades by which the outputs' root mean square grows over 30 layers of 64 units, and from theory a layer."""
    seeds, figures = settings.seeds(20, 60), {}
    kinds: dict[Residual, str] = {"none": "plain network", "pre": "layers added to a skip connection"}
    for residual, words in kinds.items():
        network = Network(
            depth=30, width=64, activation="relu", initialisation=initialisation, residual=residual
        )
        figures[residual] = sampled(words, [at_start(network, seed).growth for seed in seeds], "decades")
    figures["theory"] = computed(
        "ReLU, σ_w² = 2: factor on the variance a layer", float(variance_map("relu", 1.0, 2.0))
    )
    return figures


def judge(figures: Figures) -> Verdict:
    """Prevented: over 30 layers they change by less than a factor of 3."""
    bound = math.log10(3)
    return weigh(
        core(
            "theory: each layer keeps the variance",
            within(figures["theory"], 1 - 1e-9, 1 + 1e-9),
            figures["theory"],
        ),
        case("in a plain network", within(figures["none"], -bound, bound), figures["none"]),
        case(
            "in a network whose layers are added to skip connections",
            within(figures["pre"], -bound, bound),
            figures["pre"],
        ),
    )


CLAIM = Claim(
    name="he_prevents_explosion",
    sentence="He initialisation prevents the activations of ReLU networks from exploding.",
    source="tutorials on initialisation",
    true_if="Over 30 layers they change by less than a factor of 3.",
    false_if="They grow further, because something besides the product of weights adds to them.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
