"""Lines over the layers for the flow figure, the marks at their edges, and axes of orders of magnitude."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.report.figures.maps import decades
from evenflow.report.figures.picture import plain
from evenflow.report.style import LineStyle
from evenflow.report.wording import from_log, plot_text

Array = NDArray[np.float64]

_MARGIN = 0.05
_ZERO = {"symbol": "triangle-down", "size": 9}
BROKEN = {"symbol": "x-thin", "size": 9, "color": "#d0021b", "line": {"width": 2, "color": "#d0021b"}}


def span(logs: Array, margin: float = _MARGIN) -> tuple[float, float]:
    """Limits of an axis that shows these orders of magnitude, never less than half a decade either way."""
    known = logs[np.isfinite(logs)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    if high - low < 1:
        low, high = low - 0.5, high + 0.5
    return low - margin * (high - low), high + margin * (high - low)


def magnitude_axis(low: float, high: float) -> dict[str, Any]:
    """An axis that shows log10, with powers of ten beside it."""
    # powers below the smallest float have no value that a tick could be computed from
    ticks = decades(max(low, -320.0), min(high, 300.0))
    return {"range": [low, high], "tickvals": list(ticks), "ticktext": list(ticks.values())}


def line(
    x: NDArray[Any],
    values: Array,
    broken: NDArray[np.bool_],
    names: Sequence[str],
    name: str,
    style: LineStyle,
    edges: tuple[float, float],
    *,
    width: float,
    say: Callable[[float], str] = from_log,
    where: str = "",
) -> list[dict[str, Any]]:
    """A line with its marks at the edges of the panel, as traces."""
    labels = np.array([plot_text(one) for one in names], dtype=object)
    kept = ~broken & (values != -np.inf)
    words = [
        f"{label}, {where or name}: {say(value)}" if math.isfinite(value) else ""
        for label, value in zip(labels, values, strict=True)
    ]
    # markers would run together where layers stand closer than they are wide
    small = {"symbol": style.marker, "size": 6 if len(x) <= 60 else 2, "color": style.colour}
    look = {"line": {"color": style.colour, "dash": style.dash, "width": width}, "marker": small}
    y = plain(np.where(kept, values, np.nan))
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines+markers", "x": plain(x), "y": y, "name": name, **look}
        | {"customdata": words, "hovertemplate": "%{customdata}<extra></extra>"}
    ]
    for there, edge, mark, text in (
        (values == -np.inf, edges[0], _ZERO | {"color": style.colour}, "exactly 0"),
        (broken, edges[1], BROKEN, "NaN or infinite"),
    ):
        if not there.any():
            continue
        at = {"x": plain(x[there]), "y": [edge] * int(there.sum()), "cliponaxis": False}
        words = [f"{label}, {where or name}: {text}" for label in labels[there]]
        hover = {"customdata": words, "hovertemplate": "%{customdata}<extra></extra>", "showlegend": False}
        traces.append({"type": "scatter", "mode": "markers", "name": text, "marker": mark, **at, **hover})
    return traces
