"""Gradients: the norm of all, step by step, from what the doctor measured, and those of the first batch themselves."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError
from evenflow.diagnose.learning import learning
from evenflow.doctor.copying import untouched_randomness
from evenflow.doctor.trial import call
from evenflow.errors import EvenflowError
from evenflow.prescribe.prescription import Training, View

FEWEST = 3  # steps from which on a quantile says something


def case_of(view: View) -> Case:
    """What the rules saw."""
    return Case(view.table, view.table.runs[0])


def total_norms(view: View) -> NDArray[np.float64]:
    """√(Σ ‖∂L/∂w‖²) over all parameters, before clipping, at each step while all was well.

    Of a training that ran away the steps before that are taken; empty where nothing was measured.
    """
    if not view.table.runs:
        return np.zeros(0)
    case = case_of(view)
    try:
        norms = case.series("grad_norm")
    except MissingError:
        return np.zeros(0)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sqrt(np.nansum(np.square(norms.values), axis=1))
    whole = np.isfinite(total) & (total > 0.0)
    try:
        away = learning(case).first_divergence
    except MissingError:
        away = None
    if away is not None and (norms.steps[whole] < away).sum() >= FEWEST:
        whole &= norms.steps < away
    return total[whole]


def after_first_backward(training: Training) -> Training | None:
    """A copy that holds the gradients of the first batch; None where that raises."""
    copied = training.copied()
    batch = training.plan.batches[0].copied()
    try:
        with untouched_randomness(), torch.enable_grad():
            copied.patient.optimizer.zero_grad()
            copied.loss(call(copied.patient.model, batch.inputs), batch.target).backward()
    except (RuntimeError, TypeError, ValueError, EvenflowError):
        return None
    return copied


def quantile(values: NDArray[np.float64], share: float) -> float:
    """NaN where there are no values.

    >>> quantile(np.array([1.0, 2.0, 3.0]), 0.5)
    2.0
    """
    return float(np.quantile(values, share)) if len(values) else math.nan
