"""Draws for every rule its specimen against its look-alike, when the documentation is built, and heads its page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rule_trainings import PICTURES, Picture, Training

from evenflow.diagnose.rules import RULES
from evenflow.wording import listed, number, raised

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 280, 60, 58, 40
_COLOURS = ("#D55E00", "#0072B2")  # Okabe & Ito 2008
_GREY = "#8A8A8A"  # shows on white and on black

Curve = tuple[str, list[float], list[float]]
"""Name, horizontal places, values; a curve over steps ends where the figures are not finite any more."""


def figure(picture: Picture) -> str:
    """The SVG of two trainings."""
    curves = [_curve(training, picture) for training in (picture.specimen, picture.look_alike)]
    return "".join(_svg(curves, picture))


def _curve(training: Training, picture: Picture) -> Curve:
    table = training.record().select(kind=picture.kind)
    rows = np.flatnonzero(~np.isnan(table[picture.statistic]))
    if picture.over == "depth":
        last = table["step"][rows].max()
        rows = rows[table["step"][rows] == last]
        rows = rows[np.argsort(table["depth"][rows], kind="stable")]
        places = list(map(float, range(1, len(dict.fromkeys(table["name"][rows])) + 1)))
        seen = dict(zip(table["name"][rows], table[picture.statistic][rows], strict=True))
        return training.name, places, list(map(float, seen.values()))
    first = table["name"][rows[0]]
    rows = rows[table["name"][rows] == first]
    return training.name, table["step"][rows].astype(float).tolist(), table[picture.statistic][rows].tolist()


def _svg(curves: Sequence[Curve], picture: Picture) -> Iterator[str]:
    tall = _height(curves, picture.logarithmic)
    wide = max(max(places) for _, places, _ in curves)
    begin = min(min(places) for _, places, _ in curves)

    def at(place: float, value: float) -> tuple[float, float]:
        across = (place - begin) / (wide - begin or 1.0)
        up = (_shown(value, picture.logarithmic, tall) - tall[0]) / (tall[1] - tall[0])
        return _LEFT + across * (_WIDTH - _LEFT - 20), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">'
    )
    for value in _ticks(tall, picture.logarithmic):
        _, y = at(begin, value)
        yield _line(_LEFT, _WIDTH - 20, y, f'stroke="{_GREY}" stroke-opacity="0.3"')
        mark = f"10{raised(round(math.log10(value)))}" if picture.logarithmic else number(value, 2)
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{_GREY}">{mark}</text>'
    for place in dict.fromkeys((begin, (begin + wide) // 2, wide)):
        x, _ = at(place, 10.0 ** tall[0] if picture.logarithmic else tall[0])
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 22}" text-anchor="middle" fill="{_GREY}">{place:g}</text>'
    across = "layer" if picture.over == "depth" else "step"
    yield f'<text x="{(_WIDTH + _LEFT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle" fill="{_GREY}">{across}</text>'
    yield f'<text x="14" y="18" fill="{_GREY}">{escape(picture.label)}</text>'
    for place, (name, places, values) in enumerate(curves):
        points = [at(x, y) for x, y in zip(places, values, strict=True) if math.isfinite(y)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if place else ""
        colour = _COLOURS[place]
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        if picture.over == "step" and places[-1] < wide:
            x, y = points[-1]
            yield f'<text x="{x + 4:.1f}" y="{y + 4:.1f}" fill="{colour}">✕ not finite</text>'
        x = _LEFT + 320 * place
        yield _line(x, x + 22, _TOP - 22, f'stroke="{colour}" stroke-width="2"{dash}')
        yield f'<text x="{x + 27}" y="{_TOP - 18}" fill="{colour}">{escape(name)}</text>'
    yield "</svg>\n"


def _line(left: float, right: float, y: float, style: str) -> str:
    return f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" {style}/>'


def _height(curves: Sequence[Curve], logarithmic: bool) -> tuple[float, float]:
    """The ends of the vertical axis: powers of ten, or numbers as they are."""
    values = [value for _, _, values in curves for value in values if math.isfinite(value)]
    if not logarithmic:
        low, high = min(0.0, *values), max(values)
        return low, high if high > low else low + 1.0
    logs = [math.log10(value) for value in values if value > 0]
    return math.floor(min(logs)) - (min(values) == 0), math.ceil(max(logs) + 1e-9)


def _shown(value: float, logarithmic: bool, tall: tuple[float, float]) -> float:
    """Where a value is on the axis; 0 is at the lower end of a logarithmic one."""
    if not logarithmic:
        return value
    return math.log10(value) if value > 0 else tall[0]


def _ticks(tall: tuple[float, float], logarithmic: bool) -> list[float]:
    if not logarithmic:
        return [tall[0] + part * (tall[1] - tall[0]) / 4 for part in range(5)]
    every = max(1, math.ceil((tall[1] - tall[0]) / 5))
    return [10.0**power for power in range(int(tall[0]), int(tall[1]) + 1, every)]


def draw(folder: Path) -> None:
    """Write the figure of every rule that has a page and is not drawn yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        path = folder / f"{name}.svg"
        if name in RULES and not path.exists():
            path.write_text(figure(picture), encoding="utf-8")


def headed(name: str, page: str) -> str:
    """The page of a rule with its figure below the title, and its roots and remedies at the end."""
    rule = RULES[name]
    title, _, rest = page.partition("\n")
    parts = [title, ""]
    if name in PICTURES:
        parts += [
            f"![A training that the rule finds something in, and one that passes](figures/{name}.svg)",
            "",
        ]
    end = ["", ""]
    if rule.follows_from:
        roots = [f"[{root}]({root}.md)" for root in rule.follows_from]
        end += [f"It can follow from {listed(roots, most=20)}.", ""]
    if rule.remedies:
        end += [f"Remedies, by name: {listed([f'`{one}`' for one in rule.remedies], most=20)}.", ""]
    return "\n".join([*parts, rest.strip("\n"), *end])


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    folder = Path(app.srcdir) / "rules" / "figures"
    app.connect("builder-inited", lambda _: draw(folder))

    def read(_app: object, page: str, source: list[str]) -> None:
        room, _, name = page.partition("/")
        if room == "rules" and name in RULES:
            source[0] = headed(name, source[0])

    app.connect("source-read", read)
    return {"parallel_read_safe": True}
