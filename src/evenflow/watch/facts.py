"""What a step says in one line: first layer over last, the total gradient, and the worst that is plain to see."""

from __future__ import annotations

import math
from collections.abc import Iterator

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
