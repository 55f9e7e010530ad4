"""How many units of a 20-layer tanh network are saturated, before and after training."""

from __future__ import annotations

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start
from evenflow.claims.experiments.trainings import cell_of, per_seed, trained
from evenflow.claims.figure import Figures, above, sampled
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.activation import activation
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.properties import properties
from evenflow.spec.study import Study
from evenflow.spec.training import Training

_TERMS = {"torch": "PyTorch's default weights", "xavier": "Glorot's weights, the default of Keras"}
_SEVERE = 0.2


def experiment(
    settings: Settings, function: str = "tanh", terms: tuple[str, str] = ("torch", "xavier")
) -> Figures:
    """Digits, 20 layers: share of outputs where the slope is below 1 % of its largest, mean over layers."""
    width, figures = settings.choose(64, 128), {}
    given = dict(zip(_TERMS, terms, strict=True)) | {"normal:1": "normal:1"}
    for role, term in given.items():
        network = Network(depth=20, width=width, activation=function, initialisation=term)
        shares = [_saturated(function, network, seed) for seed in settings.seeds(5, 20)]
        figures[f"{role} start"] = sampled(f"{term} weights, before training", shares)
    steps = settings.choose(150, 400)
    study = Study(
        network=Network(depth=20, width=width, activation=function),
        data=Data(name="digits"),
        training=Training(steps=steps, batch=64),
        grid={"initialisation": terms},
        seeds=settings.seeds(3, 5),
        record_every=steps,
    )
    summary = trained(study)
    for role, term in zip(_TERMS, terms, strict=True):
        shares = per_seed(cell_of(summary, initialisation=term), "saturated_mean")
        figures[f"{role} end"] = sampled(f"{term} weights, after {steps} steps of Adam", shares)
    return figures


def _saturated(name: str, network: Network, seed: int) -> float:
    slopes = activation(name).derivative(at_start(network, seed).arguments)
    return float((np.abs(slopes) < 0.01 * properties(name).max_slope).mean())


def judge(figures: Figures) -> Verdict:
    """Severe: a fifth of the outputs and more. Weights of N(0, 1), which nobody's default draws, show what that is."""
    return weigh(
        *(
            case(
                f"with {words}, {moment} training",
                above(figures[f"{term} {key}"], _SEVERE),
                figures[f"{term} {key}"],
            )
            for term, words in _TERMS.items()
            for key, moment in (("start", "before"), ("end", "after"))
        )
    )


CLAIM = Claim(
    name="tanh_saturates",
    sentence="In a network of 20 layers with the framework's defaults tanh suffers severe saturation.",
    source="tutorials that compare activation functions",
    true_if="At least a fifth of its outputs lie where the slope is below 1 % of its largest.",
    false_if="Hardly any do.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
