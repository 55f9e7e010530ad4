"""Scores as tables of text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from .scoring import PREFIXES, Score


def detectors(scores: Sequence[Score], title: str) -> Table:
    """One line a detector."""
    table = Table(title=title, title_justify="left")
    for column in (
        "detector",
        "cause first",
        "by its own name",
        "cause found",
        "root first",
        "sound, but alarmed",
    ):
        table.add_column(column, justify="left" if column == "detector" else "right")
    for one in scores:
        shares = (one.first, one.strictly_first, one.found, one.root_first, one.false_alarms)
        table.add_row(one.detector, *(str(share) for share in shares))
    return table


def steps(scores: Sequence[Score], title: str) -> Table:
    """Share of faults whose cause is named first, by number of steps."""
    table = Table(title=title, title_justify="left")
    table.add_column("detector")
    for count in PREFIXES:
        table.add_column(f"{count} steps", justify="right")
    table.add_column("median steps", justify="right")
    for one in scores:
        shares = (f"{one.by_steps[count].value:.2f}" for count in PREFIXES)
        table.add_row(one.detector, *shares, f"{one.steps:g}")
    return table


def rules(score: Score, title: str) -> Table:
    """One line a rule of one detector."""
    table = Table(title=title, title_justify="left")
    for column in ("rule", "cases", "alarms", "precision", "recall", "F1", "confidence"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for one in score.rules:
        if one.positives or one.alarms:
            shares = (one.precision, one.recall, one.f1)
            counts = (str(one.positives), str(one.alarms))
            table.add_row(one.rule, *counts, *(str(share) for share in shares), f"{one.confidence:.2f}")
    return table


def compared(scores: Sequence[Score], title: str) -> Table:
    """F1 by rule and detector."""
    table = Table(title=title, title_justify="left")
    table.add_column("F1 of rule")
    for one in scores:
        table.add_column(one.detector, justify="right")
    for place, rule in enumerate(scores[0].rules):
        if rule.positives:
            table.add_row(rule.rule, *(f"{one.rules[place].f1.value:.2f}" for one in scores))
    return table


def markdown(scores: Sequence[Score], name: str) -> str:
    """The same figures as two tables in Markdown, for the documentation."""
    head = (
        "detector",
        "cause named first",
        "cause found",
        "root first",
        "sound, but alarmed",
        "median steps",
    )
    lines = [f"### {name.capitalize()} half", "", _line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    for one in scores:
        shares = (one.first, one.found, one.root_first, one.false_alarms)
        lines.append(_line([one.detector, *(str(share) for share in shares), f"{one.steps:g}"]))
    head = ("rule", "cases", f"F1 of {scores[0].detector}", *(f"F1 of {one.detector}" for one in scores[1:]))
    lines += ["", _line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    for place, rule in enumerate(scores[0].rules):
        if rule.positives:
            others = (f"{one.rules[place].f1.value:.2f}" for one in scores[1:])
            lines.append(_line([f"`{rule.rule}`", str(rule.positives), str(rule.f1), *others]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
