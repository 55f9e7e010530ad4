"""The infinitely wide network against single, very wide real ones, and against closed forms."""

import numpy as np
import pytest
import torch
from theory.networks import CLASSES, FEATURES, batch

from evenflow.spec.network import Network
from evenflow.spec.plan import plan_of
from evenflow.study.build import build
from evenflow.theory.losses import loss_gradient
from evenflow.theory.wide import wide

SHAPES = {
    "plain": {},
    "torch": {"initialisation": "torch"},
    "layer norm": {"normalisation": "layer"},
    "rms norm behind": {"normalisation": "rms", "normalisation_position": "after"},
    "layer norm behind": {"normalisation": "layer", "normalisation_position": "after"},
    "pre": {"residual": "pre", "residual_scale": 0.5},
    "pre with norm": {"residual": "pre", "normalisation": "layer"},
    "post with norm": {"residual": "post", "normalisation": "layer"},
    "dropout": {"dropout": 0.3},
    "uneven": {"depth": None, "width": (900, 600, 800)},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_very_wide_network_is_near_the_limit(activation: str, shape: str) -> None:
    network = Network(
        **{"depth": 3, "width": 800, "activation": activation, "initialisation": "he"} | SHAPES[shape]
    )
    inputs, labels = batch(16)
    limit = wide(plan_of(network, FEATURES, CLASSES), inputs)
    norms, expected, covariances = [], [], []
    for seed in range(6):
        torch.manual_seed(seed)
        model = build(network, FEATURES, CLASSES, seed).double().train()
        logits = model(torch.from_numpy(inputs))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]
        found = torch.autograd.grad(loss, weights, retain_graph=True)
        norms.append([float(one.square().sum()) for one in found])
        # the limit's transfers on this very gradient at the logits: what remains is the noise of 800 units
        given = loss_gradient("cross_entropy", labels, CLASSES)(logits.detach().numpy())
        expected.append([np.sum((given @ given.T) * one.weight) * np.exp(one.log) for one in limit.transfers])
        covariances.append(logits.detach().numpy() @ logits.detach().numpy().T / CLASSES)
    logs = np.log(np.array(norms) / np.array(expected))
    noise = 4 * np.std(logs, axis=0) / np.sqrt(len(logs))
    # a stream behind activations is not Gaussian, which the limit takes it for
    bias = 0.3 if shape.startswith("post") else 0.03
    assert np.all(np.abs(np.mean(logs, axis=0)) < bias + noise)
    assert np.max(noise) < 0.25
    assert np.trace(np.mean(covariances, axis=0)) == pytest.approx(np.trace(limit.covariances[-1]), rel=0.5)


def test_a_linear_network_has_the_closed_form() -> None:
    network = Network(depth=4, width=50, activation="identity", initialisation="lecun")
    inputs, labels = batch(8)
    limit = wide(plan_of(network, FEATURES, CLASSES), inputs)
    given = loss_gradient("cross_entropy", labels, CLASSES)(np.zeros((8, CLASSES)))
    gram = inputs @ inputs.T / FEATURES
    for layer, one in enumerate(limit.transfers):
        scale = FEATURES if layer == 0 else 50
        # LeCun's weights keep every variance going forward; 50 units spread a gradient of variance 1/50 each
        exact = np.sum((given @ given.T) * gram) * scale
        found = np.sum((given @ given.T) * one.weight) * np.exp(one.log)
        assert found == pytest.approx(exact, rel=1e-9)
