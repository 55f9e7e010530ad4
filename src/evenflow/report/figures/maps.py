"""Heat maps layer × step, one a cell, all on the same colour scale.

An average hides what no colour can show, so two cases have marks of their own: a value that is exactly 0 where
the scale is logarithmic (black with a dot: below all colours), and one that is NaN or infinite (white with a
cross). A mark without its ground says that only some seeds have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenflow.report.figures.picture import NARROW, WIDE, Panels, layer_ticks, log_ticks, panel_refs, plain
from evenflow.report.series import Block, intervals, logged, thinned
from evenflow.report.style import HEAT
from evenflow.report.view import Choice
from evenflow.report.wording import capitalised, plot_text

_MOST_CELLS = 40_000  # of all maps together: what a browser draws at once and a page carries
_DOT = {"symbol": "circle", "size": 4, "color": "#ffffff", "line": {"width": 1, "color": "#000000"}}
_CROSS = {"symbol": "x-thin", "size": 5, "color": "#d0021b", "line": {"width": 1.6, "color": "#d0021b"}}


@dataclass(frozen=True)
class Scale:
    """What colours stand for.

    Args:
        title: of the colour bar.
        low, high: limits; on a logarithmic scale of log10.
        log: whether the colours follow log10.
        say: a value (log10 of it on a logarithmic scale) in words.
        ticks: values with a name at the bar.
    """

    title: str
    low: float
    high: float
    log: bool
    say: Callable[[float], str]
    ticks: Mapping[float, str]


def heat_maps(
    choices: Sequence[Choice], found: Sequence[Block], scale: Scale
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Traces, wide layout and narrow layout of one map a cell."""
    layers = max(len(block.layers) for block in found)
    columns = int(np.clip(_MOST_CELLS // (len(found) * layers), 12, 60))
    last = max(int(block.steps[-1]) for block in found)
    deepest = max(int(block.layers[-1]) for block in found)
    traces: list[dict[str, Any]] = []
    extra: list[dict[str, Any]] = []
    marks: set[str] = set()
    for panel, (choice, block) in enumerate(zip(choices, found, strict=True)):
        traces += _map(choice, block, scale, panel, columns, marks)
        if block.diverged.all() and block.steps[-1] < 0.7 * last:
            middle = (int(block.steps[-1]) + last) / 2
            extra.append(_annotation(panel, middle, deepest / 2, "diverged"))
    if "zero" in marks:
        traces.append(_legend_mark("exactly 0", _DOT | {"size": 8}))
    if "broken" in marks:
        traces.append(_legend_mark("NaN or infinite", dict(_CROSS) | {"size": 8}))
    titles = [_title(choice) for choice in choices]
    panels = Panels(
        titles=titles,
        x={
            "title": "step",
            "range": [-last / 80, last * (1 + 1 / 80)],
            "showgrid": False,
            "tickvals": _step_ticks(last),
            "tickformat": ",d",
        },
        y={
            "title": "layer",
            "range": [0.5, deepest + 0.5],
            "showgrid": False,
            "tickvals": layer_ticks(deepest, 5),
        },
        entries=len(marks),
        extra=extra,
        bar={
            "colorscale": HEAT,
            "cmin": scale.low,
            "cmax": scale.high,
            "colorbar": {
                "title": {"text": scale.title, "side": "top", "font": {"size": 12}},
                "tickvals": list(scale.ticks),
                "ticktext": list(scale.ticks.values()),
            },
        },
    )
    columns = _columns(titles, WIDE)
    rows = math.ceil(len(found) / columns)
    height = 240 if rows == 1 and columns <= 3 else 150 if rows <= 4 else 100
    wide = panels.layout(columns, height, WIDE, gap=14)
    narrow = panels.layout(min(2, _columns(titles, NARROW)), 130, NARROW, gap=14)
    return traces, wide, narrow


def decades(low: float, high: float) -> dict[float, str]:
    """Names at round places between two decades, for a colour bar that shows log10."""
    ticks = log_ticks(low, high, 6)
    return {math.log10(value): text for value, text in zip(ticks["tickvals"], ticks["ticktext"], strict=True)}


def _map(
    choice: Choice, block: Block, scale: Scale, panel: int, columns: int, marks: set[str]
) -> list[dict[str, Any]]:
    places = thinned(np.arange(len(block.steps)), columns)
    values, recorded = block.values[:, places, :], block.recorded[:, places, :]
    zero = scale.log & recorded & (values == 0)
    broken = recorded & ~np.isfinite(values)
    shown = logged(values) if scale.log else values
    mean, low, high = intervals(np.where(np.isfinite(shown), shown, np.nan).reshape(len(values), -1))
    shape = values.shape[1:]
    steps, layers = block.steps[places], block.layers
    place = panel_refs(panel)
    axes = {"x": plain(steps), "y": plain(layers), **place}
    words = np.array([_words(*cell, scale.say) for cell in zip(mean, low, high, strict=True)], dtype=object)
    hover = f"<b>{plot_text(choice.label)}</b><br>layer %{{y}}, step %{{x}}: %{{text}}<extra></extra>"
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "z": plain(mean.reshape(shape).T),
            "text": words.reshape(shape).T.tolist(),
            "hovertemplate": hover,
            "hoverongaps": False,
            "coloraxis": "coloraxis",
            **axes,
        }
    ]
    for name, there, sound, ground, mark, text in (
        ("zero", zero, recorded & ~zero, "#000000", _DOT, "exactly 0"),
        ("broken", broken, recorded & ~broken, "#ffffff", _CROSS, "NaN or infinite"),
    ):
        some = there.any(axis=0)
        if not some.any():
            continue
        marks.add(name)
        whole = some & ~sound.any(axis=0)
        if whole.any():
            traces.append(
                {
                    "type": "heatmap",
                    "z": plain(np.where(whole, 1.0, np.nan).T),
                    "colorscale": [[0, ground], [1, ground]],
                    "showscale": False,
                    "hoverinfo": "skip",
                    "hoverongaps": False,
                    **axes,
                }
            )
        at_step, at_layer = np.nonzero(some)
        counts = [
            f"{text} in {there[:, i, j].sum()} of {len(there)} seeds"
            for i, j in zip(at_step, at_layer, strict=True)
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": plain(steps[at_step]),
                "y": plain(layers[at_layer]),
                "marker": mark,
                "customdata": counts,
                "hovertemplate": f"<b>{plot_text(choice.label)}</b><br>layer %{{y}}, step %{{x}}: "
                "%{customdata}<extra></extra>",
                "showlegend": False,
                **place,
            }
        )
    return traces


