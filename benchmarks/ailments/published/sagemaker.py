"""SageMaker Debugger's built-in rules, at the defaults of AWS' developer guide, on every tenth step rather than
every 500th, and on the loss's mean over ten steps rather than single ones.

Mapping: VanishingGradient, DeadRelu, SaturatedActivation, PoorWeightInitialization by name; ExplodingTensor to
nonfinite_origin (it looks for NaN and infinite alone); WeightUpdateRatio to the rules of the learning rate; AllZero
and UnchangedTensor of weights to frozen_layers; LossNotDecreasing to loss_plateau. Overfit and ClassImbalance have
no name here.
"""

from __future__ import annotations

import math
from itertools import pairwise

from ailments.record import Record, Snapshot

VANISHED = 1e-7
HALF = 0.5
VARIANCES, SPREAD = 10.0, 1e-3
UPDATE = (1e-8, 10.0)
DECREASE, EVERY = 0.001, 10
OVERFIT, IMBALANCE = 0.1, 10.0


def sagemaker(record: Record) -> list[str]:
    """Every rule that fires at any step, in the order of the first."""
    found: dict[str, None] = {}
    for place, shot in enumerate(record.snapshots):
        for name in _step(record.snapshots[: place + 1], shot):
            found.setdefault(name)
    if _not_decreasing(record.losses):
        found.setdefault("loss_plateau")
    if any(one.loss > 0 and (one.held_loss - one.loss) / one.loss > OVERFIT for one in record.epochs):
        found.setdefault("other:overfitting")
    if record.imbalance > IMBALANCE:
        found.setdefault("other:class imbalance")
    return list(found)


def _step(past: list[Snapshot], shot: Snapshot) -> list[str]:
    found = []
    weights, outputs = list(shot.weights.values()), list(shot.outputs.values())
    tensors = [*(one.grad_mean_abs + one.variance for one in weights), *(one.mean for one in outputs)]
    if any(not math.isfinite(one) for one in [*tensors, shot.loss]):
        found.append("nonfinite_origin")
    if any(one.grad_mean_abs < VANISHED for one in weights):
        found.append("vanishing_gradient")
    if any(one.silent_units > HALF for one in outputs if one.kind == "relu"):
        found.append("dead_units")
    if any(one.flat_units > HALF for one in outputs if one.kind == "bounded"):
        found.append("saturated_activations")
    if 0 < shot.step <= 10 and _poor(past):
        found.append("poor_init")
    ratios = [one.update / one.norm for one in weights if one.norm]
    if any(one > UPDATE[1] for one in ratios):
        found.append("lr_too_high")
    if any(one < UPDATE[0] for one in ratios):
        found.append("lr_too_low")
    if any(one.norm == 0 for one in weights) or _unchanged(past[-3:]):
        found.append("frozen_layers")
    return found


def _poor(past: list[Snapshot]) -> bool:
    """Variances or gradients far apart at the start while the loss has not fallen for five measurements."""
    if len(past) < 6 or past[-1].loss < min(one.loss for one in past[:-5]):
        return False
    shot = past[-1]
    variances = [one.variance for one in shot.weights.values() if one.variance]
    apart = len(variances) > 1 and max(variances) / min(variances) > VARIANCES
    return apart or any(one.grad_spread < SPREAD for one in shot.weights.values())


def _unchanged(past: list[Snapshot]) -> bool:
    """A weight whose norm and mean three measurements agree on, as closely as numpy.allclose asks."""
    if len(past) < 3:
        return False
    for name in past[-1].weights:
        norms = [one.weights[name].norm for one in past]
        moves = [one.weights[name].update for one in past]
        if all(move <= 1e-5 * norm + 1e-8 for move, norm in zip(moves, norms, strict=True)):
            return True
    return False


def _not_decreasing(losses: list[float]) -> bool:
    means = [sum(losses[place : place + EVERY]) / EVERY for place in range(0, len(losses) - EVERY + 1, EVERY)]
    return any(now > before * (1 - DECREASE) for before, now in pairwise(means) if before > 0)
