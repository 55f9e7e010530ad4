"""What the guide's pages draw and say with: figures for both themes and two widths, tables, numbers in sentences.

A page's code imports these names; a figure becomes plain data, which `_static/guide.js` hands to the one plotly.min.js
that all pages share.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from evenflow.report.animation import animation
from evenflow.report.figures.picture import Panels, Picture, layer_ticks, log_ticks, panel_refs, plain
from evenflow.report.style import GUIDE, THEMES, LineStyle, line_style
from evenflow.report.templating import plain_json
from evenflow.spec.activation import activation
from evenflow.spec.properties import properties
from evenflow.wording import number

Curves = Mapping[str, tuple[Any, Any]]
"""Name -> places, values."""

_WIDE, _NARROW = 720, 350  # pixels: of the text's column, and of a phone's
_names = itertools.count()


class Words(str):
    """A text that stands in a sentence without quotation marks."""

    __slots__ = ()
    __repr__ = str.__str__


class Html:
    """Something that a page shows as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_html_(self) -> str:
        return self.text


def say(value: float, digits: int = 2) -> Words:
    """A number as it stands in a sentence: `1.2 × 10⁻¹⁶`, and 64000 rather than 6.4 × 10⁴."""
    if 1e4 <= abs(value) < 1e6 and float(value).is_integer():
        return Words(f"{int(value):,}".replace(",", "\u202f"))
    return Words(number(float(value), digits).replace(" ", "\u00a0"))


def share(value: float, digits: int = 0) -> Words:
    """A part of 1 in per cent."""
    return Words(f"{100 * value:.{digits}f}\u00a0%")


