"""Workflow commands of GitHub: a printed line that becomes an annotation.

Source: docs.github.com, "Workflow commands for GitHub Actions", setting a notice, warning or error message; the
escapes are those of its own toolkit (`%`, line ends, and in properties `:` and `,`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evenflow.diagnose.finding import Finding, Severity

if TYPE_CHECKING:
    from evenflow.diagnose.diagnosis import Diagnosis

_COMMANDS: Mapping[Severity, str] = {"fault": "error", "risk": "warning", "information": "notice"}


def commands(diagnosis: Diagnosis) -> tuple[str, ...]:
    """A line for every finding, in their order."""
    lines = []
    about = diagnosis.about
    place = f"file={_property(about.file)}," if about.file else ""
    place += f"line={about.line}," if about.file and about.line else ""
    for one in diagnosis.findings:
        title = _property(f"{one.code} {one.rule}" + (f" in {diagnosis.run}" if diagnosis.run else ""))
        parts = [one.message, one.story and f"Follows from {one.story}.", _remedies(one)]
        lines.append(
            f"::{_COMMANDS[one.severity]} {place}title={title}::{_data(' '.join(filter(None, parts)))}"
        )
    return tuple(lines)


def _remedies(finding: Finding) -> str:
    """The best sentence, or the names where there are none."""
    if any(finding.advice):
        return f"What to do: {next(filter(None, finding.advice))}"
    return f"What to do: {', '.join(finding.remedies)}." if finding.remedies else ""


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
