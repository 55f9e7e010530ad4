"""What stands in the four panels of the flow figure, as plain data for Plotly.

The layer is across in every panel, so that one place of the pointer reads all of them. Orders of magnitude are
drawn as log10. What has none is marked: exactly 0 at the lower edge, NaN or infinite at the upper one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.report.figures.maps import decades
from evenflow.report.figures.picture import plain
from evenflow.report.flow_layers import FlowLayers, Readings, readings
from evenflow.report.flow_traces import BROKEN, line, magnitude_axis, span
from evenflow.report.series import thinned
from evenflow.report.style import COLOURS, GUIDE, HEAT, LineStyle
from evenflow.report.wording import from_log, plot_text

Array = NDArray[np.float64]

SOUND = (-4.0, -2.0)
"""log10 of update over weight in most trainings that go well, around one thousandth."""
_MAP_STEPS = 120
_UPDATE = LineStyle(COLOURS[0], "solid", "circle")
_DEAD = LineStyle(COLOURS[1], "solid", "circle")
_SATURATED = LineStyle(COLOURS[4], "dash", "square-open")
_OUTPUT = LineStyle(COLOURS[6], "dot", "diamond-open")


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel.

    Args:
        title: what it shows.
        unit: title of its vertical axis.
        traces: without axes.
        axis: what its vertical axis has beside the title.
        second: of a vertical axis on the right; empty for none. Traces with `"second": True` belong to it.
        shapes: behind the traces; x from 0 to 1 across the panel.
        missing: what to say where there is nothing to draw.
    """

    title: str
    unit: str
    traces: Sequence[dict[str, Any]]
    axis: dict[str, Any]
    second: dict[str, Any]
    shapes: Sequence[dict[str, Any]] = ()
    missing: str = ""


def gradient_panel(layers: FlowLayers, lines: int, dark: bool) -> Panel:
    """The gradient norm of every layer at so many of the steps, the last one thickest."""
    from plotly.colors import sample_colorscale

    found = layers.gradients
    title = "gradient norm at step …"
    places = thinned(np.arange(len(found.steps)), lines)
    if not len(places):
        return Panel(title, "", [], {}, {}, missing="no gradient recorded")
    low, high = span(found.logs[places])
    x = np.arange(1, len(layers) + 1)
    # neither the end that vanishes on white nor the one that vanishes on black
    last, first = (1.0, 0.3) if dark else (0.0, 0.85)
    parts = np.linspace(last, first, len(places))[::-1]
    traces = []
    for order, (place, colour) in enumerate(
        zip(places, map(str, sample_colorscale(HEAT, parts.tolist())), strict=True)
    ):
        now = order == len(places) - 1
        style = LineStyle(colour, "solid" if now else "dot" if order == 0 else "dash", "circle")
        name = f"{found.steps[place]:,}"
        one = found.logs[place], found.broken[place]
        width = 2.5 if now else 1.4
        traces += line(x, *one, layers.names, name, style, (low, high), width=width, where=f"step {name}")
    return Panel(title, "", traces, magnitude_axis(low, high), {})


def map_panel(layers: FlowLayers) -> Panel:
    """log10 of the gradient norm, layer × step."""
    found = layers.gradients
    title = "gradient norm through training"
    if not len(found.steps):
        return Panel(title, "", [], {}, {}, missing="no gradient recorded")
    places = thinned(np.arange(len(found.steps)), _MAP_STEPS)
    steps, logs, broken = found.steps[places], found.logs[places], found.broken[places]
    low, high = span(logs, margin=0.0)
    ticks = decades(low, high)
    x = np.arange(1, len(layers) + 1)
    names = [[plot_text(name) for name in layers.names]] * len(steps)
    words = [[from_log(log) if not math.isnan(log) else "" for log in row] for row in logs]
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "x": plain(x),
            "y": plain(steps),
            "z": plain(logs),
            "text": words,
            "customdata": names,
            "hovertemplate": "%{customdata}, step %{y}: %{text}<extra></extra>",
            "hoverongaps": False,
            "colorscale": HEAT,
            "zmin": low,
            "zmax": high,
            "colorbar": {
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": list(ticks),
                "ticktext": list(ticks.values()),
            },
        }
    ]
    zero = {"symbol": "circle", "size": 4, "color": "#ffffff", "line": {"width": 1, "color": "#000000"}}
    for there, ground, mark, text in (
        (logs == -np.inf, "#000000", zero, "exactly 0"),
        (broken, "#ffffff", BROKEN | {"size": 5}, "NaN or infinite"),
    ):
        rows, columns = np.nonzero(there)
        if not len(rows):
            continue
        flat = {"colorscale": [[0, ground], [1, ground]], "showscale": False, "hoverinfo": "skip"}
        z = plain(np.where(there, 1.0, np.nan))
        traces.append({"type": "heatmap", "x": plain(x), "y": plain(steps), "z": z, **flat})
        marks = {"x": plain(x[columns]), "y": plain(steps[rows]), "mode": "markers", "marker": mark}
        said = [plot_text(layers.names[place]) for place in columns]
        hover = f"%{{customdata}}, step %{{y}}: {text}<extra></extra>"
        hidden = {"customdata": said, "hovertemplate": hover, "showlegend": False}
        traces.append({"type": "scatter", "name": text, **marks, **hidden})
    axis = {"showgrid": False, "tickformat": ",d", "nticks": 6}
    if len(steps) == 1:
        axis |= {"tickvals": plain(steps)}
    return Panel(title, "step", traces, axis, {})


