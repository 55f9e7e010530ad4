"""One picture of the report, and how its panels are laid out on a wide screen and on a phone.

The panels are drawn once. Where they stand is a matter of the layout alone, so a picture carries two layouts
and the page takes the one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evenflow.report.style import themed
from evenflow.report.wording import number, raised

if TYPE_CHECKING:
    import plotly.graph_objects as go

WIDE, NARROW = 1120, 350
"""Width in pixels for which each layout is made."""
_LEFT, _RIGHT, _BOTTOM = 62, 16, 56
_BAR_HEIGHT, _BAR_LENGTH = 48, 320


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with what it says.

    Args:
        name: of the file and of the place in the page.
        title: a few words.
        sentence: what it shows, computed from its data.
        note: how to read it.
        traces: what is drawn, as plain data for Plotly; empty where there is nothing to draw.
        wide, narrow: layouts, as plain data for Plotly.
    """

    name: str
    title: str
    sentence: str
    note: str = ""
    traces: Sequence[Mapping[str, Any]] = ()
    wide: Mapping[str, Any] = field(default_factory=dict)
    narrow: Mapping[str, Any] = field(default_factory=dict)

    def figure(self) -> go.Figure:
        """For a paper: dark on white, with a width of its own."""
        import plotly.graph_objects as go

        layout = themed(self.wide, "light") | {"width": WIDE, "template": "none"}
        return go.Figure(data=list(self.traces), layout=layout)


