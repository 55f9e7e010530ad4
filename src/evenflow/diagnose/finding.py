"""Findings: what a rule says of a training, with its evidence, and what it could not judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["fault", "risk", "information"]
SEVERITIES: tuple[Severity, ...] = ("fault", "risk", "information")
"""Worst first: a fault costs results now, a risk may, information costs nothing by itself."""


@dataclass(frozen=True)
class Finding:
    """What one rule has found in one run.

    Args:
        rule: the rule's name, such as "vanishing_gradient".
        code: its stable code, such as "EF101".
        severity: "fault", "risk" or "information".
        confidence: how often such a finding was right in the calibration, 0 to 1.
        sites: names of the layers or parameters concerned, the worst first.
        first_step: the first step at which it shows; None where it shows without training.
        evidence: the figures it rests on, by name, with their units in the names' words.
        message: one sentence in plain words that names the layer and the figures.
        remedies: names of remedies, the best first.
        root: the rule of the finding that this one follows from; "" for a root.
        story: how the root leads to this one, one sentence; "" for a root.
        advice: a sentence for each remedy, with this training's own values.
    """

    rule: str
    code: str
    severity: Severity
    confidence: float
    sites: tuple[str, ...]
    first_step: int | None
    evidence: Mapping[str, float | int | str]
    message: str
    remedies: tuple[str, ...] = ()
    root: str = ""
    story: str = ""
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unjudged:
    """A rule that could not be judged.

    Args:
        rule, code: of the rule.
        why: what is missing, and how to have it.
        applies: False where nothing is missing: there is nothing of what the rule is about.
    """

    rule: str
    code: str
    why: str
    applies: bool = True


@dataclass(frozen=True)
class Verdict:
    """What `judge` of a rule returns when it has found something; the engine makes a `Finding` of it.

    Args:
        severity, sites, first_step, evidence, message: as in `Finding`.
        strength: how far the evidence is beyond what the rule asks for, 0 to 1; orders findings of one severity.
        confidence: NaN for the rule's own, as calibrated.
        remedies: empty for the rule's own.
        alone: what is said behind the message where it follows from no other finding.
        given: whether it was decided before the training began, such as what an optimiser is given: it follows from no
            other finding.
    """

    severity: Severity
    sites: tuple[str, ...]
    message: str
    evidence: Mapping[str, float | int | str] = field(default_factory=dict)
    first_step: int | None = None
    strength: float = 0.5
    confidence: float = float("nan")
    remedies: tuple[str, ...] = ()
    alone: str = ""
    given: bool = False


class MissingError(Exception):
    """Raised by `judge` of a rule that cannot judge: what is missing, and how to have it."""


class NotApplicableError(MissingError):
    """There is nothing of what the rule is about in this network: nothing is missing, and nothing can be done."""
