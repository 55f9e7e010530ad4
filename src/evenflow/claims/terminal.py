"""Claims and their verdicts in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evenflow.claims.claim import Claim
from evenflow.claims.results import Result
from evenflow.claims.verdict import Statement, Verdict
from evenflow.wording import plural

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_STYLES = {
    "holds": "green",
    "holds under conditions": "cyan",
    "overstated": "yellow",
    "wrong": "red",
    "not decided": "dim",
}
_ROLES = {"core": "", "case": "", "size": "beyond its core: "}


def listing(claims: Sequence[Claim], results: Mapping[str, Result]) -> Table:
    """Name, verdict where there is one, and sentence of every claim."""
    from rich.text import Text

    from evenflow.report.plain_table import plain_table

    table = plain_table(None)
    for column in ("claim", "verdict"):
        table.add_column(column, max_width=24)
    table.add_column("sentence, and where people read it")
    for claim in claims:
        found = results.get(claim.name)
        verdict = _coloured(claim.judge(found.figures)) if found else Text("not tried yet", "dim")
        sentence = Text.assemble(claim.sentence, (f" ({claim.source})", "dim"))
        table.add_row(claim.name, verdict, sentence)
    table.caption = "evenflow claims run tries them; evenflow claims NAME says more about one"
    return table


def verdicts(claims: Sequence[Claim], results: Mapping[str, Result]) -> Table:
    """Every claim with its verdict and what that rests on: yes or no, and the figures with their intervals."""
    from rich.text import Text

    from evenflow.report.plain_table import plain_table

    table = plain_table(None)
    table.add_column("claim", max_width=24)
    table.add_column("verdict and what it rests on")
    kinds: Counter[str] = Counter()
    for claim in claims:
        if claim.name not in results:
            continue
        verdict = claim.judge(results[claim.name].figures)
        kinds[str(verdict)] += 1
        lines = Text("\n").join(
            [_coloured(verdict), Text(claim.sentence), *map(statement_line, verdict.statements)]
        )
        table.add_row(claim.name, lines)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    table.caption = (
        f"{plural(sum(kinds.values()), 'claim')}: {counts}. In brackets the 95 % interval over seeds."
    )
    return table


def page(claim: Claim, result: Result | None) -> Iterator[Text]:
    """All about one claim."""
    from rich.text import Text

    yield Text.assemble((claim.name, "bold"), "\n", claim.sentence, (f" ({claim.source})", "dim"))
    yield Text.assemble(("It would be true if: ", "bold"), claim.true_if)
    yield Text.assemble(("It would be false if: ", "bold"), claim.false_if)
    yield Text.assemble(("What is done: ", "bold"), " ".join((claim.experiment.__doc__ or "").split()))
    yield Text.assemble(("How it is judged: ", "bold"), " ".join((claim.judge.__doc__ or "").split()))
    if result is None:
        yield Text(f"Not tried yet: evenflow claims run {claim.name}", "dim")
        return
    verdict = claim.judge(result.figures)
    form = "full" if result.full else "quick"
    yield Text.assemble(
        ("Verdict: ", "bold"),
        _coloured(verdict),
        f" ({form} form, seed {result.seed}, {result.date}, {result.seconds:.1f} s of processor time)",
    )
    for one in verdict.statements:
        yield statement_line(one)
    yield Text("Figures", "bold")
    for figure in result.figures.values():
        yield Text(f"  {figure.text}: {figure}")


def statement_line(statement: Statement) -> Text:
    """Yes or no, the statement, and the figures it rests on."""
    from rich.text import Text

    style = {"yes": "green", "no": "red", "open": "dim"}[statement.answer]
    shown = "; ".join(f"{figure.text} {figure}" for figure in statement.figures)
    return Text.assemble(
        (f"{statement.answer}: ", style),
        _ROLES[statement.role],
        statement.text,
        (f" – {shown}" if shown else "", "dim"),
    )


def _coloured(verdict: Verdict) -> Text:
    from rich.text import Text

    return Text(str(verdict), f"bold {_STYLES[verdict.kind]}")
