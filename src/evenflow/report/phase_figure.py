"""The phase diagram as a picture: χ₁ over the plane (σ_w², σ_b²), the critical line, and where you are.

One scale of lightness runs from vanishing to exploding gradients, so that a print in grey still reads; lines and
marks are black with a white rim, which shows on all of it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.report.phase_marks import (
    BLACK,
    WHITE,
    known_marks,
    known_names,
    known_points,
    network_mark,
    network_name,
    region_names,
    spots,
)
from evenflow.report.style import HEAT, themed
from evenflow.report.wording import number, plot_text
from evenflow.spec.activation import Activation, activation
from evenflow.theory.critical import LARGEST, LEAST, CriticalLine, critical_line, critical_values
from evenflow.theory.phase_map import PhaseMap, phase_map

if TYPE_CHECKING:
    import plotly.graph_objects as go

Array = NDArray[np.float64]

_COLUMNS, _ROWS = 121, 81
_LEAST_WEIGHT, _LEAST_BIAS = 4.0, 0.5  # what every diagram covers at least
_MOST_WEIGHT = 200.0  # how far a diagram follows a critical line that begins far out
_TICKS = (0.4, 0.5, 0.7, 1, 1.4, 2, 2.5)  # of χ₁; the scale ends with the first and the last


def phase_figure(
    function: Activation | str,
    point: tuple[float, float] | None = None,
    *,
    name: str = "your network",
    width: int = 128,
    theme: str = "light",
) -> go.Figure:
    """The phase diagram of an activation.

    Args:
        function: an activation or its name.
        point: σ_w² and σ_b² of a network to be marked.
        name: of that network.
        width: units of a layer, on which the σ_b² of PyTorch's initialisation depends.
        theme: `light` or `dark`.

    Raises:
        SpecError: a variance is out of range, or E[f²] is not finite.
    """
    import plotly.graph_objects as go

    function = activation(function)
    line = critical_line(function)
    right, top = _reach(function, line, point)
    found = phase_map(
        function, np.linspace(right / (2 * _COLUMNS), right, _COLUMNS), np.linspace(0, top, _ROWS)
    )
    known = known_points(width)
    mine = [one for one, place in known.items() if point is not None and np.allclose(place, point)]
    traces = [
        _heat(found),
        *_growing(found, right, top),
        *_critical(function, line, right, top),
        *known_marks(known),
    ]
    others = {one: place for one, place in known.items() if one not in mine}
    notes = [*region_names(found, point), *known_names(others, right)]
    if point is not None:
        traces.append(network_mark(point, name))
        notes.append(network_name(point, " = ".join([name, *mine]), right))
    return go.Figure(data=traces, layout=themed(_layout(function, line, right, top, notes), theme))


def _reach(
    function: Activation, line: CriticalLine, point: tuple[float, float] | None
) -> tuple[float, float]:
    """The largest σ_w² and σ_b² of the diagram: the usual ones, the network's, and where the critical line begins."""
    right, top = _LEAST_WEIGHT, _LEAST_BIAS
    if 0 < line.starts < math.inf:
        weight = float(critical_values(function, line.starts)[0])
        right = max(right, 1.4 * weight if 1.4 * weight <= _MOST_WEIGHT else 0.0)
    if point is not None:
        right, top = max(right, 1.25 * point[0]), max(top, 1.25 * point[1])
    _, weights, biases, _ = _curve(function, line)
    inside = (biases >= 0) & (weights <= right)
    if inside.any():
        top = max(top, min(float(biases[inside].max()), right / 4))
    return right, top


def _curve(function: Activation, line: CriticalLine) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """q*, σ_w² and σ_b² along the critical line, and whether the variance is stable there."""
    q = np.geomspace(LEAST, LARGEST, 201)
    extra = [one for one in (line.starts, line.stable_from) if 0 < one < math.inf]
    q = np.unique(np.concatenate([q, extra]))
    weights, biases = critical_values(function, q)
    return q, weights, np.where(q == line.starts, np.maximum(biases, 0.0), biases), q >= line.stable_from


