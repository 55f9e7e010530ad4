"""Dead units of deep networks before the first step, measured and from theory."""

from __future__ import annotations

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start, data
from evenflow.claims.figure import Figures, above, computed, counted, sampled, some
from evenflow.claims.verdict import Verdict, core, weigh
from evenflow.spec.network import Network
from evenflow.theory.dead_units import dead_fractions

_EVERY = 1437  # all training samples of the digits
_PLACES = {
    "shallow": (3, "he", "3 layers, He's weights"),
    "deep": (20, "he", "20 layers, He's weights"),
    "default": (20, "torch", "20 layers, PyTorch's default"),
}


def experiment(settings: Settings, function: str = "relu") -> Figures:
    """Units of the last layer that are 0 for every training sample, in fresh networks of 64 units a layer."""
    figures, count = {}, settings.choose(16, 100)
    for key, (depth, term, words) in _PLACES.items():
        network = Network(depth=depth, width=64, activation=function, initialisation=term)
        starts = (at_start(network, seed, samples=_EVERY) for seed in settings.seeds(count, count))
        shares = [float((start.outputs[-1] == 0).all(axis=0).mean()) for start in starts]
        figures[key] = sampled(f"{words}: dead units of the last layer", shares)
        usual = sum(0.2 <= share <= 0.4 for share in shares)
        figures[f"{key} count"] = counted(
            f"{words}: networks with 20 to 40 % in the last layer", usual, count
        )
    deep = dead_fractions(function, data().train_inputs, 20, 2.0)[-1]
    return figures | {
        "theory": computed("20 layers, He's weights: dead units of the last layer, from theory", deep)
    }


def judge(figures: Figures) -> Verdict:
    """Some networks: more than one in twenty, of one kind."""
    return weigh(
        core(
            "of one kind of fresh networks more than one in twenty has 20 to 40 % dead units in its last layer",
            some(*(above(figures[f"{key} count"], 0.05) for key in _PLACES)),
            *(figures[f"{key} count"] for key in _PLACES),
        ),
    )


CLAIM = Claim(
    name="networks_with_dead_units",
    sentence="In some networks 20 to 40 % of the ReLU units are dead.",
    source="tutorials and lecture notes on dying ReLUs",
    true_if="A network of a usual kind has such a share.",
    false_if="None of those tried has.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
