"""Sums of ranks merge to those of their samples together."""

from __future__ import annotations

import numpy as np
import torch

from evenflow.measure.kernels import reference
from evenflow.measure.merging import Step, merge, merge_figures, merge_sums


def sums_of(values: torch.Tensor, gradients: torch.Tensor) -> np.ndarray:
    out = torch.zeros(10, dtype=torch.float64)
    nothing = ((), ())
    reference.forward(values, None, -1, nothing, out[:7], None)
    reference.backward(gradients, out[7:])
    return out.numpy()[None]


def test_sums_of_unequal_batches_are_those_of_the_whole() -> None:
    values, gradients = torch.randn(2, 9, 4, dtype=torch.float64).unbind()
    values[0, 0], values[8, 1] = 0.0, float("inf")
    parts = np.stack([sums_of(values[:2], 2 * gradients[:2]), sums_of(values[2:], 2 * gradients[2:])])
    np.testing.assert_allclose(merge_sums(parts), sums_of(values, gradients), rtol=1e-12)


def test_a_nan_of_one_rank_stays_in_the_largest() -> None:
    parts = np.ones((3, 1, 10))
    parts[2, 0, 3] = np.nan
    assert np.isnan(merge_sums(parts)[0, 3])


def test_parts_of_a_parameter_add_and_copies_count_once() -> None:
    whole = np.random.default_rng(0).normal(size=(6, 5))
    shards, squares = np.split(whole, 2), float((whole**2).sum())
    parts = [float((shard**2).sum()) for shard in shards]
    # Four ranks: one parameter in two parts, each on two ranks; one that all ranks hold; one never read.
    figures = np.array([[[part], [squares], [np.nan]] for part in (*parts, *parts)])
    merged = merge_figures(figures, np.array([2.0, 4.0, 4.0]))
    np.testing.assert_allclose(merged[:2, 0], squares, rtol=1e-12)
    assert np.isnan(merged[2, 0])


def test_a_step_travels_bit_by_bit() -> None:
    random = np.random.default_rng(1)
    step = Step(
        random.normal(size=(3, 10)),
        np.array([[np.nan, 1e-300] * 3 + [np.inf]]),
        random.integers(0, 4, size=21, dtype=np.uint8),
        float("nan"),
        8.0,
    )
    again = step.unpacked(step.packed())
    for name in ("sums", "figures", "marks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(step, name))
    assert again.loss is not None
    assert np.isnan(again.loss)
    assert again.scale == 8.0


def test_units_are_alive_where_they_are_so_on_one_rank_and_a_loss_needs_one_rank_only() -> None:
    def step(marks: list[int], loss: float | None) -> Step:
        return Step(np.zeros((0, 10)), np.zeros((0, 7)), np.array(marks, dtype=np.uint8), loss)

    merged = merge([step([0, 1, 2, 0], None), step([0, 2, 2, 1], 3.0)], np.zeros(0))
    assert merged.marks.tolist() == [0, 3, 2, 1]
    assert merged.loss == 3.0
    assert merge([step([], None), step([], None)], np.zeros(0)).loss is None
