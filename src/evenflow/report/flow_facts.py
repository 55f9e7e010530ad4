"""What one run says in a line each: first layer over last, the total gradient, clipping, what is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evenflow.record.schema import Site
from evenflow.report.flow_layers import BEFORE_CLIPPING, PARAMETERS, FlowLayers, ordered, readings


def total_norm(layers: FlowLayers) -> float:
    """√Σ norm² over all parameters at the last step that has gradients; infinite where one is broken."""
    found = readings(layers.table, ordered(layers.table, PARAMETERS), "grad_norm", BEFORE_CLIPPING)
    values, broken = found.latest
    known = values[np.isfinite(values)]
    if broken.any() or not len(known):
        return math.inf if broken.any() else math.nan
    largest = float(np.abs(known).max())  # the squares of 1e-200 would all be 0
    return largest * math.sqrt(float(np.sum((known / largest) ** 2))) if largest else 0.0


def first_to_last(layers: FlowLayers) -> float:
    """log10 of the first weight's gradient norm over the last one's, now; NaN where there is no ratio."""
    if len(layers) < 2 or layers.sites[0].kind != "weight" or not len(layers.gradients.steps):
        return math.nan
    logs = layers.gradients.logs[-1]
    with np.errstate(invalid="ignore"):  # both exactly 0
        return float(logs[0] - logs[-1])


def clipping(layers: FlowLayers) -> tuple[float, float]:
    """Share of the steps with gradients in which one was clipped, and the smallest ratio; NaN without clipping."""
    clipped = layers.table.select(phase="clipped", clip_ratio=lambda ratio: ~np.isnan(ratio))
    if not len(clipped):
        return math.nan, math.nan
    ratios = clipped["clip_ratio"]
    steps = np.union1d(layers.gradients.steps, clipped["step"])
    return len(np.unique(clipped["step"][ratios < 1])) / len(steps), float(ratios.min())


@dataclass(frozen=True)
class Broken:
    """What is NaN or infinite: how many entries in all steps, and where it was seen first."""

    entries: int
    step: int
    site: Site


def nonfinite(layers: FlowLayers) -> Broken | None:
    """Non-finite entries of activations and gradients, None if there are none.

    In the step that had them first, the site is where they begin: the first activation in order of execution,
    or else the last gradient, since gradients flow back. Of phases of one gradient only one is counted.
    """
    table = layers.table
    bad = (table["nonfinite_count"] > 0) | np.isinf(table["grad_norm"]) | np.isinf(table["rms"])
    rows = np.flatnonzero(bad & (table["phase"] != "micro"))
    if not len(rows):
        return None
    step = int(table["step"][rows].min())
    then = rows[table["step"][rows] == step]
    forward = then[table["phase"][then] == ""]
    depth = table["depth"]
    row = forward[depth[forward].argmin()] if len(forward) else then[depth[then].argmax()]
    once = rows[np.isin(table["phase"][rows], ("", "accumulated"))]
    return Broken(int(np.nansum(table["nonfinite_count"][once])), step, table.sites[table.index["site"][row]])
