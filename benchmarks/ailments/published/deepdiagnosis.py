"""DeepDiagnosis (Wardat et al., ICSE 2022): stops at the first symptom, looked for after every epoch.

Mapping: NaN or infinite to nonfinite_origin; exactly 0 to dead_units (outputs), frozen_layers (gradients) and
symmetric_init (weights); a tensor that does not change to frozen_layers; a loss that does not to loss_plateau; the
range of outputs to bad_output_layer. Its advice comes behind the symptom: variance of weights to poor_init, range
of inputs to unnormalised_input, size of the step to the rules of the learning rate. That scores need a softmax
before cross-entropy is left out: PyTorch's loss has it inside.
"""

from __future__ import annotations

import math

from ailments.record import EPOCH, Record, Snapshot

DEAD, SATURATED, VANISHED = 0.7, 0.5, 1e-7
EQUAL_EPOCHS = 5
RANGE = 10.0
VARIANCE, STEP = (1e-5, 10.0), (1e-5, 1e-1)


def deepdiagnosis(record: Record) -> list[str]:
    """The first symptom, and the advice that goes with it."""
    shots = [one for one in record.snapshots if one.step == 0 or (one.step + 1) % EPOCH == 0]
    if record.losses and not math.isfinite(record.losses[-1]) and record.snapshots:
        shots.append(record.snapshots[-1])
    for place, shot in enumerate(shots):
        symptom = _symptom(record, shots[: place + 1], shot)
        if symptom:
            return [symptom, *(name for name in _advice(record, shot) if name != symptom)]
    return []


def _symptom(record: Record, past: list[Snapshot], shot: Snapshot) -> str:
    means = [
        *(("dead_units", one.mean) for one in shot.outputs.values()),
        *(("frozen_layers", one.grad_mean) for one in shot.weights.values()),
        *(("symmetric_init", one.mean) for one in shot.weights.values()),
    ]
    if not math.isfinite(shot.loss) or any(not math.isfinite(mean) for _, mean in means):
        return "nonfinite_origin"
    for name, mean in means:
        if mean == 0:
            return name
    if shot.step >= 199 and any(
        one.kind == "relu" and one.not_positive >= DEAD for one in shot.outputs.values()
    ):
        return "dead_units"
    epoch = (shot.step + 1) // EPOCH
    if epoch and epoch % 5 == 0 and any(one.beyond_five > SATURATED for one in shot.outputs.values()):
        return "saturated_activations"
    if any(one.grad_mean_abs < VANISHED for one in shot.weights.values()):
        return "vanishing_gradient"
    recent = past[-EQUAL_EPOCHS:]
    if len(recent) == EQUAL_EPOCHS:
        for name in shot.weights:
            if len({one.weights[name].mean for one in recent}) == 1:
                return "frozen_layers"
        if len({one.loss for one in recent}) == 1:
            return "loss_plateau"
    return _range(record) if shot.step == 0 else ""


def _range(record: Record) -> str:
    bounds = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "ReLU": (0.0, math.inf), "Softmax": (0.0, 1.0)}
    low, high = bounds.get(record.last_module, (-math.inf, math.inf))
    if record.classes:
        return "bad_output_layer" if record.last_module == "ReLU" else ""
    if record.target_low < low or record.target_high > high:
        return "bad_output_layer"
    wide = record.output_high - record.output_low > RANGE * (record.target_high - record.target_low)
    return "bad_output_layer" if wide else ""


def _advice(record: Record, shot: Snapshot) -> list[str]:
    found = []
    if any(not VARIANCE[0] <= one.variance <= VARIANCE[1] for one in shot.weights.values()):
        found.append("poor_init")
    if record.inputs_real and (record.input_low < -1 or record.input_high > 1):
        found.append("unnormalised_input")
    steps = [record.rate * one.grad_norm / one.norm for one in shot.weights.values() if one.norm]
    if any(one > STEP[1] for one in steps):
        found.append("lr_too_high")
    if any(one < STEP[0] for one in steps):
        found.append("lr_too_low")
    return found
