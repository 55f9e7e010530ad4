"""Lines with bands, told apart by colour, dash and marker; one panel for each choice of the other fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.report.figures.picture import panel_refs, plain
from evenflow.report.series import Curve
from evenflow.report.style import GUIDE
from evenflow.report.view import Choice
from evenflow.report.wording import MISSING, capitalised, plot_text

Array = NDArray[np.float64]


def panels_of(choices: Sequence[Choice]) -> list[str]:
    """Names of the panels, in order."""
    return list(dict.fromkeys(choice.rest for choice in choices))


def panel_titles(choices: Sequence[Choice]) -> list[str]:
    """Titles of the panels, fit for Plotly."""
    return [f"<b>{plot_text(capitalised(name))}</b>" if name else "" for name in panels_of(choices)]


def legend_width(choices: Sequence[Choice], least: int = 60) -> int:
    """Width in pixels of the longest entry."""
    return max([least, *(7 * len(choice.value) + 6 for choice in choices)])


def line_traces(
    choices: Sequence[Choice],
    curves: Sequence[Curve],
    *,
    log: bool,
    say: Callable[[float], str],
    where: str,
    limits: tuple[float, float] = (-np.inf, np.inf),
    pale: bool = False,
) -> list[dict[str, Any]]:
    """Traces of one curve a cell.

    Args:
        choices, curves: equally many.
        log: the curves hold log10; they are drawn on a logarithmic axis.
        say: a value of the curve in words, for the hover text.
        where: "step" or "layer".
        limits: what is possible, on the scale of the curves; bands end there.
        pale: draw the lines broad and pale, to draw over them in their colours; markers then tell them apart.
    """
    panels = panels_of(choices)
    names = list(dict.fromkeys(choice.value for choice in choices))
    shown = [_legend_entry(choice, pale) for choice in {choice.value: choice for choice in choices}.values()]
    opacity = 0.16 if len(names) <= 3 else 0.1  # many bands on top of each other must not hide the lines
    bands: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []

    def scaled(values: Array) -> list[float | None]:
        return plain(np.where(np.isfinite(values), 10.0**values, np.nan) if log else values)

    for choice, curve in zip(choices, curves, strict=True):
        place = panel_refs(panels.index(choice.rest))
        group = {"legendgroup": choice.value, "name": plot_text(choice.value), "showlegend": False, **place}
        line = _line(choice, pale)
        bounded = np.isfinite(curve.low) & np.isfinite(curve.high)
        if bounded.any():
            x, low, high = (
                curve.x[bounded],
                *(np.clip(end[bounded], *limits) for end in (curve.low, curve.high)),
            )
            bands.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": plain(np.concatenate([x, x[::-1]])),
                    "y": scaled(np.concatenate([low, high[::-1]])),
                    "fill": "toself",
                    "fillcolor": choice.style.faded(opacity),
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                    **group,
                }
            )
        words = [_words(curve, place, say, limits) for place in range(len(curve.x))]
        hover = f"<b>{plot_text(choice.label)}</b><br>{where} %{{x}}: %{{customdata}}<extra></extra>"
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": plain(curve.x),
                "y": scaled(curve.mean),
                "line": line,
                "customdata": words,
                "hovertemplate": hover,
                **group,
            }
        )
        sparse = _sparse(len(curve.x), names.index(choice.value), len(names))
        lines.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": plain(curve.x[sparse]),
                "y": scaled(curve.mean[sparse]),
                "marker": _marker(choice),
                "hoverinfo": "skip",
                **group,
            }
        )
        lines += _after_divergence(choice, curve, group, scaled, say)
    return [*bands, *lines, *shown]


def guide_trace(panel: int, x: Sequence[float], y: float, name: str, dash: str) -> dict[str, Any]:
    """A thin level line that is no data; it stands in the legend once."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": [y] * len(x),
        "line": {"color": GUIDE, "width": 1.2, "dash": dash},
        "hoverinfo": "skip",
        "name": name,
        "legendgroup": name,
        "showlegend": panel == 0,
        **panel_refs(panel),
    }


def _line(choice: Choice, pale: bool) -> dict[str, Any]:
    if pale:
        return {"color": choice.style.faded(0.4), "dash": "solid", "width": 5}
    return {"color": choice.style.colour, "dash": choice.style.dash, "width": 2.2}


def _legend_entry(choice: Choice, pale: bool) -> dict[str, Any]:
    # a trace without points carries the legend, where line and marker are shown together
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [None],
        "y": [None],
        "line": _line(choice, pale),
        "marker": _marker(choice),
        "legendgroup": choice.value,
        "name": plot_text(capitalised(choice.value)),
        "showlegend": True,
        "hoverinfo": "skip",
        **panel_refs(0),
    }


def _marker(choice: Choice) -> Mapping[str, Any]:
    return {
        "symbol": choice.style.marker,
        "size": 8,
        "color": choice.style.colour,
        "line": {"width": 1.5, "color": choice.style.colour},
    }


def _words(curve: Curve, place: int, say: Callable[[float], str], limits: tuple[float, float]) -> str:
    text = say(float(curve.mean[place])) if not np.isnan(curve.mean[place]) else MISSING
    if np.isnan(curve.low[place]):
        return text
    low, high = (float(np.clip(end[place], *limits)) for end in (curve.low, curve.high))
    return f"{text}  [{say(low)} to {say(high)}]"


def _after_divergence(
    choice: Choice,
    curve: Curve,
    group: Mapping[str, Any],
    scaled: Callable[[Array], list[float | None]],
    say: Callable[[float], str],
) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    if len(curve.rest_x):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": plain(curve.rest_x),
                "y": scaled(curve.rest),
                "line": {"color": choice.style.colour, "dash": "dot", "width": 1},
                "customdata": [say(float(value)) for value in curve.rest],
                "hovertemplate": f"<b>{plot_text(choice.label)}</b><br>seeds that did not diverge, "
                "step %{x}: %{customdata}<extra></extra>",
                **group,
            }
        )
    if curve.ends:
        cross = {"symbol": "x-thin", "size": 10, "line": {"width": 2.5, "color": choice.style.colour}}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [step for step, _ in curve.ends],
                "y": scaled(np.array([value for _, value in curve.ends])),
                "marker": cross,
                "hovertemplate": f"<b>{plot_text(choice.label)}</b><br>a seed diverged after step %{{x}}"
                "<extra></extra>",
                **group,
            }
        )
    return traces


def _sparse(length: int, index: int, count: int, most: int = 4) -> NDArray[np.int64]:
    """Where the markers of one line stand: a few, apart from those of the others."""
    if length <= most:
        return np.arange(length)
    places = (np.arange(most) + (index + 0.5) / count) / most * (length - 1)
    return np.unique(np.round(places).astype(np.int64))
