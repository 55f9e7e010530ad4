"""A diagnosis in the terminal, with colours and without: root first, what follows from it indented below.

Text is never read as markup: every line is made of (words, style) pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from evenflow.diagnose.finding import Finding, Severity
from evenflow.wording import capitalised, exact, listed, named, plural

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from evenflow.diagnose.diagnosis import Diagnosis

WIDTH = 100
ADVICE = 3
"""Remedies that are shown of a finding in the terminal; the best come first."""
_WORD = 20  # letters
_HANGING = 2  # columns by which what does not fit into a line is indented
STYLES: dict[Severity, str] = {"fault": "bold red", "risk": "bold yellow", "information": "bold cyan"}


@dataclass(frozen=True)
class Line:
    """One paragraph: pieces of (words, style), and how far its lines are indented."""

    pieces: tuple[tuple[str, str], ...]
    indent: int = 0

    @property
    def words(self) -> str:
        """All of it, without style."""
        return "".join(words for words, _ in self.pieces)


def text(diagnosis: Diagnosis, width: int = WIDTH) -> str:
    """As plain text."""
    lines = []
    for line in _lines(diagnosis):
        first, rest = " " * line.indent, " " * (line.indent + _HANGING)
        lines += wrap(
            line.words, width, initial_indent=first, subsequent_indent=rest, break_long_words=False
        ) or [""]
    return "\n".join(lines)


def rich_lines(diagnosis: Diagnosis, console: Console, width: int) -> Iterator[Text]:
    """The same lines for rich to print, in colour."""
    from rich.text import Text

    for line in _lines(diagnosis):
        indent = line.indent
        for part in Text.assemble(*line.pieces).wrap(console, max(width - line.indent - _HANGING, 20)):
            part.rstrip()
            yield Text(" " * indent).append_text(part)
            indent = line.indent + _HANGING


def one_line(finding: Finding) -> str:
    """A finding in one line, for news of a training that goes on."""
    return f"{finding.severity} {finding.code} {finding.rule}{_where_and_when(finding)}: {finding.message}"


def headline(diagnosis: Diagnosis) -> str:
    """What the whole diagnosis comes to."""
    steps = plural(diagnosis.steps, "step") if diagnosis.steps else "a run without recorded steps"
    judged = plural(len(diagnosis.judged), "rule") + " judged"
    if missing := sum(one.applies for one in diagnosis.unjudged):
        judged += f", {missing} not"
    if any("the loss was not recorded" in one.why for one in diagnosis.unjudged):
        judged += "; the loss is not known: hand it over with probe.loss(loss)"
    if not diagnosis.judged:
        found = f"nothing could be judged in {steps}"
    elif not diagnosis.findings:
        found = f"nothing found in {steps}; {judged}"
    else:
        counts = [
            plural(count, word, many)
            for word, many in (("fault", ""), ("risk", ""), ("information", "information"))
            if (count := sum(one.severity == word for one in diagnosis.findings))
        ]
        found = f"{listed(counts)} in {steps}; {judged}"
    return f"{diagnosis.run}: {found}" if diagnosis.run else capitalised(found)


def evidence(finding: Finding) -> str:
    """The figures that a finding rests on; no words that its message has said."""
    return ", ".join(
        f"{name.replace('_', ' ')} = {_figure(value)}"
        for name, value in finding.evidence.items()
        if not (isinstance(value, str) and len(value) > _WORD and value in finding.message)
    )


def unjudged(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Which rules were not judged or do not apply, and why: a head and a text for each reason."""
    reasons: dict[tuple[bool, str], list[str]] = {}
    for one in diagnosis.unjudged:
        reasons.setdefault((one.applies, one.why), []).append(one.rule)
    for (applies, why), rules in sorted(reasons.items(), key=lambda reason: not reason[0][0]):
        head = "Not judged" if applies else "Does not apply" if len(rules) == 1 else "Do not apply"
        yield head, f"{listed(rules, most=20)} ({why})"


def _lines(diagnosis: Diagnosis) -> Iterator[Line]:
    yield Line(((headline(diagnosis), "bold"),))
    if diagnosis.about.words:
        yield Line(((capitalised(diagnosis.about.words), "dim"),), 2)
    shown: set[str] = set()
    for finding in diagnosis.findings:
        if finding.root or finding.rule in shown:
            continue
        yield from _finding(finding)
        for consequence in diagnosis.consequences(finding):
            yield from _consequence(consequence)
            shown.add(consequence.rule)
        yield from _advice(finding)
    for head, words in unjudged(diagnosis):
        yield Line(((f"{head}: {words}", "dim"),))


def _finding(finding: Finding) -> Iterator[Line]:
    yield Line(
        (
            (finding.severity.upper(), STYLES[finding.severity]),
            (f" {finding.code} ", ""),
            (finding.rule, "bold"),
            (_where_and_when(finding), ""),
        )
    )
    yield Line(((finding.message, ""),), 2)
    if finding.evidence:
        yield Line((("Evidence: ", "bold"), (evidence(finding), "")), 2)


def _advice(finding: Finding) -> Iterator[Line]:
    for place, (remedy, said) in enumerate(advice(finding)[:ADVICE]):
        head = "What to do: " if place == 0 else "or: "
        name = f" ({remedy})" if said else remedy
        yield Line(((head, "bold" if place == 0 else "dim"), (said, ""), (name, "dim")), 2 + 2 * (place > 0))


def advice(finding: Finding) -> list[tuple[str, str]]:
    """Each remedy and its sentence, or "" where it has none."""
    said = finding.advice or ("",) * len(finding.remedies)
    return list(zip(finding.remedies, said, strict=True))


def _consequence(finding: Finding) -> Iterator[Line]:
    yield Line(
        (
            ("→ ", "dim"),
            (finding.severity, STYLES[finding.severity].removeprefix("bold ")),
            (f" {finding.code} {finding.rule}{_where_and_when(finding)}: {finding.message}", ""),
        ),
        2,
    )
    if finding.story:
        yield Line(((f"since {finding.story}", "dim"),), 4)


def _where_and_when(finding: Finding) -> str:
    where = f" in {listed([named(one) for one in finding.sites], most=3)}" if finding.sites else ""
    return where if finding.first_step is None else f"{where} from step {finding.first_step:,}"


def _figure(value: float | int | str) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else exact(value)
