"""Paired differences against scipy.stats; Holm's correction against an example worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evenflow.compare import holm, paired_difference


@pytest.mark.parametrize("count", [2, 3, 8])
def test_paired_difference_equals_scipys(count: int):
    rng = np.random.default_rng(count)
    first, second = rng.normal(0.5, 0.1, count), rng.normal(0.6, 0.1, count)
    ours = paired_difference(dict(enumerate(first)), dict(enumerate(second)))
    theirs = stats.ttest_rel(second, first)
    bounds = theirs.confidence_interval(0.95)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((bounds.low, bounds.high), rel=1e-9)
    assert ours.mean == pytest.approx((second - first).mean())
    assert (ours.count, ours.unpaired) == (count, 0)


def test_pairs_are_matched_by_seed_and_not_by_place():
    ours = paired_difference({5: 0.1, 9: 0.2, 7: 0.3}, {7: 0.35, 5: 0.1, 9: 0.21})
    assert ours.mean == pytest.approx((0.0 + 0.01 + 0.05) / 3)


def test_only_common_seeds_count():
    ours = paired_difference({0: 0.1, 1: 0.2, 2: 0.3}, {1: 0.3, 2: 0.6, 3: 0.9, 4: 1.0})
    plain = paired_difference({1: 0.2, 2: 0.3}, {1: 0.3, 2: 0.6})
    assert (ours.mean, ours.p_value, ours.count) == (plain.mean, plain.p_value, 2)
    assert ours.unpaired == 3


def test_nan_is_no_pair_but_is_counted():
    ours = paired_difference({0: 0.1, 1: math.nan, 2: 0.3}, {0: 0.2, 1: 0.2, 2: math.nan})
    assert (ours.count, ours.unpaired) == (1, 2)


def test_one_common_seed_gives_a_difference_without_a_verdict():
    ours = paired_difference({0: 0.1}, {0: 0.4})
    assert ours.mean == pytest.approx(0.3)
    assert all(math.isnan(figure) for figure in (ours.low, ours.high, ours.p_value))


def test_no_common_seed():
    ours = paired_difference({0: 0.1}, {1: 0.4})
    assert math.isnan(ours.mean)
    assert (ours.count, ours.unpaired) == (0, 2)


def test_equal_results_differ_with_p_1():
    ours = paired_difference({0: 0.1, 1: 0.1}, {0: 0.1, 1: 0.1})
    assert (ours.mean, ours.low, ours.high, ours.p_value) == (0, 0, 0, 1)


def test_a_constant_difference_has_the_sign_tests_p_value():
    # 0.3 - 0.2 and 0.8 - 0.7 differ in the last place: rounding is no spread.
    ours = paired_difference({0: 0.2, 1: 0.7, 2: 0.1}, {0: 0.3, 1: 0.8, 2: 0.2})
    assert ours.mean == pytest.approx(0.1)
    assert ours.high - ours.low == 0
    assert ours.p_value == 0.25  # 2 · (1/2)³
    assert ours.p_value == pytest.approx(stats.binomtest(3, 3).pvalue)


def test_the_test_keeps_its_level():
    rng = np.random.default_rng(11)
    trials = 3000
    wrong = 0
    for differences in rng.normal(0, 0.1, (trials, 4)):
        wrong += (
            paired_difference(dict.fromkeys(range(4), 0.5), dict(enumerate(0.5 + differences))).p_value < 0.05
        )
    assert abs(wrong / trials - 0.05) < 3 * math.sqrt(0.05 * 0.95 / trials)


def test_holm_by_hand():
    # Sorted: 0.005 · 4 = 0.02; 0.011 · 3 = 0.033; 0.02 · 2 = 0.04; 0.04 · 1 = 0.04
    assert holm([0.011, 0.02, 0.04, 0.005]) == pytest.approx([0.033, 0.04, 0.04, 0.02])


def test_holm_never_falls_and_stops_at_1():
    # 0.01 · 3 = 0.03; 0.3 · 2 = 0.6; 0.31 · 1 = 0.31, raised to 0.6
    assert holm([0.3, 0.31, 0.01]) == pytest.approx([0.6, 0.6, 0.03])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]


def test_holm_of_ties_one_and_none():
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert holm([0.02]).tolist() == [0.02]
    assert holm([]).tolist() == []


def test_holm_does_not_count_what_was_not_tested():
    adjusted = holm([math.nan, 0.01, math.nan, 0.04])
    assert np.isnan(adjusted[[0, 2]]).all()
    assert adjusted[[1, 3]] == pytest.approx([0.02, 0.04])


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(5)
    trials = 2000
    wrong = sum(bool((holm(rng.random(10)) < 0.05).any()) for _ in range(trials))
    assert abs(wrong / trials - (1 - (1 - 0.05 / 10) ** 10)) < 3 * math.sqrt(0.05 * 0.95 / trials)
