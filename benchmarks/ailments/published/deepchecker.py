"""TheDeepChecker (Braiek, Khomh, TOSEM 2022): checks before, at the start of, and during a training.

Mapping: unscaled inputs, dead, saturated, vanishing, exploding by name; variance of initial weights (F-test) and a
first loss far from that of a guess to poor_init; standard deviation of activations above 2 to
exploding_activations, below 0.5 to poor_init; weights that grow beyond 1e8 to exploding_activations; steps too
large or small, a loss that diverges or changes its direction to the rules of the learning rate; a loss that does
not fall to loss_plateau. One check of the loss is the mean of five steps. Left out are the check that a single batch
can be learnt by heart, which trains apart for 1000 steps, and the balance of labels.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from ailments.record import Record, Snapshot

ALPHA, FIRST_LOSS = 0.1, 1.0
HALF, EXTREME = 0.5, 0.5
SPREAD = (0.5, 2.0)
WINDOW = 5
VANISHED, FALLING = 1e-6, 0.5
EXPLODED, RISING = 1e6, 2.0
GROWN = 1e8
STEPS = (-4.0, -1.0)
DOWN, DIVERGING = 0.05, 2.0
TURNS, TURN_WINDOW, FEWEST_TURNS = 0.5, 50, 30


def deepchecker(record: Record) -> list[str]:
    """Checks of the data and the start, then those of every step, in the order of the first."""
    found: dict[str, None] = {}
    if record.inputs_real and not _scaled(record):
        found.setdefault("unnormalised_input")
    if record.snapshots and _start(record):
        found.setdefault("poor_init")
    for place, shot in enumerate(record.snapshots):
        for name in _step(record.snapshots[max(0, place + 1 - WINDOW) : place + 1], shot):
            found.setdefault(name)
    for name in _curve(record.losses):
        found.setdefault(name)
    return list(found)


def _scaled(record: Record) -> bool:
    standard = abs(record.input_mean) < 0.1 and abs(record.input_std - 1) < 0.1
    within = record.input_high <= 1 and record.input_low >= -1
    return record.inputs_finite and (standard or within)


def _start(record: Record) -> bool:
    """Variance of a weight matrix against He's or Glorot's, at α = 0.1, or the first loss against ln classes."""
    for name, one in record.snapshots[0].weights.items():
        fan_in, fan_out = record.fans[name]
        wanted = 2 / (fan_in + fan_out), 1 / fan_in, 2 / fan_in
        chances = [stats.chi2.cdf(one.variance / want * (one.size - 1), one.size - 1) for want in wanted]
        if all(min(chance, 1 - chance) < ALPHA / 2 for chance in chances):
            return True
    loss = record.losses[0]
    return record.classes > 0 and not abs(loss - math.log(record.classes)) <= FIRST_LOSS


def _step(recent: list[Snapshot], shot: Snapshot) -> list[str]:
    found = []
    weights = list(shot.weights.values())
    active = [one for one in shot.outputs.values() if one.kind != "linear"]
    if not math.isfinite(shot.loss) or any(not math.isfinite(one.grad_norm) for one in weights):
        found.append("nonfinite_origin")
    if any(one.kind == "relu" and one.faint_units > HALF for one in active):
        found.append("dead_units")
    if any(one.extreme_units > EXTREME for one in active):
        found.append("saturated_activations")
    if any(one.std > SPREAD[1] for one in active) or any(one.norm**2 > GROWN for one in weights):
        found.append("exploding_activations")
    if any(one.std < SPREAD[0] for one in active):
        found.append("poor_init")
    if len(recent) == WINDOW:
        for name in shot.weights:
            then, now = recent[0].weights[name].grad_mean_abs, shot.weights[name].grad_mean_abs
            if now < VANISHED and now <= FALLING * then:
                found.append("vanishing_gradient")
            if now > EXPLODED and now >= RISING * then:
                found.append("exploding_gradient")
    ratios = [one.update / one.norm for one in weights if one.norm]
    sizes = [math.log10(one) if one else -math.inf for one in ratios]
    if any(one > STEPS[1] for one in sizes):
        found.append("lr_too_high")
    if any(one < STEPS[0] for one in sizes):
        found.append("lr_too_low")
    return found


def _curve(losses: list[float]) -> list[str]:
    values = np.asarray(losses)
    if len(values) < 10 or not np.isfinite(values).all():
        return []
    found = []
    smooth = values[: len(values) // 5 * 5].reshape(-1, 5).mean(1)
    if any(now > (1 - DOWN) * then for then, now in zip(smooth, smooth[5:], strict=False)):
        found.append("loss_plateau")
    if np.any(smooth[1:] > DIVERGING * smooth[:-1]):
        found.append("lr_too_high")
    turns = np.diff(smooth)[1:] * np.diff(smooth)[:-1] < 0
    if len(turns) >= FEWEST_TURNS and turns[:TURN_WINDOW].mean() > TURNS:
        found.append("lr_too_high")
    return found
