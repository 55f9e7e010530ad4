"""UMLAUT (Schoop, Huang, Hartmann, CHI 2021): heuristics on data, rate, model and the curves of epochs.

Mapping: range and NaN of inputs, the rate, and a non-linear last layer by name; overfitting, suspicious validation
accuracy, linear layers in a row and high dropout have none. A missing softmax is left out: PyTorch's loss has it
inside.
"""

from __future__ import annotations

import math
from itertools import pairwise

from ailments.record import Record

RATE = (1e-7, 0.01)
NONLINEAR = ("ReLU", "Sigmoid", "Tanh", "Softmax", "GELU", "ELU")


def umlaut(record: Record) -> list[str]:
    """All that its heuristics say, errors before warnings."""
    found = []
    if record.losses and not math.isfinite(record.losses[-1]) and not record.inputs_finite:
        found.append("nonfinite_origin")
    if record.inputs_real and (record.input_low < -1 or record.input_high > 1):
        found.append("unnormalised_input")
    if record.rate > RATE[1]:
        found.append("lr_too_high")
    if record.rate < RATE[0]:
        found.append("lr_too_low")
    right = record.last_module == "Softmax" and record.loss_kind == "nll"
    if record.last_module in NONLINEAR and not right and record.loss_kind != "bce":
        found.append("bad_output_layer")
    if record.linear_chain:
        found.append("other:linear layers in a row")
    if record.dropout > 0.5:
        found.append("other:high dropout")
    for before, now in pairwise(record.epochs):
        if now.held_loss > before.held_loss and now.loss < before.loss:
            found.append("other:overfitting")
            break
    if any(one.held_accuracy > 0.95 or one.held_accuracy > one.accuracy + 0.05 for one in record.epochs[2:]):
        found.append("other:suspicious validation accuracy")
    return found
