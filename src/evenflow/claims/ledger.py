"""The ledger as a page: every claim with its verdict, what that rests on, and how it was tried, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from evenflow.claims.claim import Claim
from evenflow.claims.results import Result
from evenflow.claims.verdict import Statement
from evenflow.wording import capitalised, listed, plural

_ANSWERS = {"yes": "✓", "no": "✗", "open": "?"}


def ledger(claims: Sequence[Claim], results: Mapping[str, Result]) -> str:
    """The body of the page, from results as `results.latest` gives them; a claim without a result says so."""
    return "\n".join(
        [*_summary(claims, results), "", *_provenance(list(results.values())), "", *_entries(claims, results)]
    )


def _summary(claims: Sequence[Claim], results: Mapping[str, Result]) -> Iterator[str]:
    verdicts = {claim.name: _verdict(claim, results) for claim in claims}
    counts = Counter(verdicts.values())
    times = listed([f"*{kind}* {plural(count, 'time')}" for kind, count in counts.most_common()])
    yield f"{plural(len(claims), 'claim')}; the verdicts are {times}."
    yield ""
    yield "| verdict | claim |"
    yield "|---|---|"
    for claim in claims:
        yield f"| **{verdicts[claim.name]}** | [{claim.sentence}](#{claim.name}) |"


def _verdict(claim: Claim, results: Mapping[str, Result]) -> str:
    return str(claim.judge(results[claim.name].figures)) if claim.name in results else "not tried"


def _provenance(results: Sequence[Result]) -> Iterator[str]:
    """When, on what and with which command; one line for every combination that occurs."""
    seen = Counter(_origin(result) for result in results)
    for origin, count in seen.most_common():
        yield f"{plural(count, 'result')}: {origin}."
    seconds = sum(result.seconds for result in results)
    yield f"Together they took {seconds:.0f} s of one core's time."


def _origin(result: Result) -> str:
    command = f"`evenflow claims run{' --full' if result.full else ''} --seed {result.seed}`"
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    machine = f"{result.machine.get('processor')}, {result.machine.get('cores')} cores, {result.machine.get('system')}"
    return f"{command} on {result.date[:10]}; {machine}; {versions}"


def _entries(claims: Sequence[Claim], results: Mapping[str, Result]) -> Iterator[str]:
    for claim in claims:
        yield f"({claim.name})="
        yield f"## {capitalised(claim.name.replace('_', ' '))}"
        yield ""
        yield f"> {claim.sentence}"
        yield ""
        yield f"`{claim.name}`. Read in {claim.source}. It would be true if: {_lowered(claim.true_if)}"
        yield f"It would be false if: {_lowered(claim.false_if)}"
        yield ""
        yield f"**Verdict: {_verdict(claim, results)}.**"
        yield ""
        if claim.name in results:
            yield from _evidence(claim, results[claim.name])
        yield f"How it is tried: {' '.join((claim.experiment.__doc__ or '').split())}"
        yield f"How it is judged: {' '.join((claim.judge.__doc__ or '').split())}"
        yield ""


def _evidence(claim: Claim, result: Result) -> Iterator[str]:
    verdict = claim.judge(result.figures)
    if verdict.conditions:
        open_cases = [one.text for one in verdict.statements if one.role == "case" and one.holds is None]
        undecided = f" Not decided: {'; '.join(open_cases)}." if open_cases else ""
        yield (
            f"It holds: {'; '.join(verdict.conditions)}. It does not: {'; '.join(verdict.exceptions)}.{undecided}"
        )
        yield ""
    for one in verdict.statements:
        yield from _line(one)
    yield ""
    shown = {figure.text for one in verdict.statements for figure in one.figures}
    beside = [f"{figure.text}: {figure}" for figure in result.figures.values() if figure.text not in shown]
    if beside:
        yield f"Beside it: {'; '.join(beside)}."
        yield ""


def _line(statement: Statement) -> Iterator[str]:
    beyond = "beyond its core: " if statement.role == "size" else ""
    yield f"- {_ANSWERS[statement.answer]} {beyond}{statement.text}"
    for figure in statement.figures:
        yield f"  - {figure.text}: {figure}"


def _lowered(text: str) -> str:
    """A sentence behind a colon, its first letter small unless it begins a name."""
    first, _, _ = text.partition(" ")
    return (
        text
        if any(letter.isupper() for letter in first[1:]) or "'s" in first
        else text[:1].lower() + text[1:]
    )