def power(log10: float, digits: int = 1) -> Words:
    """The number whose log10 is given, also beyond what a float holds."""
    if abs(log10) < 250:
        return say(10.0**log10, digits + 1)
    whole = math.floor(log10)
    return Words(f"{10 ** (log10 - whole):.{digits}f} × 10^{whole}")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table; in all columns but the first, numbers stand at the right."""

    def cell(value: object, place: int) -> str:
        figures = isinstance(value, float | np.floating)
        text = say(float(value), 3) if figures else str(value)
        right = ' class="number"' if place and (figures or text[:1] in "−–+0123456789") else ""
        return f"<td{right}>{escape(text)}</td>"

    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f"<tr>{''.join(cell(value, place) for place, value in enumerate(row))}</tr>" for row in rows
    )
    return Html(
        f'<div class="table-wrapper docutils container"><table class="docutils align-default guide-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def lines(
    curves: Curves | Mapping[str, Curves],
    *,
    x: str,
    y: str,
    says: str,
    log: bool = False,
    level: float | None = None,
    limits: tuple[float, float] | None = None,
    markers: bool = True,
    height: int = 300,
) -> Html:
    """Curves in one panel, or in several of the same scale side by side.

    Args:
        curves: name -> (places, values), or title of a panel -> such curves.
        x, y: what the axes are.
        says: what the figure shows, in a sentence: its caption.
        log: draw y by powers of ten.
        level: a thin grey line at this height, for comparison.
        limits: of y, in its own numbers; what is beyond is cut.
        markers: tell curves apart by markers too; without them where the places are many.
        height: of a panel, in pixels.
    """
    panels: Mapping[str, Curves] = (
        curves if isinstance(next(iter(curves.values())), Mapping) else {"": curves}  # type: ignore[assignment]
    )
    names = list(dict.fromkeys(name for one in panels.values() for name in one))
    traces: list[dict[str, Any]] = []
    for panel, (_, shown) in enumerate(panels.items()):
        if level is not None:
            ends = [
                float(f(np.asarray(places, dtype=float)))
                for places, _ in shown.values()
                for f in (np.min, np.max)
            ]
            traces.append(_level(level, min(ends), max(ends), panel))
        for name, (places, values) in shown.items():
            style, first = line_style(names.index(name)), name not in {trace.get("name") for trace in traces}
            traces.append(_trace(name, places, values, style, panel, named=first, markers=markers, log=log))
    low, high = limits or _ends(traces, log)
    y_axis: dict[str, Any] = {"title": y, "range": [low, high]}
    if log:
        low, high = (math.log10(low), math.log10(high)) if limits else (low, high)
        y_axis = {"title": y, "type": "log", "range": [low, high], **log_ticks(low, high, 7)}
    every = [place for trace in traces for place in trace["x"]]
    x_axis: dict[str, Any] = {"title": x}
    if x.startswith("layer"):
        x_axis |= {"tickvals": layer_ticks(int(max(every)))}
    entry = max(7 * len(name) + 8 for name in names)
    layout = Panels(
        [f"<b>{title}</b>" if title else "" for title in panels],
        x_axis,
        y_axis,
        entries=len(names) if len(names) > 1 else 0,
        entry_width=entry,
    )
    columns = 2 if len(panels) > 1 else 1
    drawn = Picture(
        "",
        "",
        says,
        traces=traces,
        wide=layout.layout(columns, height, _WIDE),
        narrow=layout.layout(1, 260, _NARROW),
    )
    return picture(drawn)


def picture(drawn: Picture, *, narrow: bool = False) -> Html:
    """A picture of the report, or one made above, with its sentence below.

    Args:
        drawn: the picture.
        narrow: take the layout for a phone on all screens, since the column of text is narrower than a report.
    """
    wide = drawn.narrow if narrow else drawn.wide
    data = {"data": list(drawn.traces), "wide": wide, "narrow": drawn.narrow, "themes": THEMES}
    caption = " ".join(filter(None, (drawn.sentence, drawn.note)))
    return _placed(data, caption)


def chart(figure: Any, says: str) -> Html:
    """A Plotly figure of the package, as wide as the column."""
    given = json.loads(figure.to_json())
    layout = {
        name: value
        for name, value in given["layout"].items()
        if name not in ("width", "template", "font", "paper_bgcolor", "plot_bgcolor")
    }
    data = {"data": given["data"], "wide": layout, "narrow": layout, "themes": THEMES}
    return _placed(data, says)


def card(name: str) -> Html:
    """An activation: its curve and its slope, and what is measured from the function."""
    one, found = activation(name), properties(name)
    z = np.linspace(-5, 5, 201)
    steep = f"{say(found.max_slope, 3)} at z = {say(found.max_slope_at, 2)}"
    says = f"{one.title}: f(z) = {one.formula}; f'(z) = {one.derivative_formula}."
    curves = {one.title: {"f": (z, one(z)), "f'": (z, one.derivative(z))}}
    limits = max(-2.2, float(one(z).min()) - 0.2), min(4.0, float(one(z).max()) + 0.2)
    drawn = lines(
        curves,
        x="z",
        y="",
        says=says,
        markers=False,
        height=230,
        level=0.0,
        limits=(min(limits[0], -0.2), max(limits[1], 1.3)),
    )
    facts = {
        "largest slope": steep,
        "mean square of the slope": say(found.slope_second_moment, 3),
        "range": f"{say(found.minimum, 3)} to {say(found.maximum, 3)}",
        "mean": "0" if found.zero_centred else say(found.mean, 3),
        "gain": say(found.gain, 4),
        "slope exactly 0": _where(found.dead),
        "slope below 1 % of the largest": _where(found.saturated),
    }
    return Html(drawn.text + table(["", one.title], facts.items()).text)


def animated(names: Sequence[str], scale: float | None = None) -> Html:
    """The page of `evenflow activations --animate`, in a frame."""
    text = escape(animation(names, scale=scale))
    title = "Signal and gradient through a network, with sliders for its depth and its weights"
    return Html(f'<iframe class="guide-frame" title="{title}" loading="lazy" srcdoc="{text}"></iframe>')


def _where(intervals: Sequence[tuple[float, float]]) -> str:
    words = []
    for low, high in intervals:
        if low == -math.inf:
            words.append(f"z below {say(high)}")
        elif high == math.inf:
            words.append(f"z above {say(low)}")
        else:
            words.append(f"z = {say(low)}" if say(low) == say(high) else f"z from {say(low)} to {say(high)}")
    return ", ".join(words) or "nowhere"


def _placed(data: Mapping[str, Any], caption: str) -> Html:
    text = plain_json(data)
    number_here = next(_names)
    return Html(
        f'<figure class="guide-figure"><div class="guide-plot" id="plot-{number_here}" role="img" '
        f'aria-label="{escape(caption)}"></div><script type="application/json">{text}</script>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _trace(
    name: str,
    places: Any,
    values: Any,
    style: LineStyle,
    panel: int,
    *,
    named: bool,
    markers: bool,
    log: bool,
) -> dict[str, Any]:
    values = np.asarray(values, dtype=float)
    if log:
        values = np.where(values > 0, values, np.nan)
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers else "lines",
        "x": plain(np.asarray(places, dtype=float)),
        "y": plain(values),
        "name": name,
        "legendgroup": name,
        "showlegend": named,
        "line": {"color": style.colour, "dash": style.dash, "width": 2.2},
        "marker": {"symbol": style.marker, "size": 7, "color": style.colour},
        "hovertemplate": f"<b>{escape(name)}</b><br>%{{x}}: %{{y:.3g}}<extra></extra>",
        **panel_refs(panel),
    }


def _level(height: float, begin: float, end: float, panel: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [begin, end],
        "y": [height, height],
        "line": {"color": GUIDE, "width": 1.2, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
        **panel_refs(panel),
    }


def _ends(traces: Sequence[Mapping[str, Any]], log: bool) -> tuple[float, float]:
    values = np.array([value for trace in traces for value in trace["y"] if value is not None], dtype=float)
    values = np.log10(values[values > 0]) if log else values
    low, high = float(values.min()), float(values.max())
    margin = max(0.15 if log else 0.0, 0.05 * (high - low)) or 1.0
    return low - margin, high + margin
