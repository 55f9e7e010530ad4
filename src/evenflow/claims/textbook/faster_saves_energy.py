"""Whether an activation that needs fewer steps saves energy: steps, processor time a step, and both together."""

from __future__ import annotations

import math

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.timing import exponential, ratio, ratios, training_step
from evenflow.claims.experiments.trainings import cell_of, per_seed, trained
from evenflow.claims.figure import Figure, Figures, below
from evenflow.claims.verdict import Verdict, case, core, weigh
from evenflow.compare.intervals import Interval, mean_interval
from evenflow.spec.data import Data
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

_TARGET = 0.8


def experiment(settings: Settings, fast: str = "elu", slow: str = "sigmoid") -> Figures:
    """Digits, 3 layers of 64 units: steps to an accuracy of 0.8, and time of a step, of the fast over the slow one.

    Energy is processor time here: few machines let a program read the counter of joules, and one processor at work
    draws about as much for either function.
    """
    study = Study(
        network=Network(depth=3, width=64, initialisation="xavier"),
        data=Data(name="digits"),
        training=Training(steps=settings.choose(300, 600), batch=64),
        grid={"activation": (fast, slow)},
        seeds=settings.seeds(4, 10),
        record_every=5,
    )
    summary = trained(study, _TARGET)
    steps = [per_seed(cell_of(summary, activation=name), "steps_to_target") for name in (fast, slow)]
    logs = mean_interval([math.log(a / b) for a, b in zip(*steps, strict=True)])
    steps_of = {
        name: training_step(
            Network(depth=3, width=64, activation=name, initialisation="xavier"), 64, settings.seed
        )
        for name in (fast, slow)
    }
    times = ratios(steps_of, slow, settings.choose(24, 150))[fast]
    return {
        "steps": Figure(f"steps to 0.8, {fast} over {slow}", exponential(logs), "times"),
        "step": ratio(f"processor time of a step, {fast} over {slow}", times),
        "target": Figure(
            f"processor time to 0.8, {fast} over {slow}",
            Interval(
                math.exp(logs.mean) * times.mean,
                math.exp(logs.low) * times.low,
                math.exp(logs.high) * times.high,
                math.nan,
                logs.count,
                logs.missing,
            ),
            "times",
        ),
    }


def judge(figures: Figures) -> Verdict:
    """Saves: a tenth and more."""
    return weigh(
        core("it needs fewer steps", below(figures["steps"], 0.9), figures["steps"]),
        case(
            "where training stops at the accuracy that was wanted",
            below(figures["target"], 0.9),
            figures["target"],
        ),
        case("where training runs for a fixed number of steps", below(figures["step"], 0.9), figures["step"]),
    )


CLAIM = Claim(
    name="faster_saves_energy",
    sentence="Activations that train faster save energy.",
    source="articles on sustainable machine learning",
    true_if="Fewer steps make a training that takes less of the processor's time.",
    false_if="The training takes as long, because it is not stopped earlier, or its steps cost more.",
    experiment=experiment,
    judge=judge,
    home=__name__,
    alone=True,
)
