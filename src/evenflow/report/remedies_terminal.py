"""The remedies of a study in the terminal: a table a network, a line a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenflow.compare.remedies import Effect
from evenflow.report.plain_table import plain_table
from evenflow.report.remedies import (
    bounds,
    found_in,
    labels,
    left_out_sentence,
    sentences,
    sign_words,
    text_key,
    verdict_words,
)
from evenflow.report.view import View, make_view
from evenflow.report.wording import decimal, signed

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as Grid

    from evenflow.record.table import Table
    from evenflow.spec.study import Study

_MOST_LINES = 80
_FEW = 3
_MEDIUM, _WIDE = 92, 116
"""Columns from which on an interval stands beside its mean, and that of the gradient's ratio is shown too."""


@dataclass(frozen=True, eq=False)
class Remedies:
    """A renderable for rich: for every network of the grid what each remedy did to it."""

    view: View
    effects: tuple[Effect, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[object]:
        from rich.padding import Padding
        from rich.text import Text

        names = labels(self.view)
        groups: dict[str, list[Effect]] = {}
        for one in self.effects:
            groups.setdefault(names.get(text_key(one.original), self.view.study.name), []).append(one)
        short = len(self.effects) > _MOST_LINES
        for name, some in groups.items():
            yield _grid(name, _best(some) if short else some, options.max_width)
        for line in self._remarks(short):
            yield Padding(Text(line, style="dim"), (0, 0, 0, 1))

    def _remarks(self, short: bool) -> Iterator[str]:
        yield from sentences(self.effects, self.view.study)
        if left_out_sentence(self.view.study):
            yield left_out_sentence(self.view.study)
        if short:
            yield f"The {_FEW} best remedies of each network; the report has all."
        yield "gain: test accuracy with the remedy minus without, paired by seed, with its 95 % interval."
        yield "first/last: log₁₀ of the first layer's gradient norm over the last layer's, before training."


def remedies(table: Table, changed: Table, study: Study) -> Remedies:
    """What the remedies of a study did, for `rich.console.Console.print`.

    Args:
        table: runs of the grid's networks.
        changed: these and the runs of the changed networks.
        study: what was asked for.
    """
    view = make_view(table, study)
    return Remedies(view, found_in(view, changed))


def _best(some: Sequence[Effect]) -> list[Effect]:
    return sorted(some, key=lambda one: -one.gain.mean)[:_FEW]


def _grid(name: str, some: Sequence[Effect], width: int) -> Grid:
    from rich.text import Text

    wide, between = width >= _WIDE, " " if width >= _MEDIUM else "\n"
    first = some[0]
    ratio = decimal(first.ratio_before.mean, 1)
    grid = plain_table(f"{name} – as it is: accuracy {decimal(first.before.mean, 3)}, first/last {ratio}")
    grid.add_column("remedy", overflow="fold")
    grid.add_column("accuracy", justify="right", no_wrap=True)
    grid.add_column("gain", justify="right", no_wrap=True)
    grid.add_column("first/\nlast", justify="right", no_wrap=True)
    if wide:
        grid.add_column("change", justify="right", no_wrap=True)
    grid.add_column("sign", no_wrap=True)
    grid.add_column("effect", no_wrap=True)
    for one in some:
        style = {"helps": "green", "harms": "red"}.get(one.verdict, "dim")
        change = [_with_bounds(signed(one.ratio.mean, 1), bounds(one.ratio, 1))] if wide else []
        grid.add_row(
            one.remedy if between == " " else one.remedy.replace(":", ":\n"),
            decimal(one.after.mean, 3),
            _with_bounds(signed(one.gain.mean, 2), bounds(one.gain, 2, 1.0), between),
            decimal(one.ratio_after.mean, 1),
            *change,
            sign_words(one)[0],
            Text(verdict_words(one), style=style),
        )
    return grid


def _with_bounds(text: str, interval: str, between: str = " ") -> str:
    return f"{text}{between}({interval})" if interval else text
