"""Figures, and questions about them that are answered only where the whole interval answers them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from evenflow.claims.figure import above, below, computed, counted, every, opposite, sampled, some, within

ANSWERS = (True, False, None)
WIDE = sampled("share", [0.1, 0.2, 0.3])  # 0.2 [-0.048, 0.448]


def test_a_sample_has_students_interval():
    values = [0.3, 0.5, 0.9, 1.0]
    spread = np.std(values, ddof=1) / 2
    assert WIDE.interval.count == 3
    assert sampled("x", values).interval.high == pytest.approx(np.mean(values) + 3.182446 * spread)


def test_a_computed_figure_is_its_own_interval():
    assert (computed("slope", 0.25).interval.low, computed("slope", 0.25).interval.high) == (0.25, 0.25)
    assert str(computed("slope", 0.25)) == "0.250"


def test_a_count_stays_within_0_and_1():
    assert 0 < counted("alive", 10, 10).interval.low < counted("alive", 10, 10).interval.high == 1


@pytest.mark.parametrize("question", [above, below])
def test_an_interval_around_the_bound_decides_nothing(question):
    assert question(WIDE, 0.2) is None


def test_an_interval_on_one_side_decides():
    assert (above(WIDE, -0.1), above(WIDE, 0.5)) == (True, False)
    assert (below(WIDE, 0.5), below(WIDE, -0.1)) == (True, False)
    assert (within(WIDE, -1, 1), within(WIDE, 2, 3), within(WIDE, -3, -2), within(WIDE, 0, 1)) == (
        True,
        False,
        False,
        None,
    )


def test_equality_counts_as_not_above_and_not_below_but_as_within():
    one = computed("factor", 1.0)
    assert (above(one, 1), below(one, 1), within(one, 1, 1)) == (False, False, True)


@pytest.mark.parametrize(
    "question", [lambda one: above(one, 0), lambda one: below(one, 0), lambda one: within(one, 0, 1)]
)
def test_a_figure_without_an_interval_decides_nothing(question):
    assert question(sampled("one seed", [0.5])) is None
    assert question(sampled("none", [math.nan, math.nan])) is None


def test_answers_combine_as_if_the_open_ones_went_every_way():
    for answers in product(ANSWERS, repeat=3):
        ways = list(product(*([(True, False) if one is None else (one,) for one in answers])))
        for combine, plain in ((every, all), (some, any)):
            found = {plain(way) for way in ways}
            assert combine(*answers) is (found.pop() if len(found) == 1 else None)
    assert [opposite(one) for one in ANSWERS] == [False, True, None]
