"""Pictures of activation functions: f on the left, its derivative f' on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evenflow.errors import SpecError
from evenflow.report.style import line_style
from evenflow.spec.activation import Activation, activation
from evenflow.spec.properties import properties

if TYPE_CHECKING:
    import plotly.graph_objects as go

TOGETHER = 8  # more curves than this in one picture cannot be told apart
_COLUMNS = 3
_GREY = "#9A9A9A"


def activation_figure(
    functions: Sequence[Activation | str], *, low: float = -4.0, high: float = 4.0
) -> go.Figure:
    """Functions and derivatives side by side, as a Plotly figure.

    Up to eight share two panels, told apart by colour, dash and marker. More get a pair of panels each, with
    ReLU in grey behind as the common measure.

    Args:
        functions: activations or names.
        low, high: the range of z.

    Raises:
        SpecError: a name is not known, the range is empty, or there is nothing to draw.

    >>> figure = activation_figure(["relu", "tanh"])
    >>> [title.text for title in figure.layout.annotations]
    ['f(z)', "f'(z)"]
    """
    found = tuple(dict.fromkeys(activation(one) for one in functions))
    if not found:
        raise SpecError("activation_figure: no activation to draw; name at least one")
    if not low < high:
        raise SpecError(
            f"activation_figure: the range of z from {low:g} to {high:g} is empty; low must be below high"
        )
    z = _arguments(found, low, high)
    figure = _together(found, z) if len(found) <= TOGETHER else _apart(found, z)
    step = _tick(high - low) * (1 if len(found) <= TOGETHER else 2)
    figure.update_xaxes(range=[low, high], zeroline=True, zerolinecolor="#C0C0C0", dtick=step)
    figure.update_yaxes(zeroline=True, zerolinecolor="#C0C0C0")
    figure.update_layout(template="plotly_white", font={"size": 14}, hovermode="x unified")
    return figure


def _together(functions: tuple[Activation, ...], z: np.ndarray) -> go.Figure:
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=2, subplot_titles=("f(z)", "f'(z)"), horizontal_spacing=0.07)
    for index, one in enumerate(functions):
        style = line_style(index)
        line = {"color": style.colour, "dash": style.dash, "width": 2.5, "simplify": False}
        marker = {"symbol": style.marker, "size": 9, "color": style.colour, "line": {"width": 1.5}}
        group: dict[str, Any] = {"legendgroup": one.name, "name": one.title}
        # a trace without points carries the legend, where line and marker are shown together
        figure.add_scatter(x=[None], y=[None], mode="lines+markers", line=line, marker=marker, **group)
        sparse = _sparse(z, index, len(functions))
        for column, values in ((1, one(z)), (2, one.derivative(z))):
            place = {"row": 1, "col": column, "showlegend": False, **group}
            figure.add_scatter(
                x=z,
                y=values,
                mode="lines",
                line=line,
                hovertemplate=f"{one.title} %{{y:.4g}}<extra></extra>",
                **place,
            )
            figure.add_scatter(
                x=z[sparse], y=values[sparse], mode="markers", marker=marker, hoverinfo="skip", **place
            )
    bottom = min(float(one(z).min()) for one in functions)
    figure.update_yaxes(range=[max(bottom, -2.0) - 0.25, min(float(z[-1]), 4.0)], row=1, col=1)
    figure.update_xaxes(title_text="z", title_standoff=4)
    figure.update_layout(
        width=1100,
        height=520,
        margin={"l": 50, "r": 20, "t": 50, "b": 110},
        legend={"orientation": "h", "y": -0.16, "x": 0.5, "xanchor": "center", "itemwidth": 50},
    )
    return figure


def _apart(functions: tuple[Activation, ...], z: np.ndarray) -> go.Figure:
    from plotly.subplots import make_subplots

    rows = math.ceil(len(functions) / _COLUMNS)
    titles = [title for one in functions for title in (f"{one.title}: f", "f'")]
    figure = make_subplots(
        rows=rows,
        cols=2 * _COLUMNS,
        subplot_titles=titles,
        horizontal_spacing=0.03,
        vertical_spacing=0.28 / max(rows, 2),
        column_widths=[1.0] * (2 * _COLUMNS),
    )
    relu = activation("relu")
    for index, one in enumerate(functions):
        row, column = index // _COLUMNS + 1, 2 * (index % _COLUMNS) + 1
        pairs = ((one(z), relu(z)), (one.derivative(z), relu.derivative(z)))
        for offset, (values, measure) in enumerate(pairs):
            place = {"row": row, "col": column + offset, "showlegend": False, "mode": "lines"}
            behind = {"color": _GREY, "width": 1.5, "dash": "dot"}
            figure.add_scatter(x=z, y=measure, line=behind, hoverinfo="skip", **place)
            line = {"color": ("#0072B2", "#D55E00")[offset], "width": 2.5, "simplify": False}
            hover = f"{one.title} %{{y:.4g}}<extra></extra>"
            figure.add_scatter(x=z, y=values, line=line, hovertemplate=hover, **place)
            figure.update_yaxes(range=[(-2.2, 4.2), (-0.6, 1.85)][offset], row=row, col=column + offset)
    figure.update_layout(width=1250, height=190 * rows + 60, margin={"l": 40, "r": 20, "t": 70, "b": 40})
    figure.update_annotations(font_size=13)
    figure.update_layout(
        title={"text": "f and f' of every activation; dotted: ReLU", "font": {"size": 16}, "x": 0.01}
    )
    return figure


def _arguments(functions: Sequence[Activation], low: float, high: float) -> np.ndarray:
    kinks = np.array([kink for one in functions for kink in properties(one).kinks if low < kink < high])
    # the neighbours of a kink let a jump of f' stand upright
    return np.unique(np.concatenate([np.linspace(low, high, 401), kinks - 1e-9, kinks, kinks + 1e-9]))


def _sparse(z: np.ndarray, index: int, count: int) -> np.ndarray:
    """Where the markers of one curve stand: four a curve, apart from those of the others."""
    span = float(z[-1] - z[0])
    places = z[0] + span * ((np.arange(4) + (index + 0.5) / count) / 4)
    return np.abs(z[:, None] - places).argmin(axis=0)


def _tick(span: float) -> float:
    return next(step for step in (1.0, 2.0, 5.0, 10.0, 50.0, 100.0, math.inf) if span / step <= 10)
