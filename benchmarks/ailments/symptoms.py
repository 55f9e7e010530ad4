"""Symptoms that a failing training shows besides its cause, measured on plain PyTorch.

They make a finding true that does not name the cause. Criteria, on the measured steps of the record:

- vanishing_gradient: the root mean square gradient of the first weight matrix, at the median over the first five
  measured steps, is less than 1/1000 of that of the matrix with the largest;
- exploding_gradient: the norm of a gradient exceeds 1000, or 1000 times the smallest of its step in the first five
  measured steps with the largest in the first third of the depth, or it is not finite;
- exploding_activations: the standard deviation of a module's output exceeds 100;
- dead_units: at the last measured step half of the units of a ReLU are active for less than 1 % of the samples;
- saturated_activations: at some measured step half of the entries before a sigmoid or tanh are beyond ±5;
- frozen_layers: a weight matrix was moved by exactly 0 at every measured step;
- nonfinite_origin: a loss was not finite;
- lr_too_high: a loss exceeds ten times the first, or is not finite after 20 finite ones.
"""

from __future__ import annotations

import math

import numpy as np

from .record import Record, Snapshot, Weight

FIRST = 5
DECADES = 1e3
LARGE = 1e3
WIDE = 100.0
HALF = 0.5


def symptoms(record: Record) -> tuple[str, ...]:
    """Names of the symptoms that the record shows."""
    shots = record.snapshots
    if not shots or not shots[0].weights:
        return ()
    found = {
        "vanishing_gradient": _vanishing(shots),
        "exploding_gradient": _exploding(shots),
        "exploding_activations": any(not one.std <= WIDE for shot in shots for one in shot.outputs.values()),
        "dead_units": any(one.silent_units >= HALF for one in shots[-1].outputs.values()),
        "saturated_activations": any(
            one.beyond_five >= HALF for shot in shots for one in shot.outputs.values()
        ),
        "frozen_layers": any(
            all(shot.weights[name].update == 0 for shot in shots) for name in shots[0].weights
        ),
        "nonfinite_origin": not np.isfinite(record.losses).all(),
        "lr_too_high": _diverging(record.losses),
    }
    return tuple(name for name, true in found.items() if true)


def _root_mean_square(one: Weight) -> float:
    return one.grad_norm / math.sqrt(one.size)


def _vanishing(shots: list[Snapshot]) -> bool:
    ratios = []
    for shot in shots[:FIRST]:
        sizes = [_root_mean_square(one) for one in shot.weights.values()]
        largest = max(sizes)
        ratios.append(sizes[0] / largest if largest > 0 and math.isfinite(largest) else math.nan)
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    return bool(known) and float(np.median(known)) < 1 / DECADES


def _exploding(shots: list[Snapshot]) -> bool:
    if any(not one.grad_norm <= LARGE for shot in shots for one in shot.weights.values()):
        return True
    for shot in shots[:FIRST]:
        sizes = [_root_mean_square(one) for one in shot.weights.values()]
        early = max(sizes[: max(1, len(sizes) // 3)])
        if sizes[-1] > 0 and early > DECADES * sizes[-1]:
            return True
    return False


def _diverging(losses: list[float]) -> bool:
    finite = np.isfinite(losses)
    if not finite.all():
        return bool(np.argmin(finite) > 20)
    return bool(np.max(losses) > 10 * abs(losses[0]) + 1e-9) if losses else False
