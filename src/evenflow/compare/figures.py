"""The figures by which networks are compared: name, title, unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from evenflow.compare.flow import Flow
from evenflow.compare.outcome import Outcome
from evenflow.record.schema import Run


@dataclass(frozen=True)
class Result:
    """Everything that was read of one run."""

    run: Run
    outcome: Outcome
    flow: Flow


@dataclass(frozen=True)
class Figure:
    """One figure of a run.

    Args:
        name: the key in `CellSummary.figures`.
        title: for a table's head.
        unit: "" where the figure has none.
        better: which way is better, or "" where neither is.
        meaning: one phrase that says what the figure is.
        read: takes it from a run's results; NaN where there is none.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", ""]
    meaning: str
    read: Callable[[Result], float]


def _joules(result: Result) -> float:
    return math.nan if result.outcome.joules is None else result.outcome.joules


FIGURES: Mapping[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "test_accuracy",
            "test accuracy",
            "share",
            "higher",
            "share of test samples recognised at the end",
            lambda result: result.outcome.test_accuracy,
        ),
        Figure(
            "train_accuracy",
            "training accuracy",
            "share",
            "higher",
            "share of training samples recognised at the end",
            lambda result: result.outcome.train_accuracy,
        ),
        Figure(
            "test_loss",
            "test loss",
            "nat",
            "lower",
            "cross-entropy on the test part at the end",
            lambda result: result.outcome.test_loss,
        ),
        Figure(
            "train_loss",
            "training loss",
            "nat",
            "lower",
            "cross-entropy on the training part at the end",
            lambda result: result.outcome.train_loss,
        ),
        Figure(
            "worst_recall",
            "recall of the worst class",
            "share",
            "higher",
            "the smallest recall of any class at the end",
            lambda result: result.outcome.worst_recall,
        ),
        Figure(
            "minority_recall",
            "recall of the rarest class",
            "share",
            "higher",
            "recall of the class with the fewest training samples, on imbalanced data",
            lambda result: result.outcome.minority_recall,
        ),
        Figure(
            "steps_to_target",
            "steps to target",
            "steps",
            "lower",
            "first recorded step at the target accuracy, of the seeds that reach it",
            lambda result: result.outcome.steps_to_target,
        ),
        Figure(
            "flops_to_target",
            "operations to target",
            "FLOP",
            "lower",
            "floating-point operations to the target accuracy, of the seeds that reach it",
            lambda result: result.outcome.flops_to_target,
        ),
        Figure(
            "seconds_to_target",
            "seconds to target",
            "s",
            "lower",
            "seconds of training to the target accuracy, of the seeds that reach it",
            lambda result: result.outcome.seconds_to_target,
        ),
        Figure("joules", "energy", "J", "lower", "energy of the whole training", _joules),
        Figure(
            "log_ratio_start",
            "gradient first/last, start",
            "decades",
            "",
            "log10 of the gradient norm of the first layer over that of the last, before training",
            lambda result: result.flow.start.log_ratio,
        ),
        Figure(
            "log_ratio_end",
            "gradient first/last, end",
            "decades",
            "",
            "the same at the last recorded step",
            lambda result: result.flow.end.log_ratio,
        ),
        Figure(
            "slope_start",
            "gradient slope, start",
            "decades per layer",
            "",
            "slope of log10 gradient norm over the layers, before training",
            lambda result: result.flow.start.slope,
        ),
        Figure(
            "slope_end",
            "gradient slope, end",
            "decades per layer",
            "",
            "the same at the last recorded step",
            lambda result: result.flow.end.slope,
        ),
        Figure(
            "dead_mean",
            "dead units",
            "share",
            "lower",
            "share of dead units at the end, mean over layers",
            lambda result: result.outcome.dead_mean,
        ),
        Figure(
            "dead_worst",
            "dead units, worst layer",
            "share",
            "lower",
            "share of dead units at the end in the layer that has most",
            lambda result: result.outcome.dead_worst,
        ),
        Figure(
            "saturated_mean",
            "saturated",
            "share",
            "lower",
            "share of saturated activations at the end, mean over layers",
            lambda result: result.outcome.saturated_mean,
        ),
        Figure(
            "saturated_worst",
            "saturated, worst layer",
            "share",
            "lower",
            "share of saturated activations at the end in the layer that has most",
            lambda result: result.outcome.saturated_worst,
        ),
    )
}
"""Every figure of a comparison, in the order in which a table shows them."""
