"""ReLU and sigmoid in turns: the gradient of 20 layers, and whether they train."""

from __future__ import annotations

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import first_to_last
from evenflow.claims.figure import Figures, below, sampled
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.network import Network

_TERMS = {
    "torch": "PyTorch's default weights",
    "xavier": "Glorot's weights",
    "he": "He's weights",
    "gain": "the gain that fits each activation",
}


def experiment(settings: Settings, turns: tuple[str, ...] = ("relu", "sigmoid")) -> Figures:
    """Digits, 20 layers: decades by which the first weight's gradient differs from the last one's."""
    figures, seeds = {}, settings.seeds(8, 30)
    for term, words in _TERMS.items():
        network = Network(depth=20, width=settings.choose(64, 128), activation=turns, initialisation=term)
        figures[term] = sampled(f"{' and '.join(turns)}, {words}", first_to_last(network, seeds), "decades")
    return figures


def judge(figures: Figures) -> Verdict:
    """Vanishing: the first layer's gradient is below a hundredth of the last one's."""
    return weigh(
        *(case(f"with {words}", below(figures[term], -2), figures[term]) for term, words in _TERMS.items())
    )


CLAIM = Claim(
    name="alternating_vanishes",
    sentence="In networks that alternate ReLU and sigmoid the gradient vanishes again.",
    source="exercises and tutorials",
    true_if="In 20 layers the first layer's gradient is below a hundredth of the last one's.",
    false_if="It is not, or only with some initialisations.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
