"""What was tried, as a table: in the terminal, in a text."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from evenflow.verify.outcome import Trials, Tried
from evenflow.verify.wording import shown_reading, shown_value
from evenflow.wording import MISSING, number

if TYPE_CHECKING:
    from rich.table import Table

HEADS = ("change", "steps", "{metric}", "first/last", "promised sign", "what became of it")
"""Of the columns; "first/last" is the gradient of the first layers over that of the last."""
_WIDTH = 100
_NARROW = 80
"""Columns below which all that is said of a change stands in one column beside it."""


def cells(row: Tried, trials: Trials) -> tuple[str, ...]:
    """One row as text."""
    ratio = MISSING if math.isnan(row.ratio) else number(row.ratio, 2)
    sign = "" if row.name == "original" else shown_reading(row.reading)
    return (
        row.title,
        f"{row.steps:,}",
        shown_value(row.value, trials.metric),
        ratio,
        sign,
        row.status,
    )


def heads(trials: Trials) -> tuple[str, ...]:
    """The names of the columns."""
    return tuple(head.format(metric=trials.metric) for head in HEADS)


def grid(trials: Trials, width: int = _WIDTH) -> Table:
    """For rich to print; what is recommended stands out."""
    from rich.text import Text

    from evenflow.report.plain_table import plain_table

    found = plain_table(None)
    if width < _NARROW:
        found.add_column(HEADS[0], ratio=1, overflow="fold")
        found.add_column(HEADS[-1], ratio=1, overflow="fold")
        for row in trials.rows:
            style = "bold" if row.chosen else ""
            title, steps, value, ratio, sign, status = cells(row, trials)
            words = [f"{steps} steps: {trials.metric} {value}", f"first/last {ratio}", sign, status]
            found.add_row(Text(title, style=style), Text("; ".join(filter(None, words)), style=style))
        return found
    for place, head in enumerate(heads(trials)):
        is_figure = place in (1, 2, 3)
        found.add_column(
            head, justify="right" if is_figure else "left", no_wrap=is_figure, ratio=None if is_figure else 2
        )
    for row in trials.rows:
        style = "bold" if row.chosen else "dim" if row.value != row.value else ""
        found.add_row(*(Text(cell, style=style) for cell in cells(row, trials)))
    return found


def text(trials: Trials, width: int = _WIDTH) -> str:
    """As plain text."""
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width, color_system=None, highlight=False).print(grid(trials, width))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n")
