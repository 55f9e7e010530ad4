"""A diagnosis as a piece of HTML that stands by itself: in a notebook, in a page, on a light and on a dark ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.text import advice, evidence, headline, unjudged
from evenflow.wording import listed, named

if TYPE_CHECKING:
    from evenflow.diagnose.diagnosis import Diagnosis

_STYLE = """
.evenflow-diagnosis { font: 14px/1.45 system-ui, sans-serif; max-width: 60em; }
.evenflow-diagnosis .head { font-weight: 600; margin: 1em 0 .6em; }
.evenflow-diagnosis article { border-left: 4px solid var(--mark); padding: .1em 0 .1em .8em; margin: .6em 0; }
.evenflow-diagnosis .fault { --mark: #D55E00; }
.evenflow-diagnosis .risk { --mark: #E69F00; }
.evenflow-diagnosis .information { --mark: #0072B2; }
.evenflow-diagnosis .severity { font-weight: 600; border-bottom: 2px solid var(--mark); }
.evenflow-diagnosis p { margin: .25em 0; overflow-wrap: anywhere; }
.evenflow-diagnosis dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1em; margin: 0 0 .8em; }
.evenflow-diagnosis dt { opacity: .75; }
.evenflow-diagnosis dd { margin: 0; overflow-wrap: anywhere; }
.evenflow-diagnosis ol { margin: .25em 0; padding-left: 1.6em; }
.evenflow-diagnosis li { margin: .2em 0; overflow-wrap: anywhere; }
.evenflow-diagnosis code { opacity: .75; font-size: 88%; }
.evenflow-diagnosis summary { cursor: pointer; opacity: .85; }
.evenflow-diagnosis article article { margin-right: 0; }
@media (max-width: 480px) { .evenflow-diagnosis article { padding-left: .5em; } }
.evenflow-diagnosis .small { opacity: .75; font-size: 92%; overflow-wrap: anywhere; }
"""


def html(diagnosis: Diagnosis) -> str:
    """The fragment; every word in it is escaped."""
    parts = [f'<p class="head">{escape(headline(diagnosis))}</p>', *_about(diagnosis)]
    for finding in diagnosis.roots:
        parts.append(_article(finding, diagnosis.consequences(finding)))
    for head, words in unjudged(diagnosis):
        parts.append(f'<p class="small">{escape(f"{head}: {words}")}</p>')
    return f'<div class="evenflow-diagnosis"><style>{_STYLE}</style>{"".join(parts)}</div>'


def _about(diagnosis: Diagnosis) -> Iterator[str]:
    about = diagnosis.about
    steps = diagnosis.first_step is not None and f"{diagnosis.first_step:,} to {diagnosis.last_step:,}"
    lines = {
        "Run": diagnosis.run,
        "Model": about.model,
        "Optimiser": about.optimiser,
        "Steps": steps or "",
        "Begun": about.begun,
        "Source": about.file + (f", line {about.line}" if about.line else ""),
    }
    if about.model or about.optimiser or about.begun:
        rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in lines.items() if value)
        yield f"<dl>{rows}</dl>"


def page(diagnoses: Sequence[Diagnosis], title: str) -> str:
    """A whole page of diagnoses."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>:root {{ color-scheme: light dark; }} "
        "body { margin: 2em auto; padding: 0 1em; max-width: 60em; }</style></head><body>"
        f"{''.join(map(html, diagnoses))}</body></html>\n"
    )


def _article(finding: Finding, consequences: Sequence[Finding]) -> str:
    parts = [*_head(finding), f"<p>{escape(finding.message)}</p>"]
    if finding.evidence:
        parts.append(f'<p class="small">Evidence: {escape(evidence(finding))}</p>')
    parts += [_consequence(one) for one in consequences]
    parts += _explained(finding)
    if finding.remedies:
        lines = "".join(
            f"<li>{escape(said)} <code>{escape(name)}</code></li>" for name, said in advice(finding)
        )
        parts.append(f"<p><b>What to do</b>, the best first:</p><ol>{lines}</ol>")
    return f'<article class="{escape(finding.severity)}">{"".join(parts)}</article>'


def _explained(finding: Finding) -> Iterator[str]:
    """What the rule is about, folded; a page that stands by itself has nowhere to point to."""
    from evenflow.diagnose.rules import RULES

    rule = RULES.get(finding.rule)
    if rule is not None and rule.explanation:
        yield (
            f"<details><summary>What {escape(rule.name)} is, and why it matters</summary>"
            f"<p>{escape(rule.explanation)}</p></details>"
        )


def _consequence(finding: Finding) -> str:
    story = f'<p class="small">since {escape(finding.story)}</p>' if finding.story else ""
    inner = "".join(_head(finding)) + f"<p>{escape(finding.message)}</p>{story}"
    return f'<article class="{escape(finding.severity)}">{inner}</article>'


def _head(finding: Finding) -> Iterator[str]:
    step = "" if finding.first_step is None else f" from step {finding.first_step:,}"
    where = f" in {listed([named(one) for one in finding.sites], most=3)}" if finding.sites else ""
    yield (
        f'<p><span class="severity">{escape(finding.severity)}</span> {escape(finding.code)} '
        f"<b>{escape(finding.rule)}</b>{escape(where + step)}</p>"
    )
