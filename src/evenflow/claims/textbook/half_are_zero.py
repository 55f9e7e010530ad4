"""How many outputs of ReLU layers are zero: fresh, deep and trained."""

from __future__ import annotations

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start, data
from evenflow.claims.experiments.trainings import plainly
from evenflow.claims.figure import Figure, Figures, sampled, within
from evenflow.claims.verdict import Verdict, case, weigh
from evenflow.spec.network import Network


def experiment(settings: Settings, function: str = "relu") -> Figures:
    """Digits: shares of zeros in layers of 128 units."""
    seeds, steps = settings.seeds(5, 20), settings.choose(200, 1000)
    fresh = Network(depth=20, width=128, activation=function, initialisation="he")
    starts = [at_start(fresh, seed).outputs for seed in seeds]

    def trained(rate: float) -> Figure:
        shares = [_zeros_after(function, rate, steps, seed) for seed in seeds]
        return sampled(f"3 layers, after {steps} steps of Adam at {rate:g}", shares)

    return {
        "first": sampled("fresh, first layer", [float((one[0] == 0).mean()) for one in starts]),
        "twentieth": sampled("fresh, 20th layer", [float((one[-1] == 0).mean()) for one in starts]),
        "slow": trained(0.001),
        "fast": trained(0.01),
    }


def _zeros_after(function: str, rate: float, steps: int, seed: int) -> float:
    """The share of zeros among the outputs of three hidden layers for the training part."""
    import torch

    from evenflow.study.build import build

    digits = data()
    model = build(
        Network(depth=3, width=128, activation=function, initialisation="he"), 64, digits.classes, seed
    )
    plainly(model, torch.optim.Adam(model.parameters(), lr=rate), steps, seed)
    outputs, shares = torch.from_numpy(digits.train_inputs), []
    with torch.no_grad():
        for name, layer in model.named_children():
            outputs = layer(outputs)
            if name.startswith("activation_"):
                shares.append(float((outputs == 0).double().mean()))
    return float(np.mean(shares))


def judge(figures: Figures) -> Verdict:
    """About half: from 40 to 60 %."""
    texts = {
        "first": "in the first layer of a fresh network",
        "twentieth": "in the 20th layer of a fresh network",
        "slow": "after training with Adam at 0.001",
        "fast": "after training with Adam at 0.01",
    }
    return weigh(*(case(text, within(figures[key], 0.4, 0.6), figures[key]) for key, text in texts.items()))


CLAIM = Claim(
    name="half_are_zero",
    sentence="About half of the outputs of a ReLU layer are zero.",
    source="tutorials on sparse activation",
    true_if="From 40 to 60 % are, before and after training.",
    false_if="Training makes them more or fewer.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
