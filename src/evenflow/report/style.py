"""How lines are told apart and what colours a page has: the one place for both.

A line has a colour, a dash and a marker together, so that a black-and-white print still reads. The colours are
those of Okabe & Ito 2008, Color universal design, without black and yellow, which vanish on a dark and on a
white ground, and with a grey. The dashes and markers run out of step with the colours. Heat maps use cividis
(Nuñez, Anderton & Renslow 2018, PLoS ONE 13), whose lightness rises evenly: it reads the same in grey and for
the colour-blind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "10px,3px,2px,3px,2px,3px", "2px,6px")
MARKERS = (
    "circle",
    "square-open",
    "triangle-up",
    "diamond-open",
    "x",
    "circle-open",
    "triangle-down-open",
    "star",
    "cross",
)
HEAT = "Cividis"
GUIDE = "#8A8A8A"
"""Lines that are no data, such as a target: a grey that shows on white and on black."""

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
THEMES: Mapping[str, Mapping[str, str]] = {
    "light": {"text": "#24292f", "grid": "#e6e8eb", "line": "#b6bcc4", "ground": "#ffffff"},
    "dark": {"text": "#d7dce2", "grid": "#2b3138", "line": "#5a636e", "ground": "#15191e"},
}


@dataclass(frozen=True)
class LineStyle:
    """A colour (hexadecimal), a dash and a marker, as Plotly names them."""

    colour: str
    dash: str
    marker: str

    def faded(self, opacity: float) -> str:
        """The colour as `rgba(...)`, for a band.

        >>> line_style(0).faded(0.2)
        'rgba(0,114,178,0.2)'
        """
        red, green, blue = (int(self.colour[place : place + 2], 16) for place in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity:g})"


def line_style(index: int) -> LineStyle:
    """The style of the line with this number; the first 504 all differ.

    >>> line_style(0).dash, line_style(7).colour == line_style(0).colour, line_style(7) == line_style(0)
    ('solid', True, False)
    """
    return LineStyle(
        COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)]
    )


def themed(layout: Mapping[str, Any], theme: str, *, ground: str | None = None) -> dict[str, Any]:
    """A Plotly layout in the colours of a theme; the page's script does the same when the reader's changes.

    Args:
        layout: a layout as plain data.
        theme: `light` or `dark`.
        ground: background; the theme's own when left out.
    """
    colours = THEMES[theme]
    ground = ground or colours["ground"]
    done = dict(layout) | {
        "paper_bgcolor": ground,
        "plot_bgcolor": ground,
        "font": {"family": FONT, "size": 12, "color": colours["text"]},
    }
    for name, axis in layout.items():
        if re.fullmatch(r"[xy]axis\d*", name):
            lines = {"gridcolor": colours["grid"], "linecolor": colours["line"], "tickcolor": colours["line"]}
            done[name] = dict(axis) | lines | {"zerolinecolor": colours["line"]}
    return done
