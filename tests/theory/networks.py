"""Real networks to hold predictions against: a batch of samples, and gradients of seeds by plain PyTorch."""

from __future__ import annotations

import numpy as np
import torch

from evenflow.spec.network import Network
from evenflow.study.build import build

FEATURES, CLASSES = 40, 5


def batch(samples: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with a mean of their own and a spectrum that is not flat, and labels."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(samples, 12)) @ random.normal(size=(12, FEATURES)) / 4 + 0.3
    return inputs, random.integers(0, CLASSES, size=samples)


def gradient_norms(network: Network, inputs: np.ndarray, labels: np.ndarray, seeds: int) -> np.ndarray:
    """log10 ‖∂L/∂W‖ of every linear map, shape (seeds, layers)."""
    samples, targets = torch.from_numpy(inputs), torch.from_numpy(labels)
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = build(network, FEATURES, CLASSES, seed).double().train()
        loss = torch.nn.functional.cross_entropy(model(samples), targets)
        weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]
        found.append([float(torch.log10(one.norm())) for one in torch.autograd.grad(loss, weights)])
    return np.array(found)
