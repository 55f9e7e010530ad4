"""What the tests of the fast engine share: cells, and how far its figures are from those of the torch engine."""

import math
from collections.abc import Mapping, Sequence
from unittest.mock import patch

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from evenflow import Data, Network, Training
from evenflow.spec.study import Cell
from evenflow.study.data import load
from evenflow.study.draws import batch_indices
from evenflow.study.engines.moment import Moment, Stopwatch
from evenflow.study.engines.start import one_thread
from evenflow.study.engines.torch import train as train_by_torch

one_thread()

Figures = Mapping[tuple, Mapping[str, float]]
DIGITS = Data(name="digits")
# Losses and norms, which are smooth in the weights; shares of entries can jump at a threshold.
SMOOTH = (
    "loss",
    "grad_norm",
    "grad_rms",
    "weight_norm",
    "update_norm",
    "update_to_weight",
    "signal_rms",
    "rms",
)


def cell(
    network: dict,
    training: dict | None = None,
    *,
    steps: int = 10,
    every: int = 5,
    seed: int = 1,
    evaluate: int | None = None,
) -> Cell:
    """A small cell on the digits."""
    return Cell(
        network=msgspec.convert({"depth": 3, "width": 12} | network, Network),
        data=DIGITS,
        training=msgspec.convert({"steps": steps, "batch": 32} | (training or {}), Training),
        record_every=every,
        seed=seed,
        evaluate_every=evaluate,
    )


def figures(moments: Sequence[Moment]) -> Figures:
    return {
        (moment.step, site.name, site.kind, phase): values
        for moment in moments
        for site, phase, values in moment.rows
    }


def by_torch(which: Cell, dtype: torch.dtype = torch.float32, order: int | None = None) -> Figures:
    """The figures of the torch engine; `order` draws the order of the samples inside of every batch anew."""

    def another(step: int, samples: int, batch: int, seed: int) -> NDArray[np.int64]:
        chosen = batch_indices(step, samples, batch, seed)
        return chosen if order is None else np.random.default_rng([order, step]).permutation(chosen)

    torch.set_num_threads(1)
    with patch("evenflow.study.engines.torch.batch_indices", another):
        return figures(list(train_by_torch(which, load(which.data), Stopwatch(), dtype=dtype)))


def by_jax(
    cells: Sequence[Cell], dtype: type[np.floating] = np.float32, resume: Sequence[bytes | None] = ()
) -> list[list[Moment]]:
    """The moments of every cell, trained together."""
    from evenflow.study.engines.jax import train

    found: list[list[Moment]] = [[] for _ in cells]
    for moments in train(cells, load(cells[0].data), Stopwatch(), resume, dtype=dtype):
        for place, moment in moments.items():
            found[place].append(moment)
    return found


def without_gradient(which: Cell, place: tuple) -> bool:
    """Whether the exact gradient is 0: of a bias in front of a batch normalisation, whose mean takes it away, and of a
    shift from which a linear path leads into the next one.

    What the engines compute for it is the rounding of a sum, and its optimiser follows that.
    """
    removed = which.network.normalisation == "batch"
    linear = "identity" in which.network.activation_names
    return removed and place[1].endswith("bias") and (linear or place[1].startswith("hidden"))


def distance(which: Cell, ours: Figures, theirs: Figures) -> float:
    """Largest relative difference of losses and norms; the places and columns have to be the same."""
    assert set(ours) == set(theirs)
    worst = 0.0
    for place, expected in theirs.items():
        assert set(ours[place]) == set(expected), place
        if without_gradient(which, place):
            continue
        for name in SMOOTH:
            if name in expected:
                worst = max(worst, _relative(ours[place][name], expected[name]))
    return worst


def _relative(ours: float, theirs: float) -> float:
    if ours == theirs or (math.isnan(ours) and math.isnan(theirs)):
        return 0.0
    return abs(ours - theirs) / max(abs(theirs), 1e-30)
