"""Build a case, train it, score it."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor, nn

from .data import batches, load
from .models import LOSSES, REAL, Network, chain, network
from .recipe import Case, Recipe, Training


def built(case: Case, seed: int = 0, *, faulty: bool = True, rate: float = 1.0) -> Training:
    """The training of a case; twins of one seed begin from the same weights on the same batches.

    Args:
        case: of the population.
        seed: repetition.
        faulty: False for the twin without the mechanism.
        rate: factor of the learning rate.
    """
    torch.manual_seed(zlib.crc32(case.name.encode()) + 7919 * seed)
    recipe, mechanism = case.recipe, case.mechanism if faulty else None
    if mechanism and mechanism.recipe:
        recipe = mechanism.recipe(recipe, case.dose)
    data = load(recipe.data)
    served = batches(data, recipe.batch)
    if mechanism and mechanism.data:
        served = mechanism.data(served, case.dose)
    torch.manual_seed(zlib.crc32(case.name.encode()) + 7919 * seed + 1)
    model: nn.Module = network(recipe, data)
    if mechanism and mechanism.model:
        model = mechanism.model(model, case.dose)
    if recipe.plain and isinstance(model, Network):
        model = chain(model)
    trained = [one for one in model.parameters() if one.requires_grad]
    score = "explained" if recipe.loss in REAL else "accuracy"
    training = Training(model, served, LOSSES[recipe.loss], optimiser(recipe, trained), score)
    if mechanism and mechanism.training:
        training = mechanism.training(training, case.dose)
    return faster(training, rate)


def faster(training: Training, factor: float) -> Training:
    """The same training with its learning rate times so much, at every step."""
    for group in training.optimiser.param_groups:
        group["lr"] *= factor
        if "initial_lr" in group:
            group["initial_lr"] *= factor
    if training.scheduler is not None:
        training.scheduler.base_lrs = [one * factor for one in training.scheduler.base_lrs]
    return training


def optimiser(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a recipe."""
    rate, decay = recipe.rate, recipe.weight_decay
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay)
    if recipe.optimiser == "momentum":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}[
        recipe.optimiser
    ]
    return kind(parameters, lr=rate, weight_decay=decay)


def step(training: Training, place: int) -> float:
    """One step; returns the loss."""
    inputs, targets = training.batches[place % len(training.batches)]
    training.optimiser.zero_grad()
    loss = training.loss(training.model(inputs), targets)
    if loss.requires_grad:
        loss.backward()
    if training.clip_norm is not None:
        nn.utils.clip_grad_norm_(training.model.parameters(), training.clip_norm)
    training.optimiser.step()
    if training.scheduler is not None:
        training.scheduler.step()
    return float(loss.detach())


def train(training: Training, steps: int) -> list[float]:
    """Losses of all steps; stops five steps behind the first that is not finite."""
    training.model.train()
    losses: list[float] = []
    for place in range(steps):
        losses.append(step(training, place))
        if len(losses) > 5 and not math.isfinite(losses[-6]):
            break
    return losses


@torch.no_grad()
def score(training: Training) -> float:
    """Accuracy, or explained share of the target's variance (0 at least), over all batches, in points of 100."""
    training.model.eval()
    pairs = [(training.model(inputs).float(), targets) for inputs, targets in training.batches]
    outputs, targets = torch.cat([one for one, _ in pairs]), torch.cat([one for _, one in pairs])
    if not torch.isfinite(outputs).all():
        return 0.0
    if training.score == "accuracy":
        return 100 * float(_right(outputs, targets).float().mean())
    targets = targets if targets.dim() == outputs.dim() else targets[:, None]
    unexplained = (outputs - targets).square().mean() / (targets - targets.mean(0)).square().mean()
    return 100 * max(0.0, 1 - float(unexplained))


def _right(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape == targets.shape:  # binary, as scores or as chances
        bound = 0.5 if outputs.min() >= 0 and outputs.max() <= 1 else 0.0
        return (outputs > bound) == (targets > 0.5)
    return outputs.argmax(-1) == targets


def chance(training: Training) -> float:
    """The score of the best constant answer, in points of 100."""
    if training.score == "explained":
        return 0.0
    targets = torch.cat([one for _, one in training.batches]).flatten().long()
    return 100 * float(targets.bincount().max()) / len(targets)