def _words(mean: float, low: float, high: float, say: Callable[[float], str]) -> str:
    if math.isnan(mean):
        return ""
    return say(mean) if math.isnan(low) else f"{say(mean)}  [{say(low)} to {say(high)}]"


def _legend_mark(name: str, marker: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "marker": dict(marker),
        "name": name,
        "showlegend": True,
        **panel_refs(0),
    }


def _annotation(panel: int, x: float, y: float, text: str) -> dict[str, Any]:
    refs = panel_refs(panel)
    return {"x": x, "y": y, "xref": refs["xaxis"], "yref": refs["yaxis"], "text": text, "showarrow": False}


def _title(choice: Choice) -> str:
    head = f"<b>{plot_text(capitalised(choice.value))}</b>"
    return f"{head}<br>{plot_text(choice.rest)}" if choice.rest else head


def _columns(titles: Sequence[str], width: int, least: int = 110) -> int:
    """Columns that leave room for the longest line of a title, so many that the rows are equally long."""
    lines = [
        len(line.removeprefix("<b>").removesuffix("</b>")) for title in titles for line in title.split("<br>")
    ]
    most = max(1, int((width - 78) // max(least, 5.8 * max(lines) + 12)))
    count = len(titles)
    even = max(columns for columns in range(1, most + 1) if count % columns == 0)
    return even if 2 * even > most or even == count else math.ceil(count / math.ceil(count / most))


def _step_ticks(last: int) -> list[int]:
    """0 and one or two round steps; none at the very end, where the next map begins."""
    size = 10 ** max(0, math.floor(math.log10(max(last, 1))))
    step = next(
        part
        for part in (size // 10 or 1, size // 5 or 1, size // 2 or 1, size, 2 * size, 5 * size)
        if 0.85 * last / part < 3
    )
    return [place for place in range(0, last + 1, step) if place <= 0.85 * last] or [0]
