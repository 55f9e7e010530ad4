"""One unit with bias -10: whether any input switches it on, and whether training does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.figure import Figures, below, computed, within
from evenflow.claims.verdict import Verdict, core, weigh
from evenflow.spec.activation import activation

_TRAININGS = {"sgd": {}, "momentum": {"momentum": 0.9}, "decay": {"weight_decay": 0.01}}


def experiment(settings: Settings, function: str = "relu", bias: float = -10.0) -> Figures:
    """A unit of two inputs in [0, 1], trained towards an output of 1 with a rate of 0.1."""
    import torch

    from evenflow.study.elementwise import activation_module

    inputs = torch.from_numpy(np.random.default_rng(settings.seed).random((256, 2), dtype=np.float32))
    steps = settings.choose(300, 5000)

    def trained(optimiser: Callable[..., torch.optim.Optimizer], **how: float) -> tuple[float, float, float]:
        """Largest entry of the first gradient, largest change of a parameter, largest z in [0, 1]² afterwards."""
        unit = torch.nn.Linear(2, 1)
        with torch.no_grad():
            unit.weight.fill_(0.01)
            unit.bias.fill_(bias)
        shaped = torch.nn.Sequential(unit, activation_module(activation(function), 1))
        stepping, before = (
            optimiser(unit.parameters(), lr=0.1, **how),
            [p.detach().clone() for p in unit.parameters()],
        )
        first = 0.0
        for step in range(steps):
            loss = ((shaped(inputs) - 1) ** 2).mean()
            stepping.zero_grad()
            loss.backward()
            if step == 0:
                first = max(float(p.grad.abs().max()) for p in unit.parameters() if p.grad is not None)
            stepping.step()
        moved = max(
            float((p.detach() - b).abs().max()) for p, b in zip(unit.parameters(), before, strict=True)
        )
        return first, moved, float((unit.weight.clamp(min=0).sum() + unit.bias).detach())

    found = {name: trained(torch.optim.SGD, **how) for name, how in _TRAININGS.items()}
    found["adam"] = trained(torch.optim.Adam)
    return {
        "largest": computed("largest z for inputs in [0, 1]", bias + 0.01 + 0.01),
        "gradient": computed("largest entry of its gradient", found["sgd"][0]),
        **{
            f"{name} moved": computed(f"largest change after {name}", found[name][1])
            for name in ("sgd", "momentum", "adam")
        },
        "decay": computed("largest z after SGD with weight decay 0.01", found["decay"][2]),
    }


def judge(figures: Figures) -> Verdict:
    """Off for every input, no gradient, and therefore no change."""
    moved = [figures[f"{name} moved"] for name in ("sgd", "momentum", "adam")]
    return weigh(
        core("no input in [0, 1] switches it on", below(figures["largest"], 0), figures["largest"]),
        core("its gradient is exactly 0", within(figures["gradient"], 0, 0), figures["gradient"]),
        core("SGD leaves it as it is", within(moved[0], 0, 0), moved[0]),
        core("momentum leaves it as it is", within(moved[1], 0, 0), moved[1]),
        core("Adam leaves it as it is", within(moved[2], 0, 0), moved[2]),
        core(
            "weight decay, which moves it, does not switch it on either",
            below(figures["decay"], 0),
            figures["decay"],
        ),
    )


CLAIM = Claim(
    name="unit_stays_dead",
    sentence="A ReLU unit with weights 0.01, 0.01 and bias −10 is dead for every input in [0, 1], and stays "
    "dead under SGD.",
    source="tutorials on dying ReLUs",
    true_if="Its pre-activation is negative for every such input, and training leaves it so.",
    false_if="An input switches it on, or an optimiser moves it until one does.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
