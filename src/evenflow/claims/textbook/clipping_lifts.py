"""Gradient clipping, applied to a gradient that is too small and to one that is too large."""

from __future__ import annotations

from collections.abc import Callable

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import data
from evenflow.claims.figure import Figures, above, sampled
from evenflow.claims.verdict import Verdict, core, weigh
from evenflow.spec.network import Network


def experiment(settings: Settings, small: str = "torch") -> Figures:
    """Norm of the first weights' gradient after clipping over that before: 20 sigmoid layers, and large weights."""
    import torch

    def by_norm(parameters: list[torch.nn.Parameter]) -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)

    def by_value(parameters: list[torch.nn.Parameter]) -> None:
        torch.nn.utils.clip_grad_value_(parameters, 0.5)

    deep = Network(depth=20, width=64, activation="sigmoid", initialisation=small)
    large = Network(depth=20, width=64, activation="tanh", initialisation="normal:0.5")
    seeds = settings.seeds(5, 20)
    return {
        "norm": sampled(
            "small gradient, clipped by norm", [_factor(deep, by_norm, seed)[0] for seed in seeds], "times"
        ),
        "value": sampled(
            "small gradient, clipped by value", [_factor(deep, by_value, seed)[0] for seed in seeds], "times"
        ),
        "before": sampled(
            "small gradient before", [_factor(deep, by_norm, seed)[1] for seed in seeds], "decades"
        ),
        "large": sampled(
            "large gradient, clipped by norm", [_factor(large, by_norm, seed)[0] for seed in seeds], "times"
        ),
    }


def _factor(network: Network, clip: Callable[[list], None], seed: int) -> tuple[float, float]:
    """(norm after over norm before, log10 of the norm before) of the first weights' gradient."""
    import numpy as np
    import torch

    from evenflow.study.build import build

    digits = data()
    model = build(network, digits.train_inputs.shape[1], digits.classes, seed).double()
    inputs, labels = (
        torch.from_numpy(digits.train_inputs[:128]).double(),
        torch.from_numpy(digits.train_labels[:128]),
    )
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    gradient = next(model.parameters()).grad
    assert gradient is not None
    before = float(gradient.norm())
    clip(list(model.parameters()))
    return float(gradient.norm()) / before, float(np.log10(before))


def judge(figures: Figures) -> Verdict:
    """Prevented: a gradient that is too small is larger after clipping."""
    return weigh(
        core(
            "clipping by norm makes a small gradient larger",
            above(figures["norm"], 1),
            figures["norm"],
            figures["before"],
        ),
        core("clipping by value makes it larger", above(figures["value"], 1), figures["value"]),
    )


CLAIM = Claim(
    name="clipping_lifts",
    sentence="Gradient clipping prevents gradients from becoming too small.",
    source="tutorials and exam answers",
    true_if="A small gradient is larger after clipping.",
    false_if="It is as small as before: clipping only takes away from large ones.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
