"""The flow of one run in the terminal: a head, and a line a layer with its gradient through training.

All sparklines share one scale, so that lines compare with one another as well as along themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from evenflow.record.table import Table
from evenflow.report.flow_columns import TRENDS, fitting, flow_columns, percent
from evenflow.report.flow_facts import clipping, first_to_last, nonfinite, total_norm
from evenflow.report.flow_layers import FlowLayers, flow_layers
from evenflow.report.flow_lines import (
    BROKEN,
    ZERO,
    chosen,
    distinct_width,
    limits,
    packed,
    shortened,
    sparkline,
)
from evenflow.report.plain_table import plain_table
from evenflow.report.wording import decimal, number, plural

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as Grid
    from rich.text import Text

NOTHING = "Nothing recorded yet."
_LEAST_NAME, _MOST_NAME = 12, 26
_MOST_TREND = 48
_NARROWEST = 24  # below this even a name and its gradient find no room


@dataclass(frozen=True, eq=False)
class FlowSummary:
    """A renderable for rich, as wide as the terminal allows."""

    layers: FlowLayers
    width: int | None
    rows: int

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[object]:
        from rich.text import Text

        width = max(_NARROWEST, min(options.max_width, self.width or options.max_width))
        if not len(self.layers.table):
            yield Text(NOTHING)
            return
        for line in packed([_steps(self.layers), *_head(self.layers)], width - 1):
            yield Text(f" {line}", style="bold", no_wrap=True, overflow="ellipsis")
        if len(self.layers):
            grid, notes = _grid(self.layers, width, self.rows)
            yield grid
            for line in packed(notes, width - 1):
                yield Text(f" {line}", style="dim", no_wrap=True, overflow="ellipsis")


def flow_summary(table: Table, *, width: int | None = None, rows: int = 40) -> FlowSummary:
    """The flow of one run for `rich.console.Console.print`.

    Args:
        table: what a probe wrote.
        width: cells to a line; what the terminal has when left out.
        rows: about how many layers to show; of more, the first, the last, and the worst between them.

    Raises:
        SpecError: the table holds rows of several runs.
    """
    return FlowSummary(flow_layers(table), width, max(3, rows))


def flow_text(table: Table, width: int = 100, *, rows: int = 40) -> str:
    """The same as plain text, without colour.

    >>> from evenflow.record import Run
    >>> flow_text(Table.from_rows([Run("a")], []))
    'Nothing recorded yet.'
    """
    from rich.console import Console

    file = StringIO()
    console = Console(width=max(width, _NARROWEST), file=file, color_system=None, force_jupyter=False)
    console.print(flow_summary(table, width=width, rows=rows))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n")


def _steps(layers: FlowLayers) -> str:
    steps = layers.steps
    where = f"{steps[0]:,} to {steps[-1]:,}" if len(steps) > 1 else f"{steps[0]:,}"
    return f"{plural(len(steps), 'step')} recorded: {where}"


def _head(layers: FlowLayers) -> Iterator[str]:
    ratio = first_to_last(layers)
    if not math.isnan(ratio) or (len(layers) > 1 and len(layers.gradients.steps)):
        yield f"first/last gradient {decimal(ratio)}{'' if math.isnan(ratio) else ' decades'}"
    total = total_norm(layers)
    if not math.isnan(total):
        yield f"total gradient norm {number(total) if math.isfinite(total) else 'not finite'}"
    share, smallest = clipping(layers)
    if not math.isnan(share):
        yield f"clipped in {percent(share)} % of steps, smallest ratio {number(smallest)}"
    found = nonfinite(layers)
    if found:
        entries = f"{found.entries:,} entries" if found.entries else "norms"
        yield f"not finite: {entries}, first at step {found.step:,} in {found.site.name} ({found.site.kind})"
    elif not np.isnan(layers.table["nonfinite_count"]).all():
        yield "all finite"


def _grid(layers: FlowLayers, width: int, rows: int) -> tuple[Grid, list[str]]:
    from rich.text import Text

    shown = chosen(layers, rows)
    gaps = {place: _gap(int(gap)) for place, gap in zip(shown[1:], np.diff(shown) - 1, strict=True) if gap}
    names = [layers.names[place] for place in shown]
    widest = max(map(len, ("layer", *names, *gaps.values())))
    least = min(widest, max(distinct_width(names, _LEAST_NAME, _MOST_NAME), *map(len, ("", *gaps.values()))))
    steps = len(layers.gradients.steps)
    columns = fitting(flow_columns(layers), width - 3 - least, steps)
    titles = [column.title for column in columns]
    spare = width - 3 - least - sum(column.width + 2 for column in columns)
    trend = min(TRENDS[1][1], steps)
    if steps < 2 or "grad" not in titles or spare < trend + 2:
        trend = 0
    spare -= trend + 2 if trend else 0
    wished = min(TRENDS[-1][1], steps) - trend if trend else 0
    name_width = least + max(0, min(widest - least, spare - wished))
    trend = min(_MOST_TREND, steps, trend + spare - name_width + least) if trend else 0
    low, high = limits(layers.gradients.logs)

    grid = plain_table(None)
    grid.add_column("layer", width=name_width, no_wrap=True)
    for column in columns:
        side = "right" if column.right else "left"
        grid.add_column(column.title, justify=side, width=column.width, no_wrap=True)
        if column.title == "grad" and trend:
            grid.add_column("trend"[:trend], width=trend, no_wrap=True)
    marks = ""
    for place, name in zip(shown, names, strict=True):
        if place in gaps:
            grid.add_row(Text(gaps[place], style="dim"))
        line = [Text(shortened(name, name_width))]
        for column in columns:
            line.append(Text(*column.entries[place]))
            if column.title == "grad" and trend:
                line.append(_coloured(sparkline(layers.gradients, place, trend, low, high)))
                marks += line[-1].plain
        grid.add_row(*line)
    notes = list(_notes(titles, (low, high) if trend else (0.0, 0.0), marks))
    if gaps:
        notes.append(f"{len(shown)} of {len(layers)} layers: the first, the last, the worst between")
    return grid, notes


def _gap(count: int) -> str:
    return f"… {plural(count, 'layer')} more"


def _notes(titles: Sequence[str], scale: tuple[float, float], marks: str) -> Iterator[str]:
    if "grad" in titles:
        yield "grad: log₁₀ of the gradient's norm before clipping"
    if scale[0] < scale[1]:
        yield f"trend: ▁ {decimal(scale[0], 1)} to █ {decimal(scale[1], 1)}, the same for all"
    said = {ZERO: f"{ZERO} exactly zero", BROKEN: f"{BROKEN} not finite"}
    if any(mark in marks for mark in said):
        yield ", ".join(text for mark, text in said.items() if mark in marks)
    if "upd/w" in titles:
        yield "upd/w: log₁₀ of update over weight"
    if "sat%" in titles or "dead%" in titles:
        yield "dead, saturated, rms: of the activation behind the layer"


def _coloured(line: str) -> Text:
    from rich.text import Text

    text = Text(line, style="cyan")
    text.highlight_regex(f"{BROKEN}+", "bold red")
    text.highlight_regex(f"{ZERO}+", "yellow")
    return text
