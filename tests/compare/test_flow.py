"""Figures of gradient flow from tables written by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evenflow.compare import flows
from evenflow.compare.flow import flow_at
from evenflow.record.table import Table


def flow_of(study, run, norms, **more):
    content = {"accuracies": {0: 0.1, 20: 0.2}, "norms": norms}
    return flows(study((run(**more), content)))[0]


def test_ratio_and_slope_at_start_and_end(study, run):
    found = flow_of(study, run, {0: (1e-6, 1e-4, 1e-2), 10: (1, 1, 1), 20: (1e-2, 1e-3, 1e-3)})
    assert (found.start.step, found.end.step) == (0, 20)
    assert found.start.log_ratio == pytest.approx(-4)
    assert found.start.slope == pytest.approx(2)
    assert found.end.log_ratio == pytest.approx(1)
    assert found.end.slope == pytest.approx(-0.5)
    assert (found.start.zero_layers, found.start.nonfinite_layers) == (0, 0)


def test_slope_equals_numpys():
    rng = np.random.default_rng(0)
    layers, norms = np.arange(1, 22), 10 ** rng.normal(-3, 2, 21)
    theirs = np.polyfit(layers, np.log10(norms), 1)[0]
    assert flow_at(0, layers, norms).slope == pytest.approx(theirs, rel=1e-12)


def test_a_norm_of_0_is_reported(study, run):
    found = flow_of(study, run, {0: (0.0, 0.0, 1e-2), 20: (1e-3, 0.0, 1e-2)})
    assert found.start.log_ratio == -math.inf
    assert (found.start.zero_layers, found.end.zero_layers) == (2, 1)
    assert math.isnan(found.start.slope)
    assert found.end.log_ratio == pytest.approx(-1)
    assert math.isnan(found.end.slope)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0.0, 0.0, math.nan), (1.0, 0.0, math.inf), (math.inf, 1.0, math.nan), (1.0, math.nan, math.nan)],
)
def test_ratios_without_a_number(first: float, last: float, expected: float):
    found = flow_at(3, np.array([1, 2, 3]), np.array([first, 1.0, last]))
    assert found.log_ratio == pytest.approx(expected, nan_ok=True)
    assert found.zero_layers + found.nonfinite_layers == (first == 0) + (last == 0) + (
        not math.isfinite(first)
    ) + (not math.isfinite(last))


def test_norms_far_below_float32_keep_their_ratio():
    assert flow_at(0, np.array([1, 2]), np.array([1e-300, 1e10])).log_ratio == pytest.approx(-310)


def test_a_diverged_run_shows_its_nan(study, run):
    norms = {0: (1.0, 1.0, 1.0), 20: (math.nan, math.inf, 1.0)}
    found = flow_of(study, run, norms, status="diverged")
    assert found.start.log_ratio == 0
    assert math.isnan(found.end.log_ratio)
    assert found.end.nonfinite_layers == 2


def test_a_network_without_a_hidden_layer_has_no_slope():
    found = flow_at(0, np.array([1]), np.array([0.5]))
    assert found.log_ratio == 0
    assert math.isnan(found.slope)


def test_a_run_without_rows(run):
    found = flows(Table.from_rows([run()], []))
    assert len(found) == 1
    assert found[0].start.step == -1
    assert math.isnan(found[0].end.log_ratio)


def test_predicted_rows_are_no_result(study, run):
    measured = study((run(), 0.5))
    predicted = Table.from_rows(
        measured.runs,
        [
            (0, 99, site, "accumulated", {"grad_norm": 5.0})
            for site in measured.sites
            if site.kind == "weight"
        ],
        source="predicted",
    )
    assert flows(measured.concatenate(predicted))[0] == flows(measured)[0]
