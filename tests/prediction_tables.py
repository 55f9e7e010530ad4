"""Tables of the shape that a forecast has, made up by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evenflow.record.axes import Run, Site
from evenflow.record.table import Table


def predicted_table(
    logs: Sequence[float],
    *,
    deviation: float = 0.1,
    rms: Sequence[float] = (),
    dead: Sequence[float] = (),
    activation: object = "relu",
    warnings: Sequence[str] = (),
) -> Table:
    """One prediction; the last of `logs` is the output layer's."""
    rows = []
    for layer, log in enumerate(logs, start=1):
        name = "output" if layer == len(logs) else f"hidden_{layer}"
        for kind in ("weight", "bias"):
            figures = {
                "grad_norm": 10.0 ** max(log, -320),
                "grad_norm_log10": log - (kind == "bias"),
                "grad_norm_log10_sd": deviation,
            }
            rows.append((0, 0, Site(f"{name}.{kind}", kind, layer, 8), "accumulated", figures))
        if layer < len(logs):
            signal = {"rms": rms[layer - 1] if rms else 1.0}
            share = {"rms": 0.5, "dead_fraction": dead[layer - 1] if dead else math.nan}
            rows.append((0, 0, Site(f"activation_{layer}", "pre-activation", layer, 8), "", signal))
            rows.append((0, 0, Site(f"activation_{layer}", "activation", layer, 8), "", share))
    fields = {"activation": activation, "depth": len(logs) - 1}
    facts = {"warnings": list(warnings), "seconds": 0.1}
    run = Run("p", fields=fields, status="finished", facts=facts, source="predicted")
    return Table.from_rows([run], rows, source="predicted")


def drawn_table(norms: Sequence[Sequence[float]]) -> Table:
    """Random networks, one row of `norms` a seed, one column a layer."""
    rows = []
    for seed, of_layers in enumerate(norms):
        for layer, norm in enumerate(of_layers, start=1):
            name = "output" if layer == len(of_layers) else f"hidden_{layer}"
            site = Site(f"{name}.weight", "weight", layer, 8)
            rows.append((seed, 0, site, "accumulated", {"grad_norm": norm}))
    runs = [Run(f"d{seed}", seed=seed, status="finished") for seed in range(len(norms))]
    return Table.from_rows(runs, rows, source="simulated")