def _heat(found: PhaseMap) -> dict[str, Any]:
    with np.errstate(divide="ignore"):
        logs = np.log10(found.chi)
    fate = np.where(found.variance == math.inf, "grows without bound", "")
    fate = np.where(found.variance == 0, "fades", fate)
    return {
        "type": "heatmap",
        "x": found.weight_variances,
        "y": found.bias_variances,
        "z": np.clip(logs, -9, 9),
        "customdata": np.stack([found.chi, found.variance], axis=-1),
        "text": np.where(fate == "", [[number(float(q), 3) for q in row] for row in found.variance], fate),
        "hovertemplate": "σ_w² %{x:.3g}, σ_b² %{y:.3g}<br>χ₁ %{customdata[0]:.3g}<br>variance %{text}<extra></extra>",
        "colorscale": HEAT,
        "zmin": math.log10(_TICKS[0]),
        "zmax": math.log10(_TICKS[-1]),
        "zsmooth": "best",
        "colorbar": {
            "title": {
                "text": "χ₁: factor on the squared gradient per layer",
                "side": "top",
                "font": {"size": 12},
            },
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -0.16,
            "yanchor": "top",
            "len": 0.98,
            "thickness": 10,
            "outlinewidth": 0,
            "tickvals": [math.log10(tick) for tick in _TICKS],
            "ticktext": [f"{tick:g}" for tick in _TICKS],
        },
    }


def _growing(found: PhaseMap, right: float, top: float) -> list[dict[str, Any]]:
    """The region where the variance grows without bound, hatched."""
    edge = np.minimum(found.grows_from, right)
    if edge.min() >= right:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [*edge, 1.1 * right, 1.1 * right],
            "y": [*found.bias_variances, top, 0.0],
            "fill": "toself",
            "fillcolor": "rgba(255,255,255,0)",
            "fillpattern": {
                "shape": "/",
                "fgcolor": "rgba(0,0,0,0.45)",
                "bgcolor": "rgba(0,0,0,0)",
                "size": 10,
            },
            "line": {"color": BLACK, "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
            "name": "variance grows without bound",
        }
    ]


def _critical(function: Activation, line: CriticalLine, right: float, top: float) -> list[dict[str, Any]]:
    if line.kind == "none":
        return []
    if line.kind == "scale-invariant":
        weight = float(critical_values(function, 1.0)[0])
        drawn = _rimmed([weight, weight], [0, top], "χ₁ = 1; the variance stays only at σ_b² = 0", "dash")
        spot = spots([weight], [0], "diamond", "critical: χ₁ = 1 and the variance stays")
        return [*drawn, spot]
    q, weights, biases, stable = _curve(function, line)
    # a little more than the frame, so that the line leaves it rather than ends in it
    inside = (biases >= 0) & (biases <= 1.2 * top) & (weights <= 1.2 * right)
    traces = []
    for kept, name, dash in (
        (inside & (q <= line.stable_from), "critical, but the variance drifts away", "dot"),
        (inside & stable, "critical: χ₁ = 1", "solid"),
    ):
        if kept.sum() > 1:
            traces += _rimmed(weights[kept], biases[kept], name, dash)
    return traces


def _rimmed(x: Any, y: Any, name: str, dash: str) -> list[dict[str, Any]]:
    """A black line with a white rim."""
    line = {"type": "scatter", "mode": "lines", "x": x, "y": y, "hoverinfo": "skip", "legendgroup": name}
    return [
        {**line, "line": {"color": WHITE, "width": 6}, "opacity": 0.8, "showlegend": False},
        {**line, "line": {"color": BLACK, "width": 2.5, "dash": dash}, "name": name},
    ]


def _layout(
    function: Activation, line: CriticalLine, right: float, top: float, notes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    head = [f"<b>{plot_text(function.title)}: the phase diagram</b>", *textwrap.wrap(line.verdict, 56)]
    axis = {"showline": True, "ticks": "outside", "showgrid": False, "zeroline": False}
    return {
        "template": "none",
        "width": 900,
        "height": 640 + 18 * len(head),
        "margin": {"l": 60, "r": 20, "t": 30 + 18 * len(head), "b": 150},
        "title": {
            "text": "<br>".join([head[0], *head[1:]]),
            "font": {"size": 13},
            "x": 0.02,
            "y": 1,
            "yanchor": "top",
            "xanchor": "left",
            "pad": {"t": 12},
        },
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": -0.3, "yanchor": "top", "itemwidth": 40}
        | {"bgcolor": WHITE, "font": {"color": BLACK}},  # its lines are black on any page
        "xaxis": {"title": {"text": "weight variance σ<sub>w</sub>²"}, "range": [0, right], **axis},
        "yaxis": {
            "title": {"text": "bias variance σ<sub>b</sub>²", "standoff": 6},
            "range": [-0.04 * top, top],
            **axis,
        },
        "annotations": list(notes),
    }
