"""Why a remedy is offered: what it does here, and the finding that it answers, in one sentence."""

from __future__ import annotations

from collections.abc import Collection

from evenflow.diagnose.finding import Finding
from evenflow.prescribe.prescription import View
from evenflow.wording import capitalised


def answered(view: View, rules: Collection[str]) -> Finding | None:
    """The finding that a remedy for these rules answers: a root before others."""
    found = (*view.diagnosis.roots, *view.diagnosis.findings)
    return next((one for one in found if one.rule in rules), None)


def because(finding: Finding | None, does: str) -> str:
    """What a remedy does, and the finding behind it.

    >>> because(None, "the slope of ReLU is 1 above 0")
    'The slope of ReLU is 1 above 0.'
    """
    does = capitalised(does.rstrip("."))
    return f"{does}; {finding.rule}: {finding.message.rstrip('.')}." if finding else f"{does}."
