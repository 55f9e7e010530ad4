"""The columns of the flow in the terminal, and which of them find room."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evenflow.report.flow_layers import Array, FlowLayers, Mask
from evenflow.report.flow_lines import BROKEN
from evenflow.report.wording import MISSING, decimal, number

TRENDS = ((0, 0), (3, 8), (5, 16), (7, 24))
"""Up to which worth of a column the sparkline keeps how many characters."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column: its title, its entries, and the style of each; `worth` says which go first where room lacks."""

    title: str
    entries: Sequence[tuple[str, str]]
    worth: int
    right: bool = True

    @property
    def width(self) -> int:
        return max(map(len, (self.title, *(text for text, _ in self.entries))))

    @property
    def empty(self) -> bool:
        return all(text in ("", MISSING) for text, _ in self.entries)


def flow_columns(layers: FlowLayers) -> list[Column]:
    """Every column but name and sparkline, in the order in which they stand."""
    acts = [(_last_part(site.name) if site else "", "dim") for site in layers.behind("activation")]
    found = [
        Column("units", [(f"{site.units:,}", "dim") for site in layers.sites], 6),
        Column("grad", _entries(layers.gradients.latest, _log_text, _log_style), 0),
        Column("upd/w", _entries(layers.own("update_to_weight").latest, _log_text, _update_style), 2),
        Column("act", acts, 7, right=False),
        Column("rms", _entries(_output(layers), number), 4),
        Column(
            "dead%", _entries(layers.read("activation", "dead_fraction").latest, percent, _share_style), 1
        ),
        Column(
            "sat%", _entries(layers.read("activation", "saturated_fraction").latest, percent, _share_style), 3
        ),
        Column("entropy", _entries(layers.read("attention", "entropy").latest, decimal), 5),
    ]
    return [column for column in found if not column.empty]


def _output(layers: FlowLayers) -> tuple[Array, Mask]:
    """Size of what every layer hands on: of its activation, or where it has none of the module's output."""
    values, broken = layers.read("activation", "rms").latest
    others, others_broken = layers.read("output", "rms").latest
    none = np.isnan(values) & ~broken
    return np.where(none, others, values), np.where(none, others_broken, broken)


def _entries(
    latest: tuple[Array, Mask], say: Callable[[float], str], style: Callable[[float], str] = lambda _: ""
) -> list[tuple[str, str]]:
    return [
        (BROKEN, "bold red")
        if bad
        else (MISSING, "dim")
        if math.isnan(value)
        else (say(float(value)), style(float(value)))
        for value, bad in zip(*latest, strict=True)
    ]


def fitting(columns: Sequence[Column], room: int, steps: int) -> list[Column]:
    """The columns that find room beside the sparkline, which a column of less worth must leave longer."""
    taken, kept = 0, []
    for column in sorted(columns, key=lambda column: column.worth):
        trend = next(trend for worth, trend in TRENDS if column.worth <= worth)
        if taken + column.width + 2 + (min(trend, steps) + 2 if trend and steps > 1 else 0) <= room:
            taken += column.width + 2
            kept.append(column)
    return [column for column in columns if column in kept]


def _last_part(name: str) -> str:
    """What an activation is called in its block; the number that a container gives it says nothing."""
    part = name.rpartition(":")[2].rpartition(".")[2]
    return "" if part.isdigit() else part


def _log_text(value: float) -> str:
    return decimal(math.log10(value)) if value > 0 else "zero"


def percent(share: float) -> str:
    """A share in per cent; one that is not quite none or all does not round to it.

    >>> percent(0.001), percent(0.25), percent(0.996), percent(1.0)
    ('<1', '25', '>99', '100')
    """
    return "<1" if 0 < share < 0.005 else ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def _log_style(value: float) -> str:
    return "yellow" if value == 0 else ""


def _update_style(value: float) -> str:
    return "" if 1e-4 <= value <= 1e-2 else "yellow"


def _share_style(share: float) -> str:
    return "red" if share >= 0.9 else "yellow" if share >= 0.5 else ""
