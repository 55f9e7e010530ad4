"""The gradient of every layer through training: a heat map for every choice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evenflow.report.figures.maps import Scale, decades, heat_maps
from evenflow.report.figures.picture import Picture
from evenflow.report.figures.start import first_to_last
from evenflow.report.series import Block, blocks, logged
from evenflow.report.view import Choice, View
from evenflow.report.wording import decimal, from_log, number

TITLE = "Gradient of every layer through training"
_STILL = 0.3  # decades; a change smaller than a factor of 2 is called none


def gradient_maps(view: View) -> Picture:
    """log10 of the gradient norm of every layer's weights at every step, averaged over seeds."""
    every = blocks(view.table, view.drawn, "grad_norm", kind="weight", phase="accumulated")
    pairs = [(choice, block) for choice, block in zip(view.drawn, every, strict=True) if not block.empty]
    if not pairs:
        return Picture("gradient-maps", TITLE, "No gradient has been recorded yet.")
    choices, found = [choice for choice, _ in pairs], [block for _, block in pairs]
    low, high = _limits(found)
    scale = Scale(
        title="gradient norm",
        low=low,
        high=high,
        log=True,
        say=from_log,
        ticks=decades(low, high),
    )
    traces, wide, narrow = heat_maps(choices, found, scale)
    return Picture(
        name="gradient-maps",
        title=TITLE,
        sentence=_sentence(choices, found),
        note=(
            "Geometric mean over seeds; all maps share one colour scale. Layer 1 is next to the input. "
            f"{' '.join(filter(None, (view.layers_note, view.selection_note)))}"
        ).strip(),
        traces=traces,
        wide=wide,
        narrow=narrow,
    )


def _limits(found: Sequence[Block]) -> tuple[float, float]:
    logs = np.concatenate([logged(block.values).ravel() for block in found])
    logs = logs[np.isfinite(logs)]
    if not len(logs):
        return -1.0, 0.0
    low, high = float(logs.min()), float(logs.max())
    return (low, high) if high - low > 0.1 else (low - 0.5, high + 0.5)


def _sentence(choices: Sequence[Choice], found: Sequence[Block]) -> str:
    changes: list[tuple[float, float, float, Choice, int]] = []
    broken: list[str] = []
    for choice, block in zip(choices, found, strict=True):
        start, end = first_to_last(block, 0).mean, first_to_last(block, -1).mean
        if math.isfinite(start) and math.isfinite(end) and len(block.steps) > 1:
            changes.append((end - start, start, end, choice, int(block.steps[-1])))
        if (block.recorded & ~(np.isfinite(block.values) & (block.values > 0))).any():
            broken.append(choice.label)
    if not changes and not broken:
        return "So far there is only one step to show."
    parts: list[str] = []
    if changes:
        parts.append(_change(max(changes, key=lambda one: abs(one[0]))))
    if len(changes) > 1:
        still = sum(abs(change) < _STILL for change, *_ in changes)
        parts.append(
            f"in {still} of {len(changes)} networks the ratio changes by less than a factor of {number(10**_STILL, 1)}"
        )
    if broken:
        parts.append(
            f"somewhere the gradient is exactly 0, NaN or infinite with {broken[0]}"
            + (f" and {len(broken) - 1} more" if len(broken) > 1 else "")
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _change(found: tuple[float, float, float, Choice, int]) -> str:
    change, start, end, choice, step = found
    if abs(change) < _STILL:
        return (
            "the first layer's gradient keeps its size against the last layer's: "
            f"the largest change is {decimal(change)} decades, with {choice.label}"
        )
    way = "rises" if change > 0 else "falls"
    return (
        f"the first layer's gradient against the last layer's {way} most with {choice.label}: "
        f"from {from_log(start)} before training to {from_log(end)} at step {step:,}"
    )
