"""Whether two inputs switch on different units: the overlap of the sets of active units, layer by layer."""

from __future__ import annotations

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.figure import Figures, below, sampled
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.network import Network

_HALF = 0.5


def experiment(settings: Settings, function: str = "relu") -> Figures:
    """Pairs of digits: units that are on for both over units that are on for one of them, in layers of 128 units."""
    figures = {}
    for initialisation, words in (("he", "He's weights"), ("torch", "PyTorch's default")):
        network = Network(depth=20, width=128, activation=function, initialisation=initialisation)
        starts = [at_start(network, seed).outputs for seed in settings.seeds(6, 30)]
        for layer in (1, 5, 20):
            shares = [overlap(outputs[layer - 1]) for outputs in starts]
            figures[f"{initialisation} {layer}"] = sampled(f"{words}, layer {layer}: units in common", shares)
    return figures


def overlap(outputs: np.ndarray) -> float:
    """Mean over pairs of samples of |A ∩ B| / |A ∪ B|, A and B the units that are on; NaN where none is.

    >>> overlap(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
    0.3333333333333333
    """
    on = (outputs > 0).astype(float)
    both = on @ on.T
    either = on.sum(axis=1)[:, None] + on.sum(axis=1) - both
    pairs = np.triu_indices(len(on), 1)
    counted = either[pairs] > 0
    return float(np.mean(both[pairs][counted] / either[pairs][counted])) if counted.any() else float("nan")


def judge(figures: Figures) -> Verdict:
    """Different: less than half in common. Two independent halves would have a third."""
    names = {"he": "He's weights", "torch": "PyTorch's default weights"}
    return weigh(
        *(
            case(
                f"in layer {layer} of a fresh network with {names[term]}",
                below(figures[f"{term} {layer}"], _HALF),
                figures[f"{term} {layer}"],
            )
            for term in names
            for layer in (1, 5, 20)
        )
    )


CLAIM = Claim(
    name="inputs_use_other_units",
    sentence="Different inputs switch on different ReLU units.",
    source="tutorials on sparse activation",
    true_if="Two inputs share less than half of the units that either switches on.",
    false_if="They share most of them, because deep layers see almost equal signals.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
