"""Five layers of ten units: the idealised chain, and the network of that shape beside it."""

from __future__ import annotations

import math

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figure, Figures, computed, every, sampled, within
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.network import Network
from evenflow.theory.scalar_chain import chain

_INITIALISATIONS = {"torch": "PyTorch's default", "xavier": "Glorot's", "he": "He's"}


def experiment(settings: Settings, kept: str = "relu", lost: str = "sigmoid") -> Figures:
    """The chain of five slopes, and ‖∂L/∂h₁‖ over ‖∂L/∂h₅‖ in networks of 5 × 10 units on the digits."""

    def network(name: str, initialisation: str) -> Figure:
        shape = Network(depth=5, width=10, activation=name, initialisation=initialisation)
        decades = [
            float(start.signals[0] - start.signals[-1])
            for start in (at_start(shape, seed) for seed in settings.seeds(60, 400))
        ]
        alive = [value if math.isfinite(value) else math.nan for value in decades]
        return sampled(f"{name}, {_INITIALISATIONS[initialisation]} weights", alive, "decades")

    return {
        "chain kept": computed(f"{kept}, chain of five slopes", chain(kept, 1.0, 5, at=1.0).log10, "decades"),
        "chain lost": computed(f"{lost}, chain of five slopes", chain(lost, 1.0, 5).log10, "decades"),
        **{f"{term} kept": network(kept, term) for term in _INITIALISATIONS},
        **{f"{term} lost": network(lost, term) for term in _INITIALISATIONS},
    }


def judge(figures: Figures) -> Verdict:
    """Both numbers within a factor of 2, in the chain and in each network."""
    factor, fifth = math.log10(2), 5 * math.log10(0.25)
    texts = {
        "chain": "in the idealised chain of largest slopes with weights of 1",
        **{
            term: f"in the network of that shape with {text} weights"
            for term, text in _INITIALISATIONS.items()
        },
    }
    return weigh(
        *(
            case(
                text,
                every(
                    within(figures[f"{term} kept"], -factor, factor),
                    within(figures[f"{term} lost"], fifth - factor, fifth + factor),
                ),
                figures[f"{term} kept"],
                figures[f"{term} lost"],
            )
            for term, text in texts.items()
        )
    )


CLAIM = Claim(
    name="five_layers_of_ten",
    sentence="In five fully connected layers of 10 units the gradient stays 1 with ReLU and becomes "
    "0.25⁵ with sigmoid.",
    source="tutorials on activation functions",
    true_if="What is left in the first layer is within a factor of 2 of 1 and of 0.25⁵.",
    false_if="It is not: five layers have four hops between them, and weights count as much as slopes.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
