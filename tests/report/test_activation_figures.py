"""What the pictures hold: the right curves, and styles that differ without colour."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from evenflow.errors import SpecError
from evenflow.report.activation_figures import activation_figure
from evenflow.spec.activation import activation, activation_names

EIGHT = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "elu", "gelu", "silu")


def drawn(names, **options) -> Any:
    return activation_figure(names, **options)


def lines(figure, axis):
    return [trace for trace in figure.data if trace.mode == "lines" and (trace.xaxis or "x") == axis]


def test_functions_on_the_left_and_derivatives_on_the_right():
    figure = drawn(EIGHT)
    assert [note.text for note in figure.layout.annotations] == ["f(z)", "f'(z)"]
    for axis, left in (("x", True), ("x2", False)):
        found = lines(figure, axis)
        assert [trace.name for trace in found] == [activation(name).title for name in EIGHT]
        for trace, name in zip(found, EIGHT, strict=True):
            one = activation(name)
            z = np.asarray(trace.x, dtype=float)
            assert np.asarray(trace.y) == pytest.approx((one if left else one.derivative)(z))
            assert (z.min(), z.max()) == (-4.0, 4.0)


def test_the_jump_of_relus_slope_stands_upright():
    (right,) = lines(drawn(["relu"]), "x2")
    z, slope = np.asarray(right.x), np.asarray(right.y)
    jump = int(np.flatnonzero(np.diff(slope))[0])
    assert z[jump + 1] - z[jump] < 1e-8


def test_curves_differ_in_dash_and_marker_not_in_colour_only():
    figure = drawn(EIGHT)
    legend = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [trace.name for trace in legend] == [activation(name).title for name in EIGHT]
    assert len({trace.line.dash for trace in legend}) == len(EIGHT)
    assert len({trace.marker.symbol for trace in legend}) == len(EIGHT)
    assert {trace.legendgroup for trace in figure.data} == set(EIGHT)  # one click hides every part of a curve
    assert sum(trace.showlegend is not False for trace in figure.data) == len(EIGHT)


def test_markers_of_different_curves_stand_apart():
    markers = [trace for trace in drawn(EIGHT).data if trace.mode == "markers" and trace.xaxis == "x"]
    places = sorted(place for trace in markers for place in trace.x)
    assert len(places) == 4 * len(EIGHT)
    assert min(np.diff(places)) > 0.15


def test_more_than_eight_get_panels_of_their_own_with_relu_behind():
    figure = drawn(activation_names()[:15])
    titles = [note.text for note in figure.layout.annotations]
    assert titles[::2] == [f"{activation(name).title}: f" for name in activation_names()[:15]]
    assert set(titles[1::2]) == {"f'"}
    assert len(figure.data) == 15 * 4
    behind, front = figure.data[:2]
    assert np.asarray(behind.y) == pytest.approx(activation("relu")(np.asarray(behind.x)))
    assert np.asarray(front.y) == pytest.approx(activation("sigmoid")(np.asarray(front.x)))
    assert behind.line.dash != front.line.dash


def test_the_slope_of_hardswish_fits_into_its_panel():
    figure = drawn(activation_names()[:15])
    index = activation_names().index("hardswish")
    trace = figure.data[4 * index + 3]
    low, high = figure.layout[f"yaxis{2 * index + 2}"].range
    assert low < min(trace.y)
    assert max(trace.y) < high


def test_one_twice_is_one():
    assert len(lines(drawn(["silu", "swish"]), "x")) == 1


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "activation_figure: no activation to draw; name at least one"),
        (
            ["relu"],
            {"low": 1.0, "high": 1.0},
            "activation_figure: the range of z from 1 to 1 is empty; low must be below high",
        ),
    ],
)
def test_nothing_to_draw_says_so(names, options, message):
    with pytest.raises(SpecError) as caught:
        drawn(names, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(("code", "loaded"), [("", False), ("activation_figure(['relu'])", True)])
def test_plotly_is_loaded_only_to_draw(code, loaded):
    script = f"""
import sys
import evenflow.report.export
from evenflow.report.activation_figures import activation_figure
{code}
print("plotly" in sys.modules, "torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(loaded), "False"]
