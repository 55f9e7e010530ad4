"""Tables as a probe writes them, from formulas, so that every figure is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evenflow.record.schema import Run, Site
from evenflow.record.table import Table

Row = tuple[int, int, Site, str, Mapping[str, float]]


def weight(layer: int, name: str = "blocks.{}.fc.weight") -> Site:
    return Site(name.format(layer), "weight", 2 * layer - 1, 8)


def activation(layer: int, name: str = "blocks.{}:relu") -> Site:
    return Site(name.format(layer), "activation", 2 * layer, 8)


def probe_rows(
    norm: Callable[[int, int], float], layers: int, steps: Sequence[int], update: float = 1e-3
) -> list[Row]:
    """`norm(layer, step)` is the gradient's; layers count from 1; the last layer has no activation."""
    rows: list[Row] = []
    for step in steps:
        for layer in range(1, layers + 1):
            figures = {"grad_norm": norm(layer, step), "weight_norm": 2.0, "update_to_weight": update * layer}
            rows.append((0, step, weight(layer), "accumulated", figures))
            bias = Site(f"blocks.{layer}.fc.bias", "bias", 2 * layer - 1, 8)
            rows.append((0, step, bias, "accumulated", {"grad_norm": 3.0}))
            if layer < layers:
                shares = {"dead_fraction": layer / 100, "saturated_fraction": layer / 50, "rms": 10.0**-layer}
                rows.append((0, step, activation(layer), "", shares | {"nonfinite_count": 0.0}))
    return rows


def table_of(rows: Sequence[Row]) -> Table:
    return Table.from_rows([Run("run")], rows)
