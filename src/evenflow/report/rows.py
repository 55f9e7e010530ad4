"""The rows of the page's two tables: results and paired comparisons, as plain text with what sorts them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from evenflow.compare.summary import Comparison
from evenflow.report.columns import columns, reliability, state
from evenflow.report.story import LEVEL
from evenflow.report.view import View, cell_label, field_label, value_label
from evenflow.report.wording import MISSING, p_value, signed

MOST_COMPARISONS = 200


@dataclass(frozen=True)
class Head:
    """The head of one column: `kind` is "text" or "number", `group` a head over several."""

    title: str
    group: str
    kind: str
    meaning: str


COMPARISON_HEADS = (
    Head("field", "", "text", "what differs"),
    Head("from", "", "text", "the worse of the two"),
    Head("to", "", "text", "the better of the two"),
    Head("both with", "", "text", "what both have in the other fields of the grid"),
    Head("gain in accuracy", "", "number", "difference of the final test accuracy, mean over common seeds"),
    Head("adjusted p", "", "number", "paired t test, Holm's correction over all comparisons"),
)


@dataclass(frozen=True)
class Field:
    """One entry: what is read, what stands below it in grey, what sorts it, and a class for its looks."""

    text: str
    below: str = ""
    order: str = ""
    look: str = ""


def result_heads(view: View) -> tuple[Head, ...]:
    """Heads of the results table, left to right."""
    names = (*view.others, view.compared)
    texts = tuple(Head(field_label(name), "", "text", f"field of the study: {name}") for name in names)
    figures = tuple(
        Head(column.title, column.group, "number", column.meaning) for column in columns(view.summary)
    )
    trained = Head("trained", "at the end", "number", "seeds that end better than guessing")
    diverged = Head("diverged", "seeds", "number", "seeds whose loss became NaN or infinite")
    return (*texts, figures[0], trained, *figures[1:], diverged)


def head_groups(heads: Sequence[Head]) -> list[tuple[str, int]]:
    """Heads over several columns: (name, how many), left to right."""
    return [(name, len(list(group))) for name, group in groupby(heads, key=lambda head: head.group)]


def result_rows(view: View) -> tuple[tuple[Field, ...], ...]:
    """One row a cell, in the order of the heads."""
    names = (*view.others, view.compared)
    rows = []
    for choice in view.choices:
        cell = choice.summary
        first = [_field(name, cell.fields.get(name)) for name in names]
        entries = []
        for column in columns(view.summary):
            entry = column.entry(cell)
            entries.append(Field(entry.text, entry.bounds, _order(entry.order), f"is-{column.figure}"))
        trained = reliability(cell)
        share = Field(trained.text, trained.bounds, _order(trained.order))
        others = state(cell).split(", ")
        rest = ", ".join(part for part in others if not part.endswith("diverged"))
        diverged = Field(
            str(cell.diverged) if cell.results else MISSING,
            rest,
            str(cell.diverged),
            "bad" if cell.diverged else "",
        )
        rows.append((*first, entries[0], share, *entries[1:], diverged))
    return tuple(rows)


def comparison_rows(view: View) -> tuple[tuple[Field, ...], ...]:
    """One row a comparison: field, from, to, under equal, difference, adjusted p; the largest first."""
    found = sorted(view.summary.comparisons, key=_size, reverse=True)
    return tuple(_comparison(view, one) for one in found[:MOST_COMPARISONS])


def _comparison(view: View, one: Comparison) -> tuple[Field, ...]:
    difference = one.difference
    first, second = one.first, one.second
    if difference.mean < 0:  # told as a gain: from the worse to the better
        first, second = second, first
    size = abs(difference.mean)
    low, high = (
        sorted((difference.low, difference.high))
        if difference.mean >= 0
        else (-difference.high, -difference.low)
    )
    below = "" if math.isnan(low) else f"{signed(max(low, -1.0))} to {signed(min(high, 1.0))}"
    if difference.unpaired:
        below = f"{below}, {difference.unpaired} unpaired".lstrip(", ")
    shared: Mapping[str, object] = {
        name: value for name, value in one.shared.items() if name in (*view.others, view.compared)
    }
    return (
        Field(field_label(one.field)),
        Field(*_ordered(one.field, view.summary.cells[first].fields.get(one.field))),
        Field(*_ordered(one.field, view.summary.cells[second].fields.get(one.field))),
        Field(", ".join(value_label(name, value) for name, value in shared.items()) or MISSING),
        Field(signed(size) if not math.isnan(size) else MISSING, below, _order(size)),
        Field(
            p_value(one.adjusted_p_value),
            "",
            _order(one.adjusted_p_value),
            "clear" if one.adjusted_p_value < LEVEL else "",
        ),
    )


def _size(one: Comparison) -> float:
    return -1.0 if math.isnan(one.difference.mean) else abs(one.difference.mean)


def _field(name: str, value: object) -> Field:
    return Field(*_ordered(name, value), "name")


def _ordered(name: str, value: object) -> tuple[str, str, str]:
    """What is read, nothing below it, and what sorts it."""
    text = cell_label(name, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text, "", repr(float(value))
    return text, "", text


def _order(value: float) -> str:
    """What the page's script sorts by; "" goes last."""
    return (
        ""
        if math.isnan(value)
        else "1e999"
        if value == math.inf
        else "-1e999"
        if value == -math.inf
        else repr(value)
    )
