"""The whole study on one page: one row a cell, and every comparison that changes one thing only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from evenflow.compare.figures import FIGURES, Result
from evenflow.compare.flow import flow_of_run
from evenflow.compare.intervals import Interval, mean_interval, wilson_interval
from evenflow.compare.outcome import outcome_of_run
from evenflow.compare.paired import Difference, holm, paired_difference
from evenflow.compare.rows import by_run
from evenflow.record.schema import Run
from evenflow.record.table import Table


@dataclass(frozen=True)
class CellSummary:
    """One combination of fields over all its seeds.

    Args:
        fields: every field that the cell's runs share.
        settings: those of the grid: what tells this cell from the others.
        results: the runs that ended, finished or diverged, one a seed.
        figures: name in `FIGURES` -> mean and interval over these seeds.
        reliability: share of these seeds that trained, with Wilson's interval; the spread between seeds is
            `figures["test_accuracy"].deviation`.
        diverged: how many of these seeds diverged. They count in every figure.
        failed: runs that broke off for a reason outside the network (no memory, say). No result, not counted.
        unfinished: runs that are still to end.
    """

    fields: Mapping[str, object]
    settings: Mapping[str, object]
    results: tuple[Result, ...]
    figures: Mapping[str, Interval]
    reliability: Interval
    diverged: int
    failed: int
    unfinished: int

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that ended, rising."""
        return tuple(sorted(result.run.seed for result in self.results))


@dataclass(frozen=True)
class Comparison:
    """Two cells that differ in one field of the grid, judged by their test accuracy.

    Args:
        field: what differs.
        first, second: indices into `Summary.cells`.
        shared: the other fields of the grid, which are equal.
        difference: test accuracy of the second minus that of the first, paired by seed.
        adjusted_p_value: Holm's, over all comparisons of the summary.
    """

    field: str
    first: int
    second: int
    shared: Mapping[str, object]
    difference: Difference
    adjusted_p_value: float


@dataclass(frozen=True)
class Summary:
    """All cells and all comparisons of a study.

    `grid` names the fields in which cells may differ; `target_accuracy` is that of "steps to target".
    """

    grid: tuple[str, ...]
    target_accuracy: float
    cells: tuple[CellSummary, ...]
    comparisons: tuple[Comparison, ...]


def summarise(table: Table, target_accuracy: float = 0.9, grid: Sequence[str] | None = None) -> Summary:
    """Group the runs of a table by everything but the seed, and compare the groups.

    Of two runs with equal fields and seed the later one in `table.runs` counts. Only measured runs count.

    Args:
        table: measured rows of any number of runs.
        target_accuracy: for the figures of efficiency.
        grid: the fields that the study varied. When it is left out: every field in which runs differ. Say it
            where one choice carries another with it (an optimiser its weight decay): two cells count as
            differing in one field if they do so in the grid.
    """
    groups = by_fields(table, target_accuracy)
    runs = [run for run in table.runs if run.source == "measured"]
    varied = tuple(_varied(runs) if grid is None else grid)
    cells = tuple(_cell(list(group.values()), varied) for group in groups.values())
    return Summary(varied, target_accuracy, cells, _comparisons(cells, varied))


def by_fields(table: Table, target_accuracy: float = 0.9) -> dict[str, dict[int, Result]]:
    """The measured results by everything but the seed: `text_of` the fields -> seed -> result."""
    groups: dict[str, dict[int, Result]] = {}
    for rows in by_run(table):
        if rows.run.source == "measured":
            result = Result(rows.run, outcome_of_run(rows, target_accuracy), flow_of_run(rows))
            groups.setdefault(text_of(rows.run.fields), {})[rows.run.seed] = result
    return groups


def _cell(group: Sequence[Result], grid: Sequence[str]) -> CellSummary:
    ended = tuple(result for result in group if result.run.status in ("finished", "diverged"))
    failed = sum(result.run.status == "failed" for result in group)
    fields = group[0].run.fields
    return CellSummary(
        fields=fields,
        settings={name: fields.get(name) for name in grid},
        results=ended,
        figures={name: mean_interval(map(figure.read, ended)) for name, figure in FIGURES.items()},
        reliability=wilson_interval(sum(result.outcome.trained for result in ended), len(ended)),
        diverged=sum(result.outcome.diverged for result in ended),
        failed=failed,
        unfinished=len(group) - len(ended) - failed,
    )


def _comparisons(cells: Sequence[CellSummary], grid: Sequence[str]) -> tuple[Comparison, ...]:
    accuracies = [
        {result.run.seed: result.outcome.test_accuracy for result in cell.results} for cell in cells
    ]
    found: list[Comparison] = []
    for field in grid:
        alike: dict[str, list[int]] = {}
        for number, cell in enumerate(cells):
            alike.setdefault(text_of(_without(cell.settings, field)), []).append(number)
        for numbers in alike.values():
            for first, second in combinations(numbers, 2):
                if text_of(cells[first].settings[field]) == text_of(cells[second].settings[field]):
                    continue
                difference = paired_difference(accuracies[first], accuracies[second])
                shared = _without(cells[first].settings, field)
                found.append(Comparison(field, first, second, shared, difference, difference.p_value))
    adjusted = holm([comparison.difference.p_value for comparison in found])
    return tuple(
        replace(comparison, adjusted_p_value=float(value))
        for comparison, value in zip(found, adjusted, strict=True)
    )


def _varied(runs: Iterable[Run]) -> list[str]:
    values: dict[str, set[str]] = {}
    absent = text_of(None)
    runs = list(runs)
    for name in dict.fromkeys(name for run in runs for name in run.fields):
        values[name] = {text_of(run.fields[name]) if name in run.fields else absent for run in runs}
    return [name for name, texts in values.items() if len(texts) > 1]


def _without(settings: Mapping[str, object], field: str) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name != field}


def text_of(value: object) -> str:
    """Plain data as text, so that lists too can be compared and grouped."""
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, sort_keys=True)
