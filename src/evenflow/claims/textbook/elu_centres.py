"""The mean of what ELU puts out, beside ReLU's: from theory, in fresh networks, and after training."""

from __future__ import annotations

import numpy as np

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import at_start, data
from evenflow.claims.experiments.trainings import plainly
from evenflow.claims.figure import Figures, below, computed, sampled
from evenflow.claims.verdict import Verdict, core, weigh
from evenflow.spec.network import Network
from evenflow.theory.gaussian import moments


def experiment(settings: Settings, centred: str = "elu", other: str = "relu") -> Figures:
    """Mean of the outputs over their root mean square, that of one function minus that of the other."""
    seeds, steps = settings.seeds(5, 20), settings.choose(100, 600)

    def theory(name: str) -> float:
        found = moments(name, 1.0)
        return abs(float(found.mean)) / float(found.second) ** 0.5

    def fresh(name: str) -> list[float]:
        network = Network(depth=10, width=64, activation=name, initialisation="gain")
        return [_offset(at_start(network, seed).outputs) for seed in seeds]

    def trained(name: str) -> list[float]:
        return [_trained(name, steps, seed) for seed in seeds]

    return {
        "theory": computed(f"z ~ N(0, 1): {centred} minus {other}", theory(centred) - theory(other)),
        "elu": computed(f"z ~ N(0, 1): {centred}", theory(centred)),
        "fresh": sampled(
            f"10 fresh layers: {centred} minus {other}", np.subtract(fresh(centred), fresh(other)).tolist()
        ),
        "trained": sampled(
            f"3 layers after {steps} steps: {centred} minus {other}",
            np.subtract(trained(centred), trained(other)).tolist(),
        ),
    }


def _offset(outputs: np.ndarray) -> float:
    """|mean| over root mean square of every layer's outputs, mean over the layers."""
    return float(np.mean([abs(layer.mean()) / np.sqrt((layer**2).mean()) for layer in outputs]))


def _trained(name: str, steps: int, seed: int) -> float:
    import torch

    from evenflow.study.build import build

    digits = data()
    network = Network(depth=3, width=64, activation=name, initialisation="gain")
    model = build(network, digits.train_inputs.shape[1], digits.classes, seed)
    plainly(model, torch.optim.Adam(model.parameters()), steps, seed)
    outputs, found = torch.from_numpy(digits.train_inputs), []
    with torch.no_grad():
        for layer_name, layer in model.named_children():
            outputs = layer(outputs)
            if layer_name.startswith("activation_"):
                found.append(outputs.numpy())
    return _offset(np.array(found))


def judge(figures: Figures) -> Verdict:
    """Nearer to zero than ReLU's everywhere; at zero it is not, and the sentence does not say so."""
    return weigh(
        core("nearer to zero than ReLU's for z ~ N(0, 1)", below(figures["theory"], 0), figures["theory"]),
        core(
            "nearer to zero in fresh networks", below(figures["fresh"], 0), figures["fresh"], figures["elu"]
        ),
        core("nearer to zero after training", below(figures["trained"], 0), figures["trained"]),
    )


CLAIM = Claim(
    name="elu_centres",
    sentence="ELU pushes the mean of its outputs towards zero.",
    source="the paper that introduced ELU, and tutorials after it",
    true_if="The mean of its outputs, over their size, is nearer to zero than ReLU's.",
    false_if="It is not.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
