"""The results in the terminal: what fits 80 columns, and more where there is room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenflow.record.table import Table
from evenflow.report.columns import Column, Entry, columns, reliability, state, without_energy
from evenflow.report.view import View, cell_label, field_label, make_view, seed_count
from evenflow.report.wording import plural
from evenflow.spec.study import Study

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as Grid
    from rich.text import Text

_MOST_ROWS = 60
_PADDING = 2
# What a line is filled with, in the order of worth, as long as there is room: a figure, then its interval.
_WISHES = (
    ("test_accuracy", False),
    ("log_ratio_start", False),
    ("test_accuracy", True),
    ("log_ratio_end", False),
    ("worst_recall", False),
    ("minority_recall", False),
    ("steps_to_target", False),
    ("dead_mean", False),
    ("saturated_mean", False),
    ("log_ratio_start", True),
    ("worst_recall", True),
    ("log_ratio_end", True),
    ("seconds_to_target", False),
    ("joules", False),
    ("slope_start", False),
    ("steps_to_target", True),
)
_TITLES = {
    "test_accuracy": "test\naccuracy",
    "log_ratio_start": "first/last\nat start",
    "log_ratio_end": "first/last\nat end",
    "worst_recall": "worst\nclass",
    "minority_recall": "rarest\nclass",
    "steps_to_target": "steps\nto {target:g}",
    "dead_mean": "dead\nunits",
    "saturated_mean": "satu-\nrated",
    "seconds_to_target": "seconds\nto {target:g}",
    "joules": "energy\n(J)",
    "slope_start": "decades\na layer",
}


@dataclass(frozen=True, eq=False)
class Results:
    """A renderable for rich: a table as wide as the terminal allows, and what must be said below it."""

    view: View

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[object]:
        from rich.padding import Padding
        from rich.text import Text

        yield self._grid(options.max_width)
        for line in self._remarks():
            yield Padding(Text(line, style="dim"), (0, 0, 0, 1))

    def _grid(self, width: int) -> Grid:
        from rich import box
        from rich.table import Table as Grid
        from rich.text import Text

        view = self.view
        places, gap = self._rows()
        names = [*view.others, view.compared]
        labels = [tuple(_label(view, place, name) for name in names) for place in places]
        states = [state(view.choices[place].summary) for place in places]
        remarkable = any(states)
        head = ""
        if remarkable and all(not text or text.endswith("diverged") for text in states):
            head, states = "diverged", [text.removesuffix(" diverged") for text in states]
        entries = {
            column.figure: [column.entry(view.choices[place].summary) for place in places]
            for column in columns(view.summary)
        }
        titles = {name: title.format(target=view.summary.target_accuracy) for name, title in _TITLES.items()}
        taken = sum(
            _widest([field_label(name), *column])
            for name, column in zip(names, zip(*labels, strict=True), strict=True)
        )
        taken += 2 + _widest(["trained"]) + (_widest([head, *states]) if remarkable else 0)
        shown = _fitting(width - taken, entries, titles)

        grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
        for name in names:
            grid.add_column(field_label(name), overflow="fold", vertical="bottom")
        for column in columns(view.summary):
            if column.figure in shown:
                grid.add_column(titles[column.figure], justify="right", no_wrap=True)
        grid.add_column("seeds\ntrained", justify="right", no_wrap=True)
        if remarkable:
            grid.add_column(head, overflow="fold", justify="right" if head else "left", vertical="bottom")
        before: Sequence[str] = ()
        for row, place in enumerate(places):
            cell = view.choices[place].summary
            line = [Text(value) for value in _without_repeats(labels[row], () if gap else before)]
            before = labels[row]
            line += [
                _figure(column, entries[column.figure][row], shown)
                for column in columns(view.summary)
                if column.figure in shown
            ]
            line.append(Text(reliability(cell).text, style=_worth(cell.reliability.mean)))
            if remarkable:
                line.append(Text(states[row], style="red" if cell.diverged or cell.failed else "dim"))
            grid.add_row(*line)
            if gap and row == gap - 1:
                grid.add_section()
        return grid

    def _rows(self) -> tuple[list[int], int]:
        """Places of the cells to show, and after how many of them there is a gap (0: none)."""
        count = len(self.view.choices)
        if count <= _MOST_ROWS:
            return list(range(count)), 0
        half = _MOST_ROWS // 2

        def worth(place: int) -> float:
            mean = self.view.choices[place].summary.figures["test_accuracy"].mean
            return -1.0 if math.isnan(mean) else mean

        ranked = sorted(range(count), key=worth, reverse=True)
        return [*ranked[:half], *ranked[-half:]], half

    def _remarks(self) -> Iterator[str]:
        view = self.view
        count = len(view.choices)
        if count > _MOST_ROWS:
            half = _MOST_ROWS // 2
            yield f"{half} best and {half} worst of {count} networks by test accuracy; the report has all."
        if view.unfinished:
            yield f"So far: {plural(view.unfinished, 'training')} not ended."
        if view.seeds == 1:
            yield "One seed: no intervals."
        elif view.seeds:
            yield f"Mean of {seed_count(view)}; in brackets the 95 % interval, cut at what is possible."
        diverged = sum(choice.summary.diverged for choice in view.choices)
        total = sum(len(choice.summary.results) for choice in view.choices)
        yield f"Diverged: {diverged} of {plural(total, 'training')}."
        yield "first/last: log₁₀ of the first layer's gradient norm over the last layer's."
        yield "trained: better than guessing at the end."
        if without_energy(view.summary):
            yield "Energy: not available on this machine."


def results(table: Table, study: Study) -> Results:
    """What a study ends with in the terminal, for `rich.console.Console.print`."""
    return Results(make_view(table, study))


def _fitting(room: int, entries: Mapping[str, Sequence[Entry]], titles: Mapping[str, str]) -> dict[str, bool]:
    """Figure -> whether its interval is shown too, for as many as the room allows."""
    shown: dict[str, bool] = {}
    for figure, bounded in _WISHES:
        if figure not in entries or (bounded and figure not in shown):
            continue
        more = _needed(entries[figure], titles[figure], bounded)
        if figure in shown:
            more -= _needed(entries[figure], titles[figure], False)
        if more <= room:
            room -= more
            shown[figure] = bounded
    return shown


def _needed(entries: Sequence[Entry], title: str, bounded: bool) -> int:
    return _widest([*title.split("\n"), *(_plain(entry, bounded) for entry in entries)])


def _widest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0) + _PADDING


def _plain(entry: Entry, bounded: bool) -> str:
    if entry.partial:
        return f"{entry.text} ({entry.partial})"
    return f"{entry.text} [{entry.bounds.replace(' to ', ', ')}]" if bounded and entry.bounds else entry.text


def _label(view: View, place: int, name: str) -> str:
    value = view.choices[place].summary.fields.get(name)
    return cell_label(name, value)


def _without_repeats(labels: Sequence[str], before: Sequence[str]) -> list[str]:
    """Leading labels that the line above has too are left out; the last one always stands."""
    told = list(labels)
    for place, (label, above) in enumerate(zip(labels[:-1], before, strict=False)):
        if label != above:
            break
        told[place] = ""
    return told


def _figure(column: Column, entry: Entry, shown: Mapping[str, bool]) -> Text:
    from rich.text import Text

    text = Text(entry.text, style=_worth(entry.order) if column.figure == "test_accuracy" else "")
    return text.append(_plain(entry, shown[column.figure])[len(entry.text) :], style="dim")


def _worth(share: float) -> str:
    return "" if math.isnan(share) else "green" if share >= 0.9 else "yellow" if share >= 0.3 else "red"
