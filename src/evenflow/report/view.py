"""A study as a reader sees it: which field is compared, what each cell is called, which style it wears."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from evenflow.compare.summary import CellSummary, Summary, summarise
from evenflow.errors import SpecError
from evenflow.record.table import Table
from evenflow.report.style import LineStyle, line_style
from evenflow.report.wording import listed, plural, setting
from evenflow.spec.activation import activation
from evenflow.spec.study import Study

MOST_VALUES = 8  # more lines than this in one picture cannot be told apart
MOST_PANELS = 4
_BARE = ("activation", "optimiser", "data")


@dataclass(frozen=True, eq=False)
class Choice:
    """One cell.

    Args:
        summary: its figures over the seeds that ended.
        value: what it has in the compared field, for people.
        rest: what it has in the other fields of the grid; "" where there are none.
        style: one for each value of the compared field, the same in every picture.
        runs: places in `table.runs` of the seeds that ended, or, while none has, of those that run.
    """

    summary: CellSummary
    value: str
    rest: str
    style: LineStyle
    runs: tuple[int, ...]

    @property
    def label(self) -> str:
        """The whole name: `ReLU (initialisation torch)`."""
        return f"{self.value} ({self.rest})" if self.rest else self.value


@dataclass(frozen=True, eq=False)
class View:
    """A study with names and styles.

    Args:
        table, study, summary: what was recorded, what was asked for, what came of it.
        compared: the field whose values are told apart by style.
        others: the other fields in which cells differ.
        choices: every cell, in the order of the grid.
        predicted: what theory said of the networks; a run is about the cells that have all its fields.
    """

    table: Table
    study: Study
    summary: Summary
    compared: str
    others: tuple[str, ...]
    choices: tuple[Choice, ...]
    predicted: Table | None = None

    @cached_property
    def seeds(self) -> int:
        """The largest number of ended seeds of any cell."""
        return max((len(choice.summary.results) for choice in self.choices), default=0)

    @cached_property
    def unfinished(self) -> int:
        """Trainings that are still to end."""
        return sum(choice.summary.unfinished for choice in self.choices)

    @cached_property
    def layers_note(self) -> str:
        """What a layer is in the networks that are not fully connected; "" where all are."""
        found = {choice.summary.fields.get("family") for choice in self.choices}
        if not found & {"recurrent", "transformer"}:
            return ""
        return (
            "Every weight matrix counts as a layer, in the order of execution: two in a recurrent layer (from the "
            "input, from the state before), four in a block of a Transformer (attention in and out, then the others)."
        )

    @cached_property
    def drawn(self) -> tuple[Choice, ...]:
        """The cells that figures show: all, or where they are many, a selection over the whole range.

        Values and panels are ranked by mean test accuracy and taken at even ranks, the best and the worst always
        among them.
        """
        with_rows = [choice for choice in self.choices if choice.runs]
        values = _spread(with_rows, "value", MOST_VALUES)
        panels = _spread(with_rows, "rest", MOST_PANELS)
        return tuple(choice for choice in with_rows if choice.value in values and choice.rest in panels)

    @cached_property
    def selection_note(self) -> str:
        """What `drawn` leaves out, in words; "" where it leaves out nothing."""
        all_of_them = sum(bool(choice.runs) for choice in self.choices)
        if len(self.drawn) == all_of_them:
            return ""
        return (
            f"{len(self.drawn)} of {all_of_them} networks are drawn, spread evenly from the best test accuracy "
            "to the worst; the table has all."
        )


def make_view(table: Table, study: Study, predicted: Table | None = None) -> View:
    """Names, styles and order for the cells of a table that `study` made."""
    summary = summarise(table, study.target_accuracy, list(study.grid) or None)
    cells = summary.cells
    varied = [name for name in summary.grid if len({_text(cell.settings.get(name)) for cell in cells}) > 1]
    compared = _compared(varied, cells)
    others = tuple(name for name in varied if name != compared)
    values = list(dict.fromkeys(_text(cell.fields.get(compared)) for cell in cells))
    places = {run.key: place for place, run in enumerate(table.runs)}
    with_rows = set(table.index["run"].tolist())
    choices = []
    for cell in cells:
        choices.append(
            Choice(
                summary=cell,
                value=value_label(compared, cell.fields.get(compared)),
                rest=", ".join(value_label(name, cell.fields.get(name)) for name in others),
                style=line_style(values.index(_text(cell.fields.get(compared)))),
                runs=_runs(cell, table, places, with_rows),
            )
        )
    return View(table, study, summary, compared, others, tuple(choices), predicted)


def field_label(name: str) -> str:
    """A field as people say it.

    >>> field_label("learning_rate"), field_label("data")
    ('learning rate', 'data set')
    """
    return {"data": "data set", "path": "file"}.get(name, name.replace("_", " "))


def value_label(field: str, value: object) -> str:
    """A value of a field as people say it, with the field's name where it needs one.

    >>> value_label("activation", ["relu", "sigmoid"]), value_label("residual", "none")
    ('ReLU, sigmoid', 'no residual')
    >>> value_label("learning_rate", 1e6), value_label("standardise", False), value_label("width", [64, 32])
    ('learning rate 10⁶', 'not standardised', 'width 64, 32')
    """
    name = field_label(field)
    if field == "activation":
        words = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else [value]
        return ", ".join(_title(str(word)) for word in words)
    if field == "family":
        return "dense" if value is None else str(value)
    if field == "cell" and isinstance(value, str):
        return value.upper()
    if field == "standardise":
        return "standardised" if value else "not standardised"
    if value is None:
        return f"{name} by default"
    if value == "none":
        return f"no {name}"
    text = short(value)
    return text if field in _BARE else f"{name} {text}"


def short(value: object) -> str:
    """A plain value as a few characters, for a cell of a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return setting(value)
    if isinstance(value, list | tuple):
        return ", ".join(short(one) for one in value)
    text = "default" if value is None else str(value)
    return text.replace("\\", "/").rstrip("/").rpartition("/")[2] or text


