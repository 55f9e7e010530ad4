"""Which steps of a training are recorded, and in which of these the whole data set is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from evenflow.spec.study import Cell
from evenflow.study.data import DataSet

_FEW_SAMPLES = 10_000  # evaluated in every record
_EVALUATIONS_OF_A_STEP = 3  # what a sample costs in a step, forwards and twice backwards


@dataclass(frozen=True)
class Cadence:
    """When a training is read.

    Args:
        record: steps between two records.
        evaluate: steps between two evaluations of the whole data set, a multiple of it.
        steps: of the training; the state behind them is read too.
    """

    record: int
    evaluate: int
    steps: int

    def records(self, step: int) -> bool:
        """Whether `step` is recorded."""
        return step % self.record == 0 or step == self.steps

    def evaluates(self, step: int) -> bool:
        """Whether the whole data set is evaluated in `step`.

        >>> when = Cadence(record=10, evaluate=20, steps=55)
        >>> list(filter(when.records, range(56))), list(filter(when.evaluates, range(56)))
        ([0, 10, 20, 30, 40, 50, 55], [0, 20, 40, 55])
        """
        return step % self.evaluate == 0 or step == self.steps


def cadence(cell: Cell, data: DataSet) -> Cadence:
    """When a cell is read that is trained on these data."""
    every = cell.evaluate_every
    if every is None:
        samples = len(data.train_labels) + len(data.test_labels)
        trained = (
            _EVALUATIONS_OF_A_STEP * min(cell.training.batch, len(data.train_labels)) * cell.record_every
        )
        every = cell.record_every * (1 if samples <= _FEW_SAMPLES else -(-samples // trained))
    return Cadence(cell.record_every, every, cell.training.steps)
