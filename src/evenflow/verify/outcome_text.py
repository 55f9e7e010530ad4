"""An outcome in words: what was found, what helps, how it was shown, what to change.

Text is never read as markup: every line is made of (words, style) pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.text import STYLES, WIDTH, Line, headline
from evenflow.verify.metric import Metric
from evenflow.verify.outcome import Outcome
from evenflow.verify.signs import WORDS
from evenflow.verify.wording import shown_difference, shown_reading, shown_value
from evenflow.wording import capitalised, listed, number, plural

if TYPE_CHECKING:
    from rich.console import Console

_INFERENCE = ("nothing", "a little", "a good deal")


def text(outcome: Outcome, width: int = WIDTH) -> str:
    """All of it as plain text."""
    parts = ["\n".join(_wrapped(line, width) for line in lines(outcome))]
    if len(outcome.table) > 1:
        from evenflow.verify.outcome_table import text as table

        parts.append(table(outcome.table, width))
    parts += [f"{head}\n\n{code}" for head, code in blocks(outcome)]
    return "\n\n".join(part.rstrip("\n") for part in parts)


def rich_parts(outcome: Outcome, console: Console, width: int) -> Iterator[object]:
    """The same for rich to print, in colour."""
    from rich.syntax import Syntax
    from rich.text import Text

    for line in lines(outcome):
        indent = line.indent
        for part in Text.assemble(*line.pieces).wrap(console, max(width - line.indent - 2, 20)):
            part.rstrip()
            yield Text(" " * indent).append_text(part)
            indent = line.indent + 2
    if len(outcome.table) > 1:
        yield outcome.table
    for head, code in blocks(outcome):
        yield Text(head, style="bold")
        language = "diff" if code.startswith("---") else "python"
        lines_of_code = Syntax("", language, theme="ansi_dark").highlight(code.strip("\n"))
        lines_of_code.no_wrap, lines_of_code.overflow = True, "ignore"  # to be copied as they are
        yield Text("")
        yield lines_of_code
        yield Text("")


def blocks(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The code, each with what it is."""
    if outcome.diff:
        folder = outcome.diff_folder
        where = "" if folder == Path.cwd().resolve() else f" in {folder}"
        yield f"As a change of the files{where}:", outcome.diff
    if outcome.code:
        yield "What to change:" if not outcome.diff else "Or by hand:", outcome.code


def lines(outcome: Outcome) -> Iterator[Line]:
    """The words, a paragraph each."""
    yield Line(((headline(outcome.diagnosis), "bold"),))
    for finding in outcome.diagnosis.roots:
        if finding.severity == "information":
            continue
        yield Line(
            (
                (finding.severity.upper(), STYLES[finding.severity]),
                (f" {finding.code} ", ""),
                (finding.rule, "bold"),
                (f": {finding.message}{_followers(outcome, finding)}", ""),
            ),
            2,
        )
    if outcome.chosen is None:
        style = "bold green" if outcome.healthy else "bold yellow"
        yield Line(((capitalised(outcome.reason) + ".", style),))
    else:
        yield from _recommended(outcome)
    for name, reason in outcome.withheld.items():
        yield Line((("Not tried: ", "bold"), (name, ""), (f", because {reason}", "")), 2)
    for note in outcome.notes:
        yield Line((("Note: ", "bold"), (note, "")), 2)
    spent = f"{plural(outcome.examined, 'step')} examined, {outcome.steps:,} tried, {outcome.seconds:.0f} s"
    yield Line(((spent, "dim"),), 2)


def _followers(outcome: Outcome, root: Finding) -> str:
    """What else was found and goes with the root, as a sentence; "" where nothing does."""
    found = [one.rule for one in outcome.diagnosis.consequences(root) if one.severity != "information"]
    return f" From it {'follow' if len(found) > 1 else 'follows'} {listed(found)}." if found else ""


def _recommended(outcome: Outcome) -> Iterator[Line]:
    chosen = outcome.chosen
    assert chosen is not None
    yield Line((("Repaired: ", "bold green"), (chosen.title, "bold"), (f" ({chosen.name})", "")))
    yield Line((("Why: ", "bold"), (chosen.why, "")), 2)
    own, row = outcome.table.rows[0], next(one for one in outcome.table if one.chosen)
    metric = outcome.table.metric
    result = (
        f"{metric} {shown_value(own.value, metric)} → {shown_value(row.value, metric)} after "
        f"{plural(row.steps, 'step')}"
    )
    if row.steps != own.steps:
        result += f" (as it is after {own.steps})"
    yield Line((("Result: ", "bold"), (result, "")), 2)
    if outcome.paired is not None:
        yield Line((("Shown: ", "bold"), (shown(outcome), "")), 2)
    if chosen.sign != "loss" and outcome.reading is not None:
        sign = f"{WORDS[chosen.sign]} {shown_reading(outcome.reading)}"
        yield Line((("Promised sign: ", "bold"), (sign, "")), 2)
    yield Line((("Cost: ", "bold"), (_cost(outcome), "")), 2)


def shown(outcome: Outcome) -> str:
    """How the change was shown to help."""
    paired = outcome.paired
    assert paired is not None
    metric = Metric(outcome.table.metric, outcome.table.higher, math.nan if not _is_score(outcome) else 0.0)
    starts = plural(len(paired.before), "other start")
    what = "other weights and another order of batches" if paired.redrawn else "another order of batches"
    return (
        f"on {starts} ({what}, {plural(paired.steps, 'step')} each) the change is better by "
        f"{shown_difference(paired.difference, metric)}"
    )


def _is_score(outcome: Outcome) -> bool:
    return outcome.table.metric in ("accuracy", "explained variance")


def _cost(outcome: Outcome) -> str:
    chosen, paired = outcome.chosen, outcome.paired
    assert chosen is not None
    inference = f"{_INFERENCE[min(chosen.inference, 2)]} when the trained model is used"
    if paired is None or math.isnan(paired.seconds_before) or math.isnan(paired.seconds_after):
        return inference
    before, after = (number(1000 * value, 2) for value in (paired.seconds_before, paired.seconds_after))
    return f"{after} ms a step in place of {before}; {inference}"


def _wrapped(line: Line, width: int) -> str:
    first, rest = " " * line.indent, " " * (line.indent + 2)
    found = wrap(line.words, width, initial_indent=first, subsequent_indent=rest, break_long_words=False)
    return "\n".join(found)