def update_panel(layers: FlowLayers) -> Panel:
    """The size of the last update relative to the weight, and its range through training."""
    found = layers.own("update_to_weight")
    title = "update / weight (grey: 10⁻⁴ to 10⁻²)"
    if not len(found.steps):
        return Panel(title, "", [], {}, {}, missing="no update recorded")
    low, high = span(np.concatenate([found.logs.ravel(), np.array(SOUND)]))
    x = np.arange(1, len(layers) + 1)
    traces = []
    if len(found.steps) > 1:
        traces.append(_range_band(x, found))
    name = f"step {found.steps[-1]:,}"
    traces += line(x, found.logs[-1], found.broken[-1], layers.names, name, _UPDATE, (low, high), width=2.0)
    band = {"type": "rect", "y0": SOUND[0], "y1": SOUND[1], "fillcolor": GUIDE, "opacity": 0.18}
    guide = {"type": "line", "y0": -3, "y1": -3, "line": {"color": GUIDE, "dash": "dot", "width": 1.5}}
    shapes = [band | {"line": {"width": 0}, "layer": "below"}, guide | {"layer": "below"}]
    return Panel(title, "", traces, magnitude_axis(low, high), {}, shapes)


def signal_panel(layers: FlowLayers) -> Panel:
    """Dead and saturated shares of every activation now, and the size of its output on an axis of its own."""
    title = "activations: dead, saturated; output rms"
    traces: list[dict[str, Any]] = []
    for statistic, name, style in (
        ("dead_fraction", "dead", _DEAD),
        ("saturated_fraction", "saturated", _SATURATED),
    ):
        x, names, values, broken = _activations(layers, statistic)
        if len(x):
            say = _percent
            traces += line(x, values, broken, names, name, style, (0.0, 1.0), width=1.8, say=say)
    x, names, values, broken = _activations(layers, "rms")
    second: dict[str, Any] = {}
    if len(x):
        with np.errstate(divide="ignore"):
            logs = np.log10(np.where(broken, np.nan, values))
        low, high = span(logs)
        for trace in line(x, logs, broken, names, "rms (right)", _OUTPUT, (low, high), width=1.8):
            traces.append(trace | {"second": True})
        second = magnitude_axis(low, high) | {"showgrid": False}
    if not traces:
        return Panel(title, "", [], {}, {}, missing="no activation recorded")
    axis = {"range": [-0.05, 1.05], "tickformat": ".0%", "dtick": 0.25}
    return Panel(title, "", traces, axis, second)


def _range_band(x: NDArray[np.int64], found: Readings) -> dict[str, Any]:
    """From the least to the largest figure that every layer had at any step."""
    logs = np.where(np.isfinite(found.logs), found.logs, np.nan)
    there = ~np.isnan(logs).all(axis=0)
    low, high = np.nanmin(logs[:, there], axis=0), np.nanmax(logs[:, there], axis=0)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": plain(np.concatenate([x[there], x[there][::-1]])),
        "y": plain(np.concatenate([low, high[::-1]])),
        "fill": "toself",
        "fillcolor": _UPDATE.faded(0.2),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "name": "all steps",
    }


def _activations(layers: FlowLayers, statistic: str) -> tuple[Array, list[str], Array, NDArray[np.bool_]]:
    """Place, name, latest figure and break of every activation; several behind one layer stand side by side."""
    sites = layers.of("activation")
    found = readings(layers.table, sites, statistic, ("",))
    if not len(found.steps):
        return np.array([]), [], np.array([]), np.array([], dtype=bool)
    owners = layers.owners(sites)
    counts = np.bincount(owners + 1, minlength=len(layers) + 1)
    seen = np.zeros(len(counts), dtype=np.int64)
    x = np.empty(len(sites))
    for place, owner in enumerate(owners):
        x[place] = owner + 1 + seen[owner + 1] / counts[owner + 1]
        seen[owner + 1] += 1
    return x, [site.name for site in sites], *found.latest


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
