"""`evenflow rules`: what the diagnosis looks for, and each rule in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from evenflow.diagnose.rule import Rule


def rules(name: str | None = None, /) -> int:
    """List the rules of the diagnosis, or explain one: what it is, why it matters, what to do.

    Parameters
    ----------
    name
        Name or code of a rule.
    """
    from rich.console import Console

    from evenflow.diagnose.rules import RULES, rule_named

    console = Console(highlight=False, markup=False)
    if name is None:
        console.print(_list(list(RULES.values())))
        return 0
    for part in _page(rule_named(name)):
        console.print(part)
    return 0


def _list(known: list[Rule]) -> Table:
    from evenflow.report.plain_table import plain_table
    from evenflow.wording import capitalised

    table = plain_table(None)
    for column in ("code", "name", "what it finds"):
        table.add_column(column, no_wrap=column != "what it finds")
    for rule in known:
        table.add_row(rule.code, rule.name, capitalised(rule.title))
    table.caption = "evenflow rules NAME explains one"
    return table


def _page(rule: Rule) -> Iterator[object]:
    from rich.markdown import Markdown
    from rich.text import Text

    from evenflow.wording import listed

    yield Text(f"{rule.code} {rule.name}: {rule.title}", style="bold")
    yield Markdown(rule.explanation)
    if rule.remedies:
        yield Text.assemble(("What to do: ", "bold"), listed(rule.remedies))
    if rule.follows_from:
        yield Text.assemble(("It can follow from: ", "bold"), listed(rule.follows_from, most=20))
    if rule.confidence < 1:
        yield Text.assemble(
            ("Right in the calibration: ", "bold"),
            f"{100 * rule.confidence:.0f} % of the findings of this rule (benchmarks/detection.py)",
        )
