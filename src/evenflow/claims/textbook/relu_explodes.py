"""Whether the activations of a ReLU network without normalisation grow from layer to layer."""

from __future__ import annotations

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figures, above, computed, sampled
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.network import Network
from evenflow.theory.meanfield import variance_map

_TERMS = {
    "torch": "PyTorch's default weights",
    "xavier": "Glorot's weights",
    "normal:1": "weights drawn from N(0, 1)",
}


def experiment(settings: Settings, function: str = "relu") -> Figures:
    """Decades by which the outputs' root mean square grows over 30 layers of 64 units."""
    width, figures = 64, {}
    for term, words in _TERMS.items():
        network = Network(depth=30, width=width, activation=function, initialisation=term)
        starts = [at_start(network, seed) for seed in settings.seeds(6, 30)]
        figures[term] = sampled(words, [start.growth for start in starts], "decades")
    figures["theory"] = computed(
        "N(0, 1), factor on the variance a layer, from theory", float(variance_map(function, 1.0, width))
    )
    return figures


def judge(figures: Figures) -> Verdict:
    """Explode: grow tenfold and more."""
    return weigh(
        *(case(f"with {words}", above(figures[term], 1), figures[term]) for term, words in _TERMS.items())
    )


CLAIM = Claim(
    name="relu_explodes",
    sentence="Without normalisation the activations of ReLU networks explode.",
    source="tutorials on activation functions",
    true_if="They grow at least tenfold over 30 layers.",
    false_if="They keep their size or shrink, which the scale of the weights decides.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
