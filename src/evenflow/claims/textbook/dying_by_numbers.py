"""Ten per cent at 0.01 and forty at 0.1: shares of dead units by learning rate, for three optimisers."""

from __future__ import annotations

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.trainings import cell_of, per_seed, trained
from evenflow.claims.figure import Figures, every, sampled, within
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

_OPTIMISERS = {"sgd": "SGD", "momentum": "SGD with momentum", "adam": "Adam"}
_RATES = (0.01, 0.1)


def experiment(settings: Settings, function: str = "relu") -> Figures:
    """Three layers of 128 units on the digits: units that no training sample switches on, after training."""
    steps = settings.choose(150, 600)
    study = Study(
        network=Network(depth=3, width=128, activation=function),
        data=Data(name="digits"),
        training=Training(steps=steps, batch=64),
        grid={"optimiser": tuple(_OPTIMISERS), "learning_rate": _RATES},
        seeds=settings.seeds(5, 8),
        record_every=steps,
    )
    summary = trained(study)
    return {
        f"{optimiser} {rate:g}": sampled(
            f"{name} at {rate:g}: dead units",
            per_seed(cell_of(summary, optimiser=optimiser, learning_rate=rate), "dead_mean"),
        )
        for optimiser, name in _OPTIMISERS.items()
        for rate in _RATES
    }


def judge(figures: Figures) -> Verdict:
    """Ten per cent: from 5 to 15 %; forty: from 30 to 50 %."""
    return weigh(
        *(
            case(
                f"under {name}",
                every(
                    within(figures[f"{optimiser} 0.01"], 0.05, 0.15),
                    within(figures[f"{optimiser} 0.1"], 0.3, 0.5),
                ),
                figures[f"{optimiser} 0.01"],
                figures[f"{optimiser} 0.1"],
            )
            for optimiser, name in _OPTIMISERS.items()
        )
    )


CLAIM = Claim(
    name="dying_by_numbers",
    sentence="About 10 % of ReLU units die at a learning rate of 0.01, and up to 40 % at 0.1.",
    source="tutorials on dying ReLUs",
    true_if="The shares of dead units after training are near those numbers.",
    false_if="They are others, and depend on the optimiser more than on the rate.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
