"""An outcome as a piece of HTML that stands by itself: in a notebook, in a page, on a light and on a dark ground."""

from __future__ import annotations

from html import escape

from evenflow.diagnose.html import html as diagnosis_html
from evenflow.diagnose.text import Line
from evenflow.verify.outcome import Outcome, Trials
from evenflow.verify.outcome_table import cells, heads
from evenflow.verify.outcome_text import blocks, lines

_STYLE = """
.evenflow-outcome { font: 14px/1.45 system-ui, sans-serif; max-width: 60em; }
.evenflow-outcome p { margin: .3em 0; }
.evenflow-outcome table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
.evenflow-outcome th, .evenflow-outcome td { text-align: left; vertical-align: top; padding: .25em .8em .25em 0; }
.evenflow-outcome th { border-bottom: 1px solid currentColor; font-weight: 600; }
.evenflow-outcome td.figure, .evenflow-outcome th.figure { text-align: right; white-space: nowrap; }
.evenflow-outcome tr.chosen { font-weight: 600; box-shadow: inset 4px 0 #009E73; }
.evenflow-outcome tr.chosen td:first-child { padding-left: .6em; }
.evenflow-outcome pre { overflow-x: auto; border-left: 4px solid #009E73; padding: .2em 0 .2em .8em; }
.evenflow-outcome .scroll { overflow-x: auto; }
"""
_FIGURES = (1, 2, 3)


def html(outcome: Outcome) -> str:
    """The fragment; every word in it is escaped."""
    words = [_paragraph(line) for line in lines(outcome)][1 + _faults(outcome) :]
    parts = [diagnosis_html(outcome.diagnosis), *words]
    if len(outcome.table) > 1:
        parts.append(_table(outcome.table))
    parts += [
        f"<p>{escape(head)}</p><pre><code>{escape(code)}</code></pre>" for head, code in blocks(outcome)
    ]
    return f'<div class="evenflow-outcome"><style>{_STYLE}</style>{"".join(parts)}</div>'


def table(trials: Trials) -> str:
    """The table alone."""
    return f'<div class="evenflow-outcome"><style>{_STYLE}</style>{_table(trials)}</div>'


def page(outcome: Outcome, title: str) -> str:
    """A whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>:root {{ color-scheme: light dark; }} "
        "body { margin: 2em auto; padding: 0 1em; max-width: 60em; }</style></head><body>"
        f"{html(outcome)}</body></html>\n"
    )


def _paragraph(line: Line) -> str:
    parts = (f"<b>{escape(words)}</b>" if "bold" in style else escape(words) for words, style in line.pieces)
    return f"<p>{''.join(parts)}</p>"


def _faults(outcome: Outcome) -> int:
    """Lines of the text that say what was found, which the diagnosis says with its evidence."""
    return sum(finding.severity != "information" for finding in outcome.diagnosis.roots)


def _table(trials: Trials) -> str:
    def line(tag: str, words: tuple[str, ...], kind: str = "") -> str:
        marked = (
            f"<{tag}{' class=figure' if place in _FIGURES else ''}>{escape(word)}</{tag}>"
            for place, word in enumerate(words)
        )
        return f"<tr{kind}>{''.join(marked)}</tr>"

    body = (line("td", cells(row, trials), " class=chosen" if row.chosen else "") for row in trials.rows)
    return f'<div class="scroll"><table>{line("th", heads(trials))}{"".join(body)}</table></div>'
