"""From verdicts to findings in order: worst first, and of what hangs together the root first.

A finding follows from another one where four things hold: its rule names the other as a possible root
(`Rule.follows_from`), the other is at least as severe, it is there no later, and it sits where it can have this
effect. What is there before the first step cannot follow from the size of the steps, and can itself be the reason
why they overshoot. A consequence is kept, behind its root.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evenflow.diagnose.causes import DRAWN, GROWING, MOVING, OUTCOMES, STANDING, place, story, upstream
from evenflow.diagnose.finding import SEVERITIES, Finding, Verdict
from evenflow.diagnose.rule import Rule
from evenflow.wording import capitalised

NOTHING = 0.1
"""Share of what can be learned below which nothing was, to speak of."""
SLACK = 0.1
"""Share of the recorded steps by which a consequence may be noticed before its root: rules look at windows of steps, of
different lengths."""


@dataclass(frozen=True)
class Found:
    """A rule and its verdict."""

    rule: Rule
    verdict: Verdict

    @property
    def rank(self) -> int:
        """0 for a fault."""
        return SEVERITIES.index(self.verdict.severity)


def findings(found: Sequence[Found], depths: Mapping[str, int], steps: float) -> tuple[Finding, ...]:
    """The findings, worst first, each behind its root.

    Args:
        found: rules with their verdicts.
        depths: of the sites, by name.
        steps: from the first recorded one to the last.
    """
    causes = {each.rule.name: _cause(each, found, depths, steps) for each in found}
    made = {each.rule.name: _finding(each, causes) for each in found}
    made = {name: _no_fault_of_its_own(one, made) for name, one in made.items()}
    strength = {each.rule.name: each.verdict.strength for each in found}
    effects = {name: sum(one.root == name for one in made.values()) for name in made}

    def order(finding: Finding) -> tuple[float, ...]:
        root = made[finding.root or finding.rule]
        return (
            SEVERITIES.index(finding.severity),
            SEVERITIES.index(root.severity),
            -strength[root.rule],
            -effects[root.rule],
            upstream(root.rule),
            len(_way(finding.rule, causes)),
            -strength[finding.rule],
            upstream(finding.rule),
        )

    return tuple(sorted(made.values(), key=order))


def _cause(each: Found, found: Iterable[Found], depths: Mapping[str, int], steps: float) -> str:
    """The rule that this finding follows from directly: of those that can be it the worst, and the likeliest."""
    possible = [other for other in found if _explains(other, each, depths, steps)]
    likely = each.rule.follows_from
    chosen = min(possible, key=lambda other: (other.rank, likely.index(other.rule.name)), default=None)
    return "" if chosen is None else chosen.rule.name


def _explains(root: Found, each: Found, depths: Mapping[str, int], steps: float) -> bool:
    return (
        root.rule.name in each.rule.follows_from
        and not each.verdict.given
        and root.rank <= each.rank
        and _is_before(root, each, steps)
        and _is_in_place(root, each, depths)
    )


def _is_before(root: Found, each: Found, steps: float) -> bool:
    first, second = _stage(root), _stage(each)
    if first == second == _LATER:
        begun, noticed = root.verdict.first_step, each.verdict.first_step
        assert begun is not None
        assert noticed is not None
        if begun > noticed + max(SLACK * steps, 1.0):
            return False
    return (first, upstream(root.rule.name)) < (second, upstream(each.rule.name))


_STANDING, _AT_THE_START, _MOVING, _LATER, _OUTCOME = range(5)


def _stage(each: Found) -> int:
    if each.verdict.given:
        return _STANDING
    for stage, rules in ((_STANDING, STANDING), (_MOVING, MOVING), (_OUTCOME, OUTCOMES)):
        if each.rule.name in rules:
            return stage
    step = each.verdict.first_step
    return _AT_THE_START if step is None or step <= 0 else _LATER


def _is_in_place(root: Found, each: Found, depths: Mapping[str, int]) -> bool:
    where = place(root.rule.name, each.rule.name)
    ours = [depths[site] for site in each.verdict.sites if site in depths]
    theirs = [depths[site] for site in root.verdict.sites if site in depths]
    if where == "anywhere" or not ours or not theirs:
        return True
    return max(theirs) >= min(ours) if where == "behind" else min(theirs) <= max(ours)


def _way(rule: str, causes: Mapping[str, str]) -> list[str]:
    """The rules from this one's cause up to its root; empty for a root."""
    way = []
    while causes[rule]:
        rule = causes[rule]
        way.append(rule)
    return way


def _finding(each: Found, causes: Mapping[str, str]) -> Finding:
    rule, verdict = each.rule, each.verdict
    way = _way(rule.name, causes)
    confidence = rule.confidence if math.isnan(verdict.confidence) else verdict.confidence
    plain = Finding(
        rule=rule.name,
        code=rule.code,
        severity=verdict.severity,
        confidence=float(confidence),
        sites=tuple(verdict.sites),
        first_step=None if verdict.first_step is None else int(verdict.first_step),
        evidence={name: _plain(value) for name, value in verdict.evidence.items()},
        message=_sentence(verdict, alone=not way),
        remedies=tuple(verdict.remedies or rule.remedies),
    )
    if not way:
        return plain
    told = story(way[0], rule.name)
    return replace(plain, root=way[-1], story=f"{way[0]}: {told}" if told else f"it follows from {way[0]}")


def _no_fault_of_its_own(finding: Finding, made: Mapping[str, Finding]) -> Finding:
    """What a finding comes to beside the others.

    A learning rate that does not suit weights badly drawn, or layers that multiply what passes, is a risk.

    With good ones it may be just right; so may one that is too low for what another fault lets through. What a rate
    follows from was there before the first step; see `_is_before`.
    """
    root = made.get(finding.root)
    if _stands_alone(finding, made):
        return replace(finding, severity="fault")
    if root is None or not root.severity == "fault" == finding.severity:
        return finding
    if finding.rule == "lr_too_low" or (finding.rule in MOVING and finding.root in DRAWN | GROWING):
        return replace(finding, severity="risk")
    return finding


def _stands_alone(finding: Finding, made: Mapping[str, Finding]) -> bool:
    """Whether weights have no gradient in a training that has learned nothing, and no fault is there to say why."""
    if finding.rule != "frozen_layers" or finding.severity != "risk" or finding.root:
        return False
    learned = finding.evidence.get("share_learned")
    nothing = isinstance(learned, float) and learned < NOTHING
    faults = [one for one in made.values() if one.severity == "fault"]
    return finding.evidence.get("cause") == "zero gradient" and nothing and not faults


def _sentence(verdict: Verdict, *, alone: bool) -> str:
    """The message with a capital letter and a full stop; a name such as layer1.conv at its beginning stays as it is."""
    text = verdict.message.strip() + (verdict.alone if alone else "")
    named = text.startswith(verdict.sites) and not text.partition(" ")[0].isalpha()
    return (text if named else capitalised(text)) + ("" if text.endswith((".", "!", "?")) else ".")


def _plain(value: object) -> float | int | str:
    """A figure without its NumPy type, which JSON does not know."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    item = getattr(value, "item", None)
    bare = item() if callable(item) else value
    if isinstance(bare, bool):
        return str(bare).lower()
    return bare if isinstance(bare, int | float) else str(bare)
