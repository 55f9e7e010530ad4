"""What the pictures of a forecast hold: the right curves and places, told apart without colour."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from prediction_tables import drawn_table, predicted_table

from evenflow.errors import SpecError
from evenflow.report.forecast import FLOAT32_ZERO
from evenflow.report.phase_figure import phase_figure
from evenflow.report.phase_marks import known_names, known_points
from evenflow.report.prediction_figures import prediction_figure
from evenflow.theory import critical_line, phase

LOGS = [-6.0, -4.0, -2.0, -1.0]


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data if trace.name}


def grey(colour: str) -> float:
    """How light a colour is in a print in grey, from 0 to 1 (ITU-R BT.709)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))


def test_bands_of_one_and_two_standard_deviations_around_the_mean():
    found = traces(prediction_figure(predicted_table(LOGS, deviation=0.5)))
    assert set(found) == {"predicted mean", "± 1 standard deviation", "± 2"}
    assert list(found["predicted mean"].y) == LOGS
    for name, reach in (("± 1 standard deviation", 0.5), ("± 2", 1.0)):
        y = np.asarray(found[name].y)
        assert y[:4] == pytest.approx(np.array(LOGS) - reach)
        assert y[:3:-1] == pytest.approx(np.array(LOGS) + reach)


def test_the_drawn_networks_stand_over_it():
    norms = [[1e-6, 1e-4, 1e-2, 0.1], [1e-5, 1e-4, 1e-2, 0.1]]
    found = traces(prediction_figure(predicted_table(LOGS), drawn_table(norms)))
    mean = found["measured mean of 2, ± 1"]
    assert list(mean.y) == pytest.approx([-5.5, -4, -2, -1])
    assert mean.error_y.array == pytest.approx([math.sqrt(0.5), 0, 0, 0])
    assert sorted(found["measured, each"].y) == pytest.approx(sorted(np.log10(norms).ravel()))


def test_prediction_and_measurement_differ_without_colour():
    found = traces(prediction_figure(predicted_table(LOGS), drawn_table([[0.1] * 4] * 2)))
    predicted, measured = found["predicted mean"], found["measured mean of 2, ± 1"]
    assert predicted.line.dash != measured.line.dash
    assert abs(grey(predicted.line.color) - grey(measured.line.color)) > 0.2


def test_gradients_far_below_a_float_keep_their_place():
    logs = [-420.0, -210.0, -1.0]
    figure: Any = prediction_figure(predicted_table(logs), drawn_table([[0.0, 1e-210, 0.1]]))
    found = traces(figure)
    assert list(found["predicted mean"].y) == logs
    low, high = figure.layout.yaxis.range
    assert low < -420
    assert high > -1
    assert "10⁻⁴⁰⁰" in figure.layout.yaxis.ticktext
    assert list(found["measured exactly 0"].x) == [1]
    assert figure.layout.shapes[0].y0 == FLOAT32_ZERO


def test_within_a_decade_the_axis_still_has_ticks():
    figure: Any = prediction_figure(predicted_table([-1.0, -0.8], deviation=0.05))
    assert "0.1" in figure.layout.yaxis.ticktext
    assert not figure.layout.shapes


def test_a_missing_figure_leaves_a_gap():
    found = traces(prediction_figure(predicted_table([-2.0, math.nan, -1.0])))
    assert found["predicted mean"].y == (-2.0, None, -1.0)


def test_nothing_to_draw_says_so():
    with pytest.raises(SpecError) as caught:
        prediction_figure(predicted_table([math.nan]))
    assert (
        str(caught.value)
        == "prediction_figure: the table holds no predicted gradient that is a finite number"
    )


def test_light_and_dark():
    grounds = {
        prediction_figure(predicted_table(LOGS), theme=theme).to_dict()["layout"]["paper_bgcolor"]
        for theme in ("light", "dark")
    }
    assert len(grounds) == 2


def labels(figure: Any) -> str:
    return " | ".join(note.text for note in figure.layout.annotations)


def test_the_surface_is_chi_and_the_line_is_where_it_is_1():
    figure: Any = phase_figure("tanh", (2.5, 0.1))
    heat = figure.data[0]
    row, column = 40, 75
    weight, bias = float(heat.x[column]), float(heat.y[row])
    assert heat.customdata[row, column, 0] == pytest.approx(phase("tanh", weight, bias).chi, rel=0.01)
    line = traces(figure)["critical: χ₁ = 1"]
    for place in (60, 90):
        assert phase("tanh", line.x[place], line.y[place]).chi == pytest.approx(1.0, abs=1e-6)
    assert "ordered" in labels(figure)
    assert "chaotic" in labels(figure)
    assert "without bound" not in labels(figure)
    assert traces(figure)["your network"].x == (2.5,)


def test_relu_has_a_level_line_at_2_and_grows_beyond():
    figure: Any = phase_figure("relu", (2.0, 0.0))
    found = traces(figure)
    assert list(found["χ₁ = 1; the variance stays only at σ_b² = 0"].x) == [2.0, 2.0]
    region = found["variance grows without bound"]
    assert region.x[:80] == pytest.approx([2.0] * 80, rel=1e-3)
    assert region.fillpattern.shape == "/"
    assert "your network = He" in labels(figure)


def test_softplus_has_no_line_and_says_so():
    figure: Any = phase_figure("softplus")
    assert not any("critical" in name for name in traces(figure))
    assert figure.layout.title.text.replace("<br>", " ").endswith(critical_line("softplus").verdict)


def test_where_gelu_is_critical_but_drifts_the_line_is_dotted():
    found = traces(phase_figure("gelu"))
    unstable, stable = found["critical, but the variance drifts away"], found["critical: χ₁ = 1"]
    assert (unstable.line.dash, stable.line.dash) == ("dot", "solid")
    point = critical_line("gelu").stable_from
    assert phase("gelu", stable.x[-1], stable.y[-1], start=2 * point).chi == pytest.approx(1.0, abs=1e-6)
    assert (unstable.x[-1], unstable.y[-1]) == pytest.approx((stable.x[0], stable.y[0]))


def test_the_diagram_reaches_the_network_and_the_line():
    figure: Any = phase_figure("tanh", (9.0, 3.0))
    assert figure.layout.xaxis.range[1] > 9
    assert figure.layout.yaxis.range[1] > 3
    figure = phase_figure("sigmoid")
    assert len(traces(figure)["critical: χ₁ = 1"].x) > 1


def test_marks_that_lie_together_share_a_name():
    known = known_points(128)
    assert [note["text"] for note in known_names(known, 4.0)] == ["PyTorch", "LeCun, Xavier", "He"]
    assert [note["text"] for note in known_names(known, 150.0)] == ["PyTorch, LeCun, Xavier, He"]
