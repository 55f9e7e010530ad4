"""A diagnosis: what was found in one run, root first, and what could not be judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenflow.diagnose.about import About
from evenflow.diagnose.finding import SEVERITIES, Finding, Severity, Unjudged

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What the rules say of one run. `print` it, show it in a notebook, or read its findings.

    Args:
        findings: worst first; of those that hang together the root first.
        unjudged: rules that could not be judged, and why.
        judged: names of the rules that were judged.
        run: key of the run.
        steps: number of recorded steps.
        first_step, last_step: the first and the last recorded step; None where there is none.
        about: what was trained, how and when, and where its source is.

    >>> diagnosis = Diagnosis(judged=("vanishing_gradient",), run="train", steps=200, first_step=0, last_step=199)
    >>> print(diagnosis)
    train: nothing found in 200 steps; 1 rule judged
    >>> diagnosis.healthy, Diagnosis.from_json(diagnosis.to_json()) == diagnosis
    (True, True)
    """

    findings: tuple[Finding, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    judged: tuple[str, ...] = ()
    run: str = ""
    steps: int = 0
    first_step: int | None = None
    last_step: int | None = None
    about: About = field(default_factory=About)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that cost results now."""
        return tuple(one for one in self.findings if one.severity == "fault")

    @property
    def healthy(self) -> bool:
        """Whether rules were judged and none of them found a fault; risks may be there."""
        return bool(self.judged) and not self.faults

    @property
    def roots(self) -> tuple[Finding, ...]:
        """The findings that follow from no other."""
        return tuple(one for one in self.findings if not one.root)

    def consequences(self, root: Finding) -> tuple[Finding, ...]:
        """The findings that follow from this one."""
        return tuple(one for one in self.findings if one.root == root.rule)

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of this severity and worse."""
        worst = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return tuple(one for one in self.findings if one.severity in worst)

    def __bool__(self) -> bool:
        """Whether there are findings."""
        return bool(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        from evenflow.diagnose.text import text

        return text(self)

    def __repr__(self) -> str:
        found = ", ".join(f"{one.severity} {one.rule}" for one in self.findings) or "nothing found"
        return f"Diagnosis({self.run!r}, {self.steps} steps: {found}; {len(self.unjudged)} rules not judged)"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[object]:
        from evenflow.diagnose.text import rich_lines

        return rich_lines(self, console, options.max_width)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """A piece of HTML with its own style, for a notebook or a page."""
        from evenflow.diagnose.html import html

        return html(self)

    def to_dict(self) -> dict[str, object]:
        """Plain data that JSON can hold; a figure that is not finite is one of "nan", "inf", "-inf"."""
        from evenflow.diagnose.plain import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """The same as text."""
        from evenflow.diagnose.plain import to_json

        return to_json(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Diagnosis:
        """From what `to_dict` gave.

        Raises:
            SpecError: it is something else.
        """
        from evenflow.diagnose.plain import from_dict

        return from_dict(data)

    @classmethod
    def from_json(cls, text: str) -> Diagnosis:
        """From what `to_json` gave.

        Raises:
            SpecError: it is something else.
        """
        from evenflow.diagnose.plain import from_json

        return from_json(text)

    def annotations(self) -> tuple[str, ...]:
        """A line for every finding, which GitHub shows beside a run of its workflows when it is printed there."""
        from evenflow.diagnose.annotations import commands

        return commands(self)
