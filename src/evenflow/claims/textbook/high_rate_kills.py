"""Whether a high learning rate makes units die: by optimiser, depth and width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.trainings import cell_of, per_seed, trained
from evenflow.claims.figure import Figures, above, sampled
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training


@dataclass(frozen=True)
class _Setting:
    """A network and an optimiser, with a low and a high rate for it."""

    text: str
    optimiser: Literal["sgd", "adam"]
    rates: tuple[float, float]
    depth: int = 3
    width: int = 64


_SETTINGS = {
    "sgd": _Setting("SGD, from 0.01 to 0.1", "sgd", (0.01, 0.1)),
    "sgd high": _Setting("SGD, from 0.1 to 1", "sgd", (0.1, 1.0)),
    "adam": _Setting("Adam, from 0.001 to 0.1", "adam", (0.001, 0.1)),
    "deep": _Setting("Adam, from 0.001 to 0.1, 8 layers", "adam", (0.001, 0.1), depth=8),
    "narrow": _Setting("Adam, from 0.001 to 0.1, 16 units", "adam", (0.001, 0.1), width=16),
}
_MORE = 0.05  # dead units, as a share


def experiment(settings: Settings, function: str = "relu") -> Figures:
    """Digits: share of units that no training sample switches on, at the high rate minus that at the low rate."""
    steps, figures = settings.choose(100, 500), {}
    for key, setting in _SETTINGS.items():
        study = Study(
            network=Network(
                depth=setting.depth, width=setting.width, activation=function, initialisation="he"
            ),
            data=Data(name="digits"),
            training=Training(steps=steps, batch=64, optimiser=setting.optimiser),
            grid={"learning_rate": setting.rates},
            seeds=settings.seeds(5, 8),
            record_every=steps,
        )
        summary = trained(study)
        low, high = (per_seed(cell_of(summary, learning_rate=rate), "dead_mean") for rate in setting.rates)
        more = [b - a for a, b in zip(low, high, strict=True)]
        figures[key] = sampled(f"{setting.text}: more units dead", more)
    return figures


def judge(figures: Figures) -> Verdict:
    """Death: 5 % of the units more than at the low rate."""
    return weigh(
        *(case(setting.text, above(figures[key], _MORE), figures[key]) for key, setting in _SETTINGS.items())
    )


CLAIM = Claim(
    name="high_rate_kills",
    sentence="A high learning rate makes ReLU units die.",
    source="tutorials on dying ReLUs",
    true_if="At the higher rate at least 5 % of the units more are dead after training.",
    false_if="The share stays as it was.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
