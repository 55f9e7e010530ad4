"""Robust lines over depth, against SciPy and against what the interval promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evenflow.diagnose.trends import beginning, decades, line, middle, outer


def test_the_slope_is_that_of_theil_and_sen():
    draw = np.random.default_rng(0)
    depths = np.arange(15.0)
    values = -0.4 * depths + draw.normal(size=15)
    found = line(depths, values)
    slope, _, low, high = stats.theilslopes(values, depths, alpha=0.95)
    assert found is not None
    assert found.slope == pytest.approx(slope)
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


@pytest.mark.parametrize("points", [5, 12, 30])
def test_the_interval_holds_the_true_slope_as_often_as_it_says(points):
    draw = np.random.default_rng(points)
    depths = np.arange(float(points))
    held = [
        found.low <= 0.3 <= found.high
        for _ in range(400)
        if (found := line(depths, 0.3 * depths + draw.standard_t(2, size=points))) is not None
    ]
    assert len(held) == 400
    assert np.mean(held) >= 0.92


def test_noise_alone_is_hardly_ever_a_trend():
    draw = np.random.default_rng(1)
    lines = [line(np.arange(12.0), draw.normal(size=12)) for _ in range(300)]
    trends = np.mean([one is not None and (one.rises or one.falls) for one in lines])
    assert 0.0 < trends < 0.09


def test_a_third_of_wrong_layers_does_not_bend_the_line():
    values = np.arange(12.0)
    values[[1, 5, 9]] = [90.0, -70.0, 55.0]
    found = line(np.arange(12.0), values)
    assert found is not None
    assert found.slope == pytest.approx(1.0, abs=0.1)
    assert found.rises


def test_two_points_are_no_trend():
    assert line(np.array([0.0, 1.0]), np.array([1.0, 2.0])) is None
    assert line(np.arange(4.0), np.array([1.0, np.nan, np.nan, 2.0])) is None


def test_zeros_and_nan_have_no_decades():
    assert np.isnan(decades(np.array([0.0, -1.0, np.nan, np.inf]))).all()
    assert decades(np.array([1e-300, 1e300])).tolist() == pytest.approx([-300.0, 300.0])


def test_the_beginning_is_the_first_that_was_measured():
    values = np.array([[1.0, 0.0, np.nan], [5.0, 4.0, np.nan], [5.0, 6.0, 0.5]])
    assert beginning(values).tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(beginning(np.zeros((0, 2)))).all()


def test_medians_leave_out_what_is_missing():
    assert middle(np.array([[1.0, np.nan], [np.nan, np.nan], [5.0, np.nan]]))[0] == 3.0
    assert np.isnan(outer(np.array([np.nan]))).all()
    assert outer(np.array([7.0])) == (7.0, 7.0)
