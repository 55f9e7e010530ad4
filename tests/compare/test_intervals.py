"""Intervals against scipy.stats, against cases worked by hand, and by their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evenflow.compare import mean_interval, wilson_interval


@pytest.mark.parametrize("count", [2, 3, 5, 30])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_mean_interval_equals_scipys(count: int, level: float):
    values = np.random.default_rng(count).normal(3, 2, count)
    ours = mean_interval(values, level)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-10)
    assert ours.mean == pytest.approx(values.mean())
    assert ours.deviation == pytest.approx(values.std(ddof=1))
    assert (ours.count, ours.missing) == (count, 0)


def test_mean_interval_by_hand():
    # n = 2, mean 1, s = √2, t(1) = 12.7062: 1 ± 12.7062 · √2 / √2
    interval = mean_interval([0.0, 2.0])
    assert (interval.low, interval.high) == pytest.approx((-11.7062, 13.7062), abs=1e-4)


def test_mean_interval_covers_the_mean_in_95_of_100_cases():
    rng = np.random.default_rng(7)
    trials = 3000
    hits = 0
    for sample in rng.normal(1.5, 0.3, (trials, 3)):
        interval = mean_interval(sample)
        hits += interval.low <= 1.5 <= interval.high
    assert abs(hits / trials - 0.95) < 3 * math.sqrt(0.95 * 0.05 / trials)


def test_one_value_has_no_interval():
    interval = mean_interval([0.7])
    assert (interval.mean, interval.count) == (0.7, 1)
    assert all(math.isnan(figure) for figure in (interval.low, interval.high, interval.deviation))


def test_nothing_to_count():
    interval = mean_interval([math.nan, math.nan])
    assert math.isnan(interval.mean)
    assert (interval.count, interval.missing) == (0, 2)
    assert mean_interval([]).count == 0


def test_nan_is_left_out_and_counted():
    interval = mean_interval([1.0, math.nan, 2.0, 3.0])
    plain = mean_interval([1.0, 2.0, 3.0])
    assert (interval.low, interval.mean, interval.high) == (plain.low, plain.mean, plain.high)
    assert (interval.count, interval.missing) == (3, 1)


def test_infinite_values_stay():
    assert mean_interval([-math.inf, -3.0]).mean == -math.inf
    assert math.isnan(mean_interval([-math.inf, -3.0]).low)
    assert math.isnan(mean_interval([-math.inf, math.inf]).mean)
    assert mean_interval([math.inf]).mean == math.inf


def test_equal_values_have_width_0():
    interval = mean_interval([0.1, 0.1, 0.1])
    assert (interval.low, interval.mean, interval.high, interval.deviation) == (0.1, 0.1, 0.1, 0.0)


@pytest.mark.parametrize(
    ("successes", "count"), [(0, 3), (1, 3), (3, 3), (0, 10), (7, 10), (50, 100), (100, 100)]
)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_interval_equals_scipys(successes: int, count: int, level: float):
    ours = wilson_interval(successes, count, level)
    theirs = stats.binomtest(successes, count).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= ours.low <= ours.mean <= ours.high <= 1


def test_wilson_interval_by_hand():
    # p = 1/2, n = 4, z² = 3.8415: centre 1/2, reach 1.95996 · √(1/16 + 3.8415/64) / (1 + 3.8415/4) = 0.34996
    interval = wilson_interval(2, 4)
    assert (interval.low, interval.high) == pytest.approx((0.15004, 0.84996), abs=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_wilson_interval_covers_the_share(share: float):
    count = 40
    covered = sum(
        float(stats.binom.pmf(successes, count, share))
        for successes in range(count + 1)
        if wilson_interval(successes, count).low <= share <= wilson_interval(successes, count).high
    )
    assert 0.93 < covered < 0.98


def test_wilson_interval_of_one_or_no_trial():
    assert wilson_interval(1, 1).mean == 1
    assert math.isnan(wilson_interval(1, 1).low)
    assert math.isnan(wilson_interval(0, 0).mean)
