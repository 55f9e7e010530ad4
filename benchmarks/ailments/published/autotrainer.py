"""AUTOTRAINER (Zhang et al., ICSE 2021): gradients every third epoch, accuracy against what the user hopes for.

Mapping: vanishing and exploding gradient by name, dying ReLU to dead_units, oscillating loss to lr_too_high (its
first repair is another optimiser, its second the rate), slow convergence to lr_too_low, abnormal data to
unnormalised_input. Its test of the output's sum asks for a softmax, which PyTorch's loss has inside: left out.
"""

from __future__ import annotations

import math
from itertools import pairwise

from ailments.record import EPOCH, Record, Snapshot

BETA_1, BETA_2, BETA_3 = 1e-3, 1e-4, 70.0
GAMMA, ZETA, ETA, DELTA, THETA = 0.7, 0.03, 0.2, 0.01, 0.6
OMEGA = 10.0
EVERY = 3
PLANNED = 8  # epochs of 200 steps


def autotrainer(record: Record, hoped: float = THETA) -> list[str]:
    """What the first check that fires finds, for a user who hopes for this accuracy."""
    for count in range(EVERY, len(record.epochs) + 1, EVERY):
        found = _check(record, count, hoped)
        if found:
            return found
    if record.losses and not math.isfinite(record.losses[-1]):
        return ["exploding_gradient"]
    return _check(record, len(record.epochs), hoped) if len(record.epochs) == PLANNED else []


def _check(record: Record, count: int, hoped: float) -> list[str]:
    step = count * EPOCH
    shot = [one for one in record.snapshots if one.step < step][-1]
    accuracies = [one.accuracy for one in record.epochs[:count]]
    held = [one.held_accuracy for one in record.epochs[:count]]
    found = _broken(shot)
    if record.classes == 0:
        return found
    gains = [b - a for a, b in pairwise(accuracies)]
    if max(accuracies) < hoped or (gains and max(gains[-EVERY:]) < DELTA and max(accuracies) < 0.95):
        found += [name for name in _gradients(shot) if name not in found]
    if any(abs(one.mean) >= OMEGA for one in shot.outputs.values()):
        found.append("unnormalised_input")
    if count < 0.3 * PLANNED:
        return found
    if _swings(accuracies) >= ETA * count:
        found.append("lr_too_high")
    held_gains = [b - a for a, b in pairwise(held)]
    if gains and max(gains) < DELTA and max(held_gains) < DELTA and max(accuracies) < hoped:
        found.append("lr_too_low")
    return found


def _broken(shot: Snapshot) -> list[str]:
    infinite = any(not math.isfinite(one.grad_norm + one.variance) for one in shot.weights.values())
    return ["exploding_gradient"] if infinite and not shot.loss < 1e3 else []


def _gradients(shot: Snapshot) -> list[str]:
    norms = [one.grad_norm for one in shot.weights.values()]
    ratio = norms[0] / norms[-1] if norms[-1] else math.inf if norms[0] else 0.0
    entries = sum(one.size for one in shot.weights.values())
    zeros = sum(one.grad_zeros * one.size for one in shot.weights.values()) / entries
    found = ["vanishing_gradient"] if ratio < BETA_1 and norms[0] < BETA_2 else []
    found += ["exploding_gradient"] if ratio > BETA_3 else []
    return found + (["dead_units"] if zeros >= GAMMA else [])


def _swings(accuracies: list[float]) -> int:
    """Pairs of a local maximum and the local minimum behind it that are 0.03 apart or more."""
    turns = [
        b
        for a, b, c in zip(accuracies, accuracies[1:], accuracies[2:], strict=False)
        if (b - a) * (c - b) < 0
    ]
    return sum(abs(a - b) >= ZETA for a, b in pairwise(turns))
