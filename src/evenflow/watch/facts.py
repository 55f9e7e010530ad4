"""What a step says in one line: first layer over last, the total gradient, and the worst that is plain to see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from evenflow.record.table import Table
from evenflow.report.flow_facts import first_to_last, nonfinite, total_norm
from evenflow.report.flow_layers import FlowLayers, flow_layers
from evenflow.report.wording import decimal, number, plural


def facts(table: Table) -> list[str]:
    """The facts of one recorded step, in the order of a line: loss, ratio, total gradient, worst finding.

    >>> from evenflow.record import Run
    >>> facts(Table.from_rows([Run("a")], []))
    []
    """
    return list(_facts(table)) if len(table) else []


def _facts(table: Table) -> Iterator[str]:
    losses = table["loss"][~np.isnan(table["loss"])]
    if len(losses):
        yield f"loss {number(float(losses[-1]), 3)}"
    layers = flow_layers(table)
    ratio = first_to_last(layers)
    if not math.isnan(ratio):
        yield f"first/last gradient {decimal(ratio)} decades"
    total = total_norm(layers)
    if math.isfinite(total):
        yield f"gradient {number(total)}"
    finding = worst(layers)
    if finding:
        yield finding


def line_of(parts: Sequence[str], said: Sequence[str], width: int) -> str:
    """The parts in one line of so many columns; what does not fit is left out, the least important first.

    A finding and the loss stay to the last, then the step; the cost of the probe and the speed go first.

    >>> said = ["loss 2.3", "first/last gradient −5.1 decades", "gradient 0.1", "ZERO GRADIENT in a"]
    >>> line_of(["", "step 7", "90 steps/s", *said, "probe 2.1 %"], said, 100)
    'evenflow: step 7 · loss 2.3 · first/last gradient −5.1 decades · gradient 0.1 · ZERO GRADIENT in a'
    >>> line_of(["", "step 7", "90 steps/s", *said, "probe 2.1 %"], said, 60)
    'evenflow: step 7 · loss 2.3 · ZERO GRADIENT in a'
    """
    left = [part for part in parts if part]
    finding = [part for part in said if part.isascii() and part.split(" in ")[0].isupper()]
    order = [
        *(part for part in left if part.startswith("probe ")),
        *(part for part in left if part.endswith("steps/s")),
        *(part for part in said if part.startswith("gradient ")),
        *(part for part in said if part.startswith("first/last")),
        *(part for part in left if part.startswith("step ")),
        *(part for part in left if part not in said),
        *(part for part in said if part not in finding),
    ]
    for unneeded in order:
        if len(_joined(left)) <= width:
            break
        if unneeded in left and len(left) > 1:
            left.remove(unneeded)
    return _joined(left)


def _joined(parts: Sequence[str]) -> str:
    return "evenflow: " + " · ".join(parts)


def worst(layers: FlowLayers) -> str:
    """The worst of what needs no judgement: not finite, a gradient that is exactly 0, a layer of dead units; or ""."""
    broken = nonfinite(layers)
    if broken:
        return f"NOT FINITE in {broken.site.name} ({broken.site.kind})"
    gradients, _ = layers.gradients.latest
    zero = [name for name, norm in zip(layers.names, gradients, strict=True) if norm == 0]
    if zero:
        return f"ZERO GRADIENT in {_named(zero)}"
    table = layers.table
    rows = np.flatnonzero(table["dead_fraction"] == 1)
    dead = list(dict.fromkeys(table.sites[table.index["site"][row]].name for row in rows))
    return f"ALL UNITS DEAD in {_named(dead)}" if dead else ""


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {plural(len(names) - 1, 'layer')} more"
