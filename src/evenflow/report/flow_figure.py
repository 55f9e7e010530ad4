"""The flow of one run as a figure: four panels over the layers, from input to output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenflow.errors import SpecError, suggest
from evenflow.record.table import Table
from evenflow.report.figures.picture import WIDE, layer_ticks
from evenflow.report.flow_layers import flow_layers
from evenflow.report.flow_panels import Panel, gradient_panel, map_panel, signal_panel, update_panel
from evenflow.report.flow_terminal import NOTHING
from evenflow.report.style import THEMES, themed

if TYPE_CHECKING:
    import plotly.graph_objects as go

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 62, 52, 52
_HEIGHT, _BETWEEN = 250, 86  # of a panel, and between two that stand one above the other
_MARKS = {"exactly 0": "▼ or black: exactly 0", "NaN or infinite": "× NaN or infinite"}
_NARROW = 480
_GAP = (
    0.13  # of the width, between two columns: room for the axis on the right of one and the left of the other
)


def flow_figure(table: Table, *, columns: int = 2, theme: str = "light") -> go.Figure:
    """Gradient norms by layer and through training, updates relative to weights, and the state of activations.

    Args:
        table: what a probe wrote of one run.
        columns: 2, or 1 for a narrow page.
        theme: `light` or `dark`.

    Raises:
        SpecError: the table holds rows of several runs, or there is no such theme or number of columns.
    """
    import plotly.graph_objects as go

    if columns not in (1, 2):
        raise SpecError(f"flow_figure: columns={columns} cannot be laid out; say 1 or 2")
    if theme not in THEMES:
        raise SpecError(
            f'flow_figure: theme "{theme}" is not known{suggest(theme, THEMES)}; say light or dark'
        )
    layers = flow_layers(table)
    if not len(layers):
        return go.Figure(
            layout=themed(_empty(NOTHING if not len(layers.table) else "No layer recorded."), theme)
        )
    # the first column holds the gradient, the second what explains it
    panels = [
        gradient_panel(layers, 5 if columns == 2 else 3, theme == "dark"),
        update_panel(layers),
        map_panel(layers),
        signal_panel(layers),
    ]
    if columns == 1:
        panels = [panels[place] for place in (0, 2, 1, 3)]
    traces: list[dict[str, Any]] = []
    layout = _layout(len(layers), columns, len(panels))
    for number, panel in enumerate(panels):
        _place(panel, number, columns, layout, traces, len(panels))
    _explain(layout, {trace["name"] for trace in traces if trace.get("showlegend") is False})
    return go.Figure(data=traces, layout=themed(layout, theme))


def _explain(layout: dict[str, Any], marks: set[str]) -> None:
    """A line at the foot for the marks that are there."""
    said = [text for name, text in _MARKS.items() if name in marks]
    if said:
        note = {"text": ", ".join(said), "xref": "paper", "yref": "paper", "x": 0, "y": 0, "xanchor": "left"}
        place = {"yanchor": "top", "yshift": -_BOTTOM, "showarrow": False, "font": {"size": 11}}
        layout["annotations"].append(note | place)
        layout["margin"] |= {"b": _BOTTOM + 24}
        layout["height"] += 24


def _layout(count: int, columns: int, panels: int) -> dict[str, Any]:
    """Everything that does not belong to one panel. Panels of one column share their horizontal axis."""
    rows = panels // columns
    layout: dict[str, Any] = {
        "template": "none",
        "width": WIDE if columns == 2 else _NARROW,
        "height": rows * _HEIGHT + (rows - 1) * _BETWEEN + _TOP + _BOTTOM,
        "margin": {"l": _LEFT, "r": _RIGHT, "t": _TOP, "b": _BOTTOM},
        "hovermode": "x",
        "hoversubplots": "axis",
        "annotations": [],
        "shapes": [],
    }
    share = (1 - (columns - 1) * _GAP) / columns
    for column in range(columns):
        start = column * (share + _GAP)
        axis = {
            "domain": [start, start + share],
            "range": [0.5, count + 0.5],
            "title": {"text": "layer, from input to output", "standoff": 10},
            "tickvals": layer_ticks(count),
            "showline": True,
            "ticks": "outside",
            "showgrid": False,
            "zeroline": False,
            "anchor": f"y{_number((rows - 1) * columns + column)}",
        }
        layout[f"xaxis{_number(column)}"] = axis | ({"matches": "x"} if column else {})
    return layout


def _place(
    panel: Panel, number: int, columns: int, layout: dict[str, Any], traces: list[dict[str, Any]], panels: int
) -> None:
    """Add one panel: its axes, its head with the legend, and its traces."""
    rows = panels // columns
    row, column = divmod(number, columns)
    inner = rows * _HEIGHT + (rows - 1) * _BETWEEN
    top = 1 - row * (_HEIGHT + _BETWEEN) / inner
    bottom = max(0.0, top - _HEIGHT / inner)
    x, y = f"x{_number(column)}", f"y{_number(number)}"
    left = layout[f"xaxis{_number(column)}"]["domain"][0]
    plain_axis = {"showline": True, "ticks": "outside", "zeroline": False, "anchor": x}
    layout[f"yaxis{_number(number)}"] = {
        **plain_axis,
        "domain": [bottom, top],
        "title": {"text": panel.unit, "standoff": 6},
        **(panel.axis or {"showticklabels": False, "ticks": "", "showgrid": False}),
    }
    other = f"y{panels + number + 1}"
    if panel.second:
        layout[f"yaxis{panels + number + 1}"] = plain_axis | panel.second | {"overlaying": y, "side": "right"}
    # a narrow bar beside the panel, where the other panels have their second axis
    right = layout[f"xaxis{_number(column)}"]["domain"][1]
    bar = {
        "x": right,
        "xanchor": "left",
        "xpad": 4,
        "y": bottom,
        "yanchor": "bottom",
        "len": top - bottom,
        "ypad": 0,
    }
    legend = f"legend{_number(number)}"
    for trace in panel.traces:
        drawn = {name: value for name, value in trace.items() if name != "second"}
        drawn |= {"xaxis": x, "yaxis": other if trace.get("second") else y}
        if trace["type"] == "scatter":
            drawn["legend"] = legend
        if "colorbar" in drawn:
            drawn["colorbar"] = drawn["colorbar"] | bar
        traces.append(drawn)
    entries = {"orientation": "h", "xanchor": "left", "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"}
    layout[legend] = {**entries, "x": left, "y": top, "itemwidth": 30, "font": {"size": 11}}
    layout["annotations"] += _head(panel, (left, right), (bottom, top))
    layout["shapes"] += [
        {"xref": f"{x} domain", "x0": 0, "x1": 1, "yref": y, **shape} for shape in panel.shapes
    ]


def _head(panel: Panel, across: tuple[float, float], up: tuple[float, float]) -> list[dict[str, Any]]:
    legend = any("name" in trace and trace.get("showlegend", True) for trace in panel.traces)
    plain = {"showarrow": False, "xref": "paper", "yref": "paper"}
    place = {
        "x": across[0],
        "y": up[1],
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 24 if legend else 4,
    }
    head = plain | place | {"text": f"<b>{panel.title}</b>"}
    if not panel.missing:
        return [head]
    # Plotly does not draw axes without traces, so the note cannot refer to them
    return [head, plain | {"text": panel.missing, "x": sum(across) / 2, "y": sum(up) / 2}]


def _empty(text: str) -> dict[str, Any]:
    hidden = {"visible": False}
    note = {"text": text, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    return {"template": "none", "width": _NARROW, "height": 200, "xaxis": hidden, "yaxis": hidden} | {
        "annotations": [note]
    }


def _number(place: int) -> str:
    """Plotly calls the first axis `x`, the second `x2`."""
    return "" if place == 0 else str(place + 1)