def cell_label(field: str, value: object) -> str:
    """A value of a field in a cell of a table, under the field's name.

    >>> cell_label("cell", "gru"), cell_label("family", None), cell_label("learning_rate", 0.001)
    ('GRU', 'dense', '0.001')
    """
    named = field in ("activation", "family") or (field == "cell" and value is not None)
    return value_label(field, value) if named else short(value)


def grouped(view: View, choices: Sequence[Choice]) -> str:
    """Cells in a sentence, with nothing said twice: by a field that they share, or by the other fields."""
    most = 12 if len(view.others) < 2 else 4
    for name in (*view.others, view.compared) if view.others else ():
        values = {_text(choice.summary.fields.get(name)): choice for choice in choices}
        whole = [one for one in view.choices if _text(one.summary.fields.get(name)) in values]
        if len(values) == 1 and len(whole) == len(choices) > 1:
            shared = value_label(name, choices[0].summary.fields.get(name))
            return f"{'both' if len(choices) == 2 else f'all {len(choices)}'} with {shared}"
    cut = choices[:most]
    by_rest, by_value = _by(cut, "rest", "value"), _by(cut, "value", "rest")
    parts = by_rest if len(by_rest) <= len(by_value) or not view.others else by_value
    more = f"; and {len(choices) - most} more" if len(choices) > most else ""
    return "; ".join(parts) + more


def seed_count(view: View) -> str:
    """How many seeds a cell has: `3 seeds`, or `up to 3 seeds` where some have not ended."""
    text = plural(view.seeds, "seed")
    return (
        text if all(len(choice.summary.results) == view.seeds for choice in view.choices) else f"up to {text}"
    )


def seeds_in_words(view: View) -> str:
    """How the means of a figure came about: `mean of 3 seeds, bands: 95 % interval`."""
    if view.seeds > 1:
        return f"Mean of {seed_count(view)}; bands: 95 % interval."
    return "One seed: no intervals."


def _by(choices: Sequence[Choice], key: str, listed_key: str) -> list[str]:
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        groups.setdefault(getattr(choice, key), []).append(choice)
    parts = []
    for group in groups.values():
        names = [getattr(choice, listed_key) for choice in group]
        if listed_key == "value":
            rest = group[0].rest
            parts.append(f"{listed(names, 99)} ({rest})" if rest else listed(names, 99))
        elif any("," in name for name in names):
            parts.append(f"{group[0].value} ({'; '.join(names)})")
        else:
            parts.append(f"{group[0].value} ({listed(names, 99)})")
    return parts


def _compared(varied: Sequence[str], cells: Sequence[CellSummary]) -> str:
    if "activation" in varied or not varied:
        return "activation"
    # the field with the most values gives the fullest picture; of equals the first
    return max(varied, key=lambda name: len({_text(cell.settings.get(name)) for cell in cells}))


def _runs(cell: CellSummary, table: Table, places: Mapping[str, int], with_rows: set[int]) -> tuple[int, ...]:
    ended = [places[result.run.key] for result in sorted(cell.results, key=lambda one: one.run.seed)]
    if not ended:
        ended = [
            place
            for place, run in enumerate(table.runs)
            if run.status not in ("failed", "pending") and _text(run.fields) == _text(cell.fields)
        ]
    return tuple(place for place in ended if place in with_rows)


def _spread(choices: Sequence[Choice], key: str, most: int) -> set[str]:
    """The names under `key` to draw: all, or `most` of them at even ranks of mean accuracy."""
    accuracies: dict[str, list[float]] = {}
    for choice in choices:
        accuracies.setdefault(getattr(choice, key), []).append(choice.summary.figures["test_accuracy"].mean)
    if len(accuracies) <= most:
        return set(accuracies)

    def mean(name: str) -> float:
        known = [value for value in accuracies[name] if not math.isnan(value)]
        return sum(known) / len(known) if known else -1.0

    ranked = sorted(accuracies, key=mean, reverse=True)
    return {ranked[round(place * (len(ranked) - 1) / (most - 1))] for place in range(most)}


def _title(name: str) -> str:
    try:
        found = activation(name)
    except SpecError:  # a custom activation that this process does not know
        return name
    return found.title.lower() if found.title[1:].islower() else found.title


def _text(value: object) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, sort_keys=True, default=str)
