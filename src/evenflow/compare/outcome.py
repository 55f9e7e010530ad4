"""What came of one run: whether it trained, how well, how fairly and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from evenflow.compare.rows import RunRows, by_run
from evenflow.record.schema import Run
from evenflow.record.table import Table

TRAINED_LEVEL = 0.001
"""Level of the test that decides whether a run trained: 1 of 1,000 guessing networks passes it."""


@dataclass(frozen=True)
class Outcome:
    """The end of one run. NaN stands for what was not measured or never happened.

    Args:
        run: the run itself.
        test_accuracy, train_accuracy, test_loss, train_loss: at the last recorded step. A diverged run
            without a recorded accuracy has accuracy 0: a network that answers NaN answers nothing.
        chance: share of the commonest class in the test part, what a constant answer reaches.
        trained: the final test accuracy is above `chance` by a one-sided exact binomial test at 0.1 %. A
            diverged run did not train.
        diverged: the loss became NaN or infinite.
        diverged_at: the step at which it did, or None.
        steps_to_target: the first recorded step at which the test accuracy was at least the target; NaN if
            never.
        flops_to_target, seconds_to_target: that many steps times the run's cost of one.
        worst_recall: the smallest recall of any class.
        minority_recall: recall of the last class, which is the rarest where `imbalance` is above 1; else NaN.
        dead_mean, dead_worst: share of dead units, mean over hidden layers and the worst of them.
        saturated_mean, saturated_worst: share of saturated activations, likewise.
        joules: energy of the run, or None where the machine does not give it.
    """

    run: Run
    test_accuracy: float
    train_accuracy: float
    test_loss: float
    train_loss: float
    chance: float
    trained: bool
    diverged: bool
    diverged_at: int | None
    steps_to_target: float
    flops_to_target: float
    seconds_to_target: float
    worst_recall: float
    minority_recall: float
    dead_mean: float
    dead_worst: float
    saturated_mean: float
    saturated_worst: float
    joules: float | None


def outcomes(table: Table, target_accuracy: float = 0.9) -> tuple[Outcome, ...]:
    """The outcome of every run of the table, in the order of `table.runs`."""
    return tuple(outcome_of_run(rows, target_accuracy) for rows in by_run(table))


def outcome_of_run(rows: RunRows, target_accuracy: float = 0.9) -> Outcome:
    """The outcome of one run."""
    run = rows.run
    diverged = run.status == "diverged"
    train, test = (rows.where(kind="loss", name=part).in_order("step") for part in ("train", "test"))
    recalls, sizes = _classes(rows)
    samples = int(sizes.sum())
    chance = float(sizes.max() / samples) if samples else math.nan
    accuracy = _last(test, "accuracy")
    if math.isnan(accuracy) and diverged:
        accuracy = 0.0
    steps = _steps_to(test, target_accuracy)
    layers = rows.where(kind="activation")
    dead, saturated = (
        layers.known(statistic).at_end()[statistic] for statistic in ("dead_fraction", "saturated_fraction")
    )
    return Outcome(
        run=run,
        test_accuracy=accuracy,
        train_accuracy=_last(train, "accuracy"),
        test_loss=_last(test, "loss"),
        train_loss=_last(train, "loss"),
        chance=chance,
        trained=not diverged and above_chance(accuracy, samples, chance),
        diverged=diverged,
        diverged_at=_diverged_at(run) if diverged else None,
        steps_to_target=steps,
        flops_to_target=steps * _number(run, "flops_per_step"),
        seconds_to_target=steps * _number(run, "seconds_per_step"),
        worst_recall=-_largest(-recalls),
        minority_recall=float(recalls[-1]) if len(recalls) and _imbalance(run) > 1 else math.nan,
        dead_mean=_mean(dead),
        dead_worst=_largest(dead),
        saturated_mean=_mean(saturated),
        saturated_worst=_largest(saturated),
        joules=None if run.facts.get("joules") is None else _number(run, "joules"),
    )


def above_chance(accuracy: float, samples: int, chance: float) -> bool:
    """Whether so many right answers of `samples` are too many for a network that guesses.

    One-sided exact binomial test: `P(X ≥ k) < 0.001` for `X ~ Binomial(samples, chance)`.

    >>> above_chance(0.12, 360, 0.1), above_chance(0.2, 360, 0.1)
    (False, True)
    """
    if math.isnan(accuracy) or not samples:
        return False
    right = round(accuracy * samples)
    return right > 0 and bool(bdtrc(right - 1, samples, chance) < TRAINED_LEVEL)


def _classes(rows: RunRows) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Recall and number of test samples of every class, in the order of the classes, at the end."""
    classes = rows.where(kind="class").at_end()
    numbers = np.array([int(str(name).rpartition(" ")[2]) for name in classes["name"]], dtype=np.int64)
    order = np.argsort(numbers)
    return classes["recall"][order].astype(np.float64), classes["units"][order].astype(np.int64)


def _last(rows: RunRows, statistic: str) -> float:
    return float(rows[statistic][-1]) if len(rows) else math.nan


def _steps_to(test: RunRows, target: float) -> float:
    reached = np.flatnonzero(test["accuracy"] >= target)
    return float(test["step"][reached[0]]) if len(reached) else math.nan


def _number(run: Run, fact: str) -> float:
    value = run.facts.get(fact)
    return float(value) if isinstance(value, int | float) else math.nan


def _diverged_at(run: Run) -> int:
    step = _number(run, "diverged_at")
    return run.steps_done if math.isnan(step) else int(step)


def _imbalance(run: Run) -> float:
    value = run.fields.get("imbalance", 1.0)
    return float(value) if isinstance(value, int | float) else 1.0


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of the layers that were measured."""
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if len(measured) else math.nan


def _largest(values: NDArray[np.float64]) -> float:
    measured = values[~np.isnan(values)]
    return float(measured.max()) if len(measured) else math.nan
