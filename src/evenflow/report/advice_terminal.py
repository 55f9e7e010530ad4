"""Advice in the terminal: the initialisation in a sentence, and a table with a line a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenflow.report.plain_table import plain_table
from evenflow.report.wording import capitalised, decimal, number

if TYPE_CHECKING:
    from rich.table import Table

    from evenflow.theory.recommend import Recommendation
    from evenflow.theory.remedies import Remedy


def initialisation_sentence(found: Recommendation) -> str:
    """σ_w and σ_b of the recommended initialisation, and the reason for it."""
    drawn = list(dict.fromkeys(found.draws[1:-1] or found.draws[-1:]))
    shown = " or ".join(f"σ_w = {number(weight, 4)}, σ_b = {number(bias, 3)}" for weight, bias in drawn)
    first = found.draws[0]
    where = f" (first layer σ_w = {number(first[0], 4)}, for the data)" if first[0] != drawn[0][0] else ""
    return f"Recommended initialisation: {shown}{where}. {capitalised(found.reason)}."


def remedies_table(current: Remedy, ranked: tuple[Remedy, ...], title: str) -> Table:
    """One row a remedy, the best first, below the network as it is."""
    table = plain_table(title)
    table.add_column("change")
    table.add_column("first/last", justify="right", no_wrap=True)
    table.add_column("worst", justify="right", no_wrap=True)
    table.add_column("in reach")
    for remedy in (current, *ranked):
        known = remedy.worst_layer > 0
        table.add_row(
            remedy.what,
            f"{decimal(remedy.ratio_log10)} ± {decimal(remedy.deviation)}"
            if known
            else decimal(float("nan")),
            decimal(remedy.worst_log10),
            "yes" if remedy.in_reach else f"no: {remedy.obstacle.split(', ')[0]}",
        )
    table.caption = (
        "first/last: log₁₀ of the first layer's gradient over the last one's, ± standard deviation\n"
        "worst: the same of the layer furthest from the last one"
    )
    return table
