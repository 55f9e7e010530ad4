"""A rule: a stable code, a name, what it is for, and a pure function from a case to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import Verdict


@dataclass(frozen=True)
class Rule:
    """One rule of diagnosis.

    Args:
        code: stable, such as "EF101".
        name: such as "vanishing_gradient".
        title: one line for people.
        judge: the verdict on a case, or None where all is well.

            Raises:
                MissingError: the case does not hold what the rule needs.
        remedies: names of what answers it, the best first.
        follows_from: names of the rules that can be its root, the likeliest first.
        confidence: share of its findings that were right on the calibration half of `benchmarks/detection.py`, with one
            right and one wrong one more (Laplace); 1 for a plain reading, which there is nothing to calibrate about.
        explanation: what it is and why it matters, in Markdown; shown by `evenflow rules NAME`.
    """

    code: str
    name: str
    title: str
    judge: Callable[[Case], Verdict | None]
    remedies: tuple[str, ...]
    follows_from: tuple[str, ...] = ()
    confidence: float = 1.0
    explanation: str = ""
