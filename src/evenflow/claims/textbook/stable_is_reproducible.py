"""How much the accuracy differs from seed to seed, with a stable gradient and without."""

from __future__ import annotations

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.trainings import cell_of, per_seed, trained
from evenflow.claims.figure import Figure, Figures, below, sampled
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.compare.intervals import Interval
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

_CELLS = {
    "stable": ("gelu", "gain"),
    "half": ("gelu", "torch"),
    "none": ("sigmoid", "torch"),
}


def experiment(settings: Settings, stable: tuple[str, str] = _CELLS["stable"]) -> Figures:
    """Digits, 15 layers: standard deviation of the accuracy over seeds, of a stable network over that of others."""
    spreads: dict[str, list[float]] = {}
    for key, (name, term) in (_CELLS | {"stable": stable}).items():
        steps = settings.choose(150, 300)
        study = Study(
            network=Network(depth=15, width=48, activation=name),
            data=Data(name="digits"),
            training=Training(steps=steps, batch=64, learning_rate=0.003),
            grid={"initialisation": (term,)},
            seeds=settings.seeds(7, 20),
            record_every=steps,
        )
        spreads[key] = per_seed(cell_of(trained(study), initialisation=term), "test_accuracy")
    return {
        **{
            f"{key} accuracy": sampled(
                f"accuracy, {' with '.join(_CELLS[key] if key != 'stable' else stable)} weights", values
            )
            for key, values in spreads.items()
        },
        "half": spread_ratio(
            "spread over that of GELU with PyTorch's default", spreads["stable"], spreads["half"]
        ),
        "none": spread_ratio(
            "spread over that of sigmoid with PyTorch's default", spreads["stable"], spreads["none"]
        ),
    }


def spread_ratio(text: str, first: list[float], second: list[float]) -> Figure:
    """Standard deviation of the first over that of the second, with the 95 % interval of 2,000 resamples of the seeds.

    A deviation below half a point counts as half a point: less is no difference that anybody would see.
    """
    draws = np.random.default_rng(0)

    def deviation(values: np.ndarray) -> np.ndarray:
        return np.maximum(values.std(axis=-1, ddof=1), 0.005)

    a, b = np.array(first), np.array(second)
    resampled = [values[draws.integers(len(values), size=(2000, len(values)))] for values in (a, b)]
    ratios = deviation(resampled[0]) / deviation(resampled[1])
    low, high = np.quantile(ratios, (0.025, 0.975))
    return Figure(
        text, Interval(float(deviation(a) / deviation(b)), float(low), float(high), float("nan"), len(a))
    )


def judge(figures: Figures) -> Verdict:
    """More reproducible: a smaller spread over seeds."""
    return weigh(
        case(
            "beside a network whose unstable gradient lets it train on some seeds",
            below(figures["half"], 1),
            figures["half"],
            figures["stable accuracy"],
            figures["half accuracy"],
        ),
        case(
            "beside a network whose gradient is so small that it trains on none, and always guesses",
            below(figures["none"], 1),
            figures["none"],
            figures["none accuracy"],
        ),
    )


CLAIM = Claim(
    name="stable_is_reproducible",
    sentence="A stable gradient makes training reproducible over seeds.",
    source="articles on reliability",
    true_if="The accuracy spreads less over seeds than in networks without.",
    false_if="It spreads as much, or the others are alike in failing.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
