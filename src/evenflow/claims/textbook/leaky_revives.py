"""Units that are switched off by a bias of -10: whether a slope of 0.01 brings them back."""

from __future__ import annotations

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import data
from evenflow.claims.experiments.trainings import plainly
from evenflow.claims.figure import Figure, Figures, above, computed, sampled, within
from evenflow.claims.verdict import Verdict, case, core, weigh
from evenflow.spec.activation import activation

_RATES = {"sgd": 0.1, "adam": 0.01}


def experiment(settings: Settings, function: str = "leaky_relu", plain: str = "relu") -> Figures:
    """One unit that is asked for more or for less, and a hidden layer of which half the units are switched off."""
    steps = settings.choose(300, 3000)

    def layer(name: str, optimiser: str) -> Figure:
        shares = [_brought_back(name, optimiser, steps, seed) for seed in settings.seeds(5, 10)]
        return sampled(f"{name}, {optimiser}: share of units brought back in {steps} steps", shares)

    return {
        "more": computed(f"{function}, asked for 1: steps until it is on", _steps_until_on(function, 1.0)),
        "less": computed(f"{function}, asked for −1: steps until it is on", _steps_until_on(function, -1.0)),
        "sgd": layer(function, "sgd"),
        "adam": layer(function, "adam"),
        "plain": layer(plain, "adam"),
    }


def _steps_until_on(name: str, target: float, most: int = 20_000) -> float:
    """Steps of gradient descent on (f(z) - target)² with rate 0.1, at input (0.5, 0.5); infinite if z stays below 0."""
    function, inputs = activation(name), np.array([0.5, 0.5])
    weights, bias = np.array([0.01, 0.01]), -10.0
    for step in range(most):
        z = float(weights @ inputs + bias)
        if z > 0:
            return float(step)
        push = 2 * (float(function(z)) - target) * float(function.derivative(z))
        weights, bias = weights - 0.1 * push * inputs, bias - 0.1 * push
    return np.inf


def _brought_back(name: str, optimiser: str, steps: int, seed: int) -> float:
    """Of 32 units of 64 with bias -10, those that some training sample switches on after training."""
    import torch

    from evenflow.study.elementwise import activation_module

    torch.manual_seed(seed)
    digits = data()
    hidden = torch.nn.Linear(64, 64)
    model = torch.nn.Sequential(
        hidden, activation_module(activation(name), 64), torch.nn.Linear(64, digits.classes)
    )
    with torch.no_grad():
        hidden.weight[:32] *= 0.01
        hidden.bias[:32] = -10
    kind = torch.optim.Adam if optimiser == "adam" else torch.optim.SGD
    plainly(model, kind(model.parameters(), lr=_RATES[optimiser]), steps, seed)
    with torch.no_grad():
        on = (hidden(torch.from_numpy(digits.train_inputs))[:, :32] > 0).any(dim=0)
    return float(on.double().mean())


def judge(figures: Figures) -> Verdict:
    """It must bring back what ReLU does not, and, to hold everywhere, in each setting most of the units."""
    return weigh(
        core("ReLU itself brings none back", within(figures["plain"], 0, 0), figures["plain"]),
        case(
            "for a single unit whose loss asks for more", within(figures["more"], 1, 20_000), figures["more"]
        ),
        case(
            "for a single unit whose loss asks for less", within(figures["less"], 1, 20_000), figures["less"]
        ),
        case("for most of half a hidden layer, under SGD at 0.1", above(figures["sgd"], 0.5), figures["sgd"]),
        case(
            "for most of half a hidden layer, under Adam at 0.01",
            above(figures["adam"], 0.5),
            figures["adam"],
        ),
    )


CLAIM = Claim(
    name="leaky_revives",
    sentence="Leaky ReLU brings dead units back.",
    source="tutorials on dying ReLUs",
    true_if="Units that ReLU leaves off for ever are switched on by training.",
    false_if="They stay off, because the loss asks for less or the slope of 0.01 is too slow for the "
    "length of the training.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
