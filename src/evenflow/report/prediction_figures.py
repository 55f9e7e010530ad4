"""Pictures of what theory says: the gradient of every layer, and where an initialisation stands among all.

Gradients are drawn as log10 on a linear axis with powers of ten beside it, since those of a deep network leave
the range of a float.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.record.table import Table
from evenflow.report.figures.picture import layer_ticks
from evenflow.report.forecast import FLOAT32_ZERO, Layers, layers_of
from evenflow.report.style import COLOURS, GUIDE, LineStyle, themed
from evenflow.report.wording import from_log, plural, raised

if TYPE_CHECKING:
    import plotly.graph_objects as go

Array = NDArray[np.float64]

# a dark and a light colour, which a print in grey keeps apart; the dashes and markers do too
_PREDICTED = LineStyle(COLOURS[0], "solid", "circle")
_MEASURED = LineStyle(COLOURS[5], "dash", "square")
_SHARE = 0.06  # of the axis, left free at its ends


def prediction_figure(predicted: Table, drawn: Table | None = None, *, theme: str = "light") -> go.Figure:
    """The predicted gradient of every layer with its spread, and the drawn networks over it.

    Args:
        predicted: a table of one prediction.
        drawn: a table with one run a seed.
        theme: `light` or `dark`.

    Raises:
        SpecError: there is no gradient to draw.
    """
    import plotly.graph_objects as go

    layers = layers_of(predicted, drawn)
    if not np.isfinite(layers.log).any() and not np.isfinite(layers.measured).any():
        raise SpecError("prediction_figure: the table holds no predicted gradient that is a finite number")
    low, high = _range(layers)
    traces = [*_bands(layers), _predicted_line(layers), *_measured(layers, low)]
    deepest = int(layers.depth[-1])
    layout: dict[str, Any] = {
        "template": "none",
        "height": 480,
        "width": 900,
        "margin": {"l": 70, "r": 20, "t": 60, "b": 60},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemwidth": 40},
        "xaxis": {
            "title": {"text": "layer, from input to output", "standoff": 10},
            "range": [1 - 0.02 * deepest - 0.2, deepest * 1.02 + 0.2],
            "tickvals": layer_ticks(deepest),
            "showline": True,
            "ticks": "outside",
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {
            "title": {"text": "gradient norm of the weights", "standoff": 8},
            "range": [low, high],
            "showline": True,
            "ticks": "outside",
            "zeroline": False,
            **_power_ticks(low, high),
        },
    }
    if low < FLOAT32_ZERO < high:
        layout |= _float32_line()
    return go.Figure(data=traces, layout=themed(layout, theme))


def _bands(layers: Layers) -> list[dict[str, Any]]:
    known = np.isfinite(layers.log) & (layers.deviation > 0)
    if not known.any():
        return []
    x, mean, deviation = layers.depth[known], layers.log[known], layers.deviation[known]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": np.concatenate([x, x[::-1]]),
            "y": np.concatenate([mean - times * deviation, (mean + times * deviation)[::-1]]),
            "fill": "toself",
            "fillcolor": _PREDICTED.faded(opacity),
            "line": {"width": 0},
            "hoverinfo": "skip",
            "name": name,
            "legendrank": times + 1,
        }
        for times, opacity, name in ((2, 0.15, "± 2"), (1, 0.25, "± 1 standard deviation"))
    ]


def _predicted_line(layers: Layers) -> dict[str, Any]:
    words = [
        f"{from_log(float(mean))}" + (f", a factor of {10**sd:.2g} either way" if sd > 0 else "")
        for mean, sd in zip(layers.log, layers.deviation, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": layers.depth,
        "y": _finite(layers.log),
        "line": {"color": _PREDICTED.colour, "dash": _PREDICTED.dash, "width": 2.5},
        "customdata": words,
        "hovertemplate": "predicted, layer %{x}: %{customdata}<extra></extra>",
        "name": "predicted mean",
        "legendrank": 1,
    }


def _measured(layers: Layers, low: float) -> list[dict[str, Any]]:
    count = len(layers.seeds)
    if not count:
        return []
    seeds, places = np.nonzero(np.isfinite(layers.seeds))
    logs = layers.seeds[seeds, places]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": layers.depth[places],
        "y": logs,
        "marker": {"symbol": "line-ew-open", "size": 7, "color": GUIDE, "opacity": 0.75},
        "customdata": [
            f"{from_log(float(log))} (network {seed + 1})" for log, seed in zip(logs, seeds, strict=True)
        ],
        "hovertemplate": "measured, layer %{x}: %{customdata}<extra></extra>",
        "name": "measured, each",
        "legendrank": 5,
    }
    mean = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": layers.depth,
        "y": _finite(layers.measured),
        "error_y": {
            "array": np.nan_to_num(layers.measured_deviation),
            "color": _MEASURED.colour,
            "thickness": 1.5,
            "width": 3,
        },
        "line": {"color": _MEASURED.colour, "dash": _MEASURED.dash, "width": 1.5},
        "marker": {
            "symbol": _MEASURED.marker,
            "size": 7 if len(layers) <= 40 else 5,
            "color": _MEASURED.colour,
            "line": {"color": "#000000", "width": 0.8},
        },
        "customdata": [from_log(float(log)) for log in layers.measured],
        "hovertemplate": f"mean of {plural(count, 'network')}, layer %{{x}}: %{{customdata}}<extra></extra>",
        "name": f"measured mean of {count}, ± 1" if count > 1 else "measured mean of 1",
        "legendrank": 4,
    }
    zero = np.flatnonzero(layers.zeros)
    edge = {
        "type": "scatter",
        "mode": "markers",
        "x": layers.depth[zero],
        "y": [low] * len(zero),
        "marker": {"symbol": "triangle-down", "size": 10, "color": _MEASURED.colour},
        "cliponaxis": False,
        "customdata": [f"{layers.zeros[place]} of {plural(count, 'network')}" for place in zero],
        "hovertemplate": "layer %{x}: exactly 0 in %{customdata}<extra></extra>",
        "name": "measured exactly 0",
        "legendrank": 6,
    }
    return [points, mean, edge] if len(zero) else [points, mean]


def _range(layers: Layers) -> tuple[float, float]:
    spread = 2 * np.nan_to_num(layers.deviation)
    ends = np.concatenate([layers.log - spread, layers.log + spread, layers.seeds.ravel()])
    ends = ends[np.isfinite(ends)]
    low, high = float(ends.min()), float(ends.max())
    margin = max(0.15, _SHARE * (high - low))
    return low - margin, high + margin


def _power_ticks(low: float, high: float, most: int = 8) -> dict[str, Any]:
    """Names at round places of an axis that shows log10, whatever its range."""
    first, last = math.ceil(low), math.floor(high)
    sizes = (part * 10**power for power in range(9) for part in (1, 2, 5))
    step = next(size for size in sizes if (last - first) / size < most)
    exponents = [exponent for exponent in range(first, last + 1) if exponent % step == 0]
    if len(exponents) < 3:  # between two decades
        values = [place + math.log10(part) for place in range(first - 1, last + 1) for part in (1, 2, 5)]
        values = [value for value in values if low <= value <= high]
        return {"tickvals": values, "ticktext": [from_log(value, 1) for value in values]}
    names = {0: "1", 1: "10"}
    return {
        "tickvals": exponents,
        "ticktext": [names.get(exponent, f"10{raised(exponent)}") for exponent in exponents],
    }


def _float32_line() -> dict[str, Any]:
    line = {"color": GUIDE, "dash": "dot", "width": 1.5}
    place = {"xref": "paper", "y": FLOAT32_ZERO, "yref": "y"}
    return {
        "shapes": [
            {
                "type": "line",
                "x0": 0,
                "x1": 1,
                "y0": FLOAT32_ZERO,
                "y1": FLOAT32_ZERO,
                "xref": "paper",
                "line": line,
            }
        ],
        "annotations": [
            {
                "text": "below: 0 in float32",
                "x": 1,
                "xanchor": "right",
                "yanchor": "top",
                "showarrow": False,
                "font": {"size": 11},
                **place,
            }
        ],
    }


def _finite(values: Array) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