@dataclass(frozen=True)
class Panels:
    """Small pictures of equal scale, side by side.

    Args:
        titles: one a panel; `<br>` begins a second line.
        x, y: what every axis has (title, range, type, ticks).
        entries: entries of the legend; 0 for none.
        entry_width: of one in pixels.
        bar: the colour axis (scale, limits, ticks, title), where colours stand for numbers.
        extra: annotations that stand inside a panel (with `xref`, `yref`).
        more: anything else of the layout.
    """

    titles: Sequence[str]
    x: Mapping[str, Any]
    y: Mapping[str, Any]
    entries: int = 0
    entry_width: int = 120
    extra: Sequence[Mapping[str, Any]] = ()
    bar: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def layout(self, columns: int, panel_height: int, width: int, gap: int = 26) -> dict[str, Any]:
        """The layout with so many columns, for a page that is about `width` pixels wide."""
        count = len(self.titles)
        columns = max(1, min(columns, count))
        rows = math.ceil(count / columns)
        title_height = max((17 * (title.count("<br>") + 1) if title else 0) for title in self.titles)
        beside = bool(self.bar) and width > 2 * _BAR_LENGTH
        room = width - _LEFT - _RIGHT - (_BAR_LENGTH + 40 if beside else 0)
        legend_rows = math.ceil(self.entries / max(1, room // (self.entry_width + 52)))
        bar_height = _BAR_HEIGHT if self.bar else 0
        legend_height = 24 * legend_rows + (10 if legend_rows else 0)
        top = title_height + 10 + (max(bar_height, legend_height) if beside else bar_height + legend_height)
        between = title_height + 40 if columns < count else 0
        inner = rows * panel_height + (rows - 1) * between
        gap_share = gap / (width - _LEFT - _RIGHT)
        share = (1 - (columns - 1) * gap_share) / columns
        layout: dict[str, Any] = {
            "height": inner + top + _BOTTOM,
            "margin": {"l": _LEFT, "r": _RIGHT, "t": top, "b": _BOTTOM},
            "showlegend": bool(self.entries),
            "hovermode": "closest",
            "legend": {
                "orientation": "h",
                "x": 1 if beside else 0,
                "xanchor": "right" if beside else "left",
                "y": 1 + (title_height + 8 + (0 if beside else bar_height)) / inner,
                "yanchor": "bottom",
                "entrywidth": self.entry_width,
                "itemwidth": 40,
                "bgcolor": "rgba(0,0,0,0)",
                "tracegroupgap": 0,
            },
        }
        if self.bar:
            layout["coloraxis"] = self._colour_axis(1 + (title_height + 8) / inner)
        annotations: list[Mapping[str, Any]] = []
        for panel, title in enumerate(self.titles):
            row, column = divmod(panel, columns)
            x = column * (share + gap_share)
            y = 1 - row * (panel_height + between) / inner
            suffix = "" if panel == 0 else str(panel + 1)
            lowest = panel + columns >= count
            layout[f"xaxis{suffix}"] = self._axis("x", suffix, panel, (x, x + share), shown=lowest)
            layout[f"yaxis{suffix}"] = self._axis(
                "y", suffix, panel, (max(0.0, y - panel_height / inner), y), shown=column == 0
            )
            annotations.append(
                {
                    "text": title,
                    "x": x,
                    "y": y,
                    "xref": "paper",
                    "yref": "paper",
                    "xanchor": "left",
                    "yanchor": "bottom",
                    "align": "left",
                    "yshift": 3,
                    "showarrow": False,
                    "font": {"size": 12},
                }
            )
        return layout | {"annotations": [*annotations, *self.extra]} | dict(self.more)

    def _colour_axis(self, y: float) -> dict[str, Any]:
        place = {"orientation": "h", "x": 0, "xanchor": "left", "y": y, "yanchor": "bottom"}
        size = {"thickness": 10, "lenmode": "pixels", "len": _BAR_LENGTH - 30, "outlinewidth": 0, "ypad": 4}
        given = dict(self.bar)
        return given | {"colorbar": place | size | dict(given.get("colorbar", {}))}

    def _axis(
        self, letter: str, suffix: str, panel: int, domain: tuple[float, float], *, shown: bool
    ) -> dict[str, Any]:
        given = dict(self.x if letter == "x" else self.y)
        title = given.pop("title", "")
        axis = {
            "domain": [round(domain[0], 5), round(domain[1], 5)],
            "anchor": ("y" if letter == "x" else "x") + suffix,
            "showline": True,
            "ticks": "outside",
            "ticklen": 4,
            "zeroline": False,
            "showticklabels": shown,
            "fixedrange": False,
        } | given
        if shown:
            axis["title"] = {"text": title, "standoff": 14 if letter == "x" else 8, "font": {"size": 12}}
        if panel:
            axis["matches"] = letter
        return axis


def panel_refs(panel: int) -> dict[str, str]:
    """The axes of a panel, for its traces.

    >>> panel_refs(0), panel_refs(2)
    ({'xaxis': 'x', 'yaxis': 'y'}, {'xaxis': 'x3', 'yaxis': 'y3'})
    """
    suffix = "" if panel == 0 else str(panel + 1)
    return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def layer_ticks(deepest: int, most: int = 8) -> list[int]:
    """Layers that get a number at the axis: the first, and round ones.

    >>> layer_ticks(21), layer_ticks(2)
    ([1, 5, 10, 15, 20], [1, 2])
    """
    step = next(size for size in (1, 2, 5, 10, 20, 50, 100, 1000) if deepest / size <= most)
    return sorted({1, *range(step, deepest + 1, step)} - ({2} if step == 2 else set()))


def log_ticks(low: float, high: float, most: int = 8) -> dict[str, Any]:
    """Ticks of a logarithmic axis between two decades, written 10⁻³ rather than 0.001.

    >>> log_ticks(-6.2, 0.5, 4)["ticktext"]
    ['10⁻⁶', '10⁻⁴', '10⁻²', '1']
    """
    first, last = math.ceil(low), math.floor(high)
    step = max(1, math.ceil((last - first + 1) / most))
    exponents = [exponent for exponent in range(first, last + 1) if exponent % step == 0]
    if len(exponents) < 3:
        values = [part * 10.0**place for place in range(first - 1, last + 1) for part in (1, 2, 5)]
        values = [value for value in values if low <= math.log10(value) <= high]
        return {"tickvals": values, "ticktext": [number(value, 1) for value in values]}
    names = {0: "1", 1: "10"}
    texts = [names.get(exponent, f"10{raised(exponent)}") for exponent in exponents]
    return {"tickvals": [10.0**exponent for exponent in exponents], "ticktext": texts}


def plain(values: Any, digits: int = 5) -> Any:
    """An array as nested lists of so many significant digits, with None for what is not finite.

    >>> plain(np.array([[1.23456789e-9, np.nan], [np.inf, 2.0]]))
    [[1.2346e-09, None], [None, 2.0]]
    """
    if isinstance(values, np.ndarray | list | tuple):
        return [plain(value, digits) for value in values]
    if isinstance(values, int | np.integer):
        return int(values)
    return float(f"{values:.{digits - 1}e}") if math.isfinite(values) else None
