"""The gradient on its way back through the time steps of recurrent networks, before training and after it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from evenflow.record.schema import Site
from evenflow.report.figures.lines import legend_width, line_traces, panel_titles
from evenflow.report.figures.picture import NARROW, WIDE, Panels, Picture, layer_ticks, log_ticks
from evenflow.report.figures.start import first_to_last
from evenflow.report.series import Block, blocks, logged, over_layers
from evenflow.report.view import Choice, View, seeds_in_words
from evenflow.report.wording import from_log

TITLE = "Gradient through time before training"
_FIRST_LAYER = re.compile(r"hidden_1\[(\d+)\]")


def has_time_steps(view: View) -> bool:
    """Whether a network of the study has a gradient at every time step."""
    return any(_time(site) is not None for site in view.table.sites)


def time_picture(view: View) -> Picture:
    """Root mean square of ∂L/∂x_t, what enters the first layer at time step t, one line a choice."""
    every = blocks(view.table, view.drawn, "signal_rms", kind="input", phase="accumulated", place=_time)
    pairs = [(choice, block) for choice, block in zip(view.drawn, every, strict=True) if not block.empty]
    if not pairs:
        return Picture("gradient-time", TITLE, "No gradient through time has been recorded yet.")
    choices, found = [choice for choice, _ in pairs], [block for _, block in pairs]
    low, high = _range(found)
    longest = max(int(block.layers[-1]) for block in found)
    panels = Panels(
        titles=panel_titles(choices),
        x={
            "title": "time step (the loss stands behind the last)",
            "range": [1 - 0.02 * longest, longest * 1.02],
            "tickvals": layer_ticks(longest),
        },
        y={"title": "gradient", "type": "log", "range": [low, high], **log_ticks(low, high)},
        entries=len({choice.value for choice in choices}),
        entry_width=legend_width(choices),
    )
    count = len(panels.titles)
    return Picture(
        name="gradient-time",
        title=TITLE,
        sentence=_sentence(choices, found),
        note=(
            "Root mean square of the loss's gradient with respect to what enters the first layer at each time step, on "
            f"the first batch, geometric mean over seeds. {seeds_in_words(view)} A falling line towards the left is a "
            f"memory that fades. {view.selection_note}"
        ).strip(),
        traces=line_traces(
            choices, [over_layers(block, 0) for block in found], log=True, say=from_log, where="time step"
        ),
        wide=panels.layout(min(count, 2), 340 if count < 3 else 280, WIDE),
        narrow=panels.layout(1, 280, NARROW),
    )


def _range(found: Sequence[Block]) -> tuple[float, float]:
    """Of the axis: whole decades where there are few, so that its marks are powers of ten."""
    logs = np.concatenate([logged(block.values[:, 0, :]).ravel() for block in found])
    logs = logs[np.isfinite(logs)]
    low, high = (float(logs.min()) - 0.15, float(logs.max()) + 0.15) if len(logs) else (-1.0, 1.0)
    if high - low >= 3:
        return low, high
    last = math.ceil(high)
    return float(min(math.floor(low), last - 2)), float(last)


def _time(site: Site) -> int | None:
    """Time step of what enters the first layer, counted from 1."""
    match = _FIRST_LAYER.fullmatch(site.name) if site.kind == "input" else None
    return int(match[1]) + 1 if match else None


def _sentence(choices: Sequence[Choice], found: Sequence[Block]) -> str:
    ratios = [
        (first_to_last(block, 0).mean, choice, block) for choice, block in zip(choices, found, strict=True)
    ]
    known = [one for one in ratios if not math.isnan(one[0])]
    if not known:
        return "The gradient is not a finite number above 0 at the first time step of any network before training."
    weakest, choice, block = min(known, key=lambda one: one[0])
    text = (
        f"Before training the gradient at the first of {int(block.layers[-1])} time steps is "
        f"{_of_the_last_step(weakest)} with {choice.label}"
    )
    if len(known) > 1:
        strongest, best, _ = max(known, key=lambda one: one[0])
        text += f", the weakest, and {_of_the_last_step(strongest)} with {best.label}, the strongest"
    end = first_to_last(block, -1).mean
    if math.isnan(end) or len(block.steps) < 2:
        return f"{text}."
    whose = f" with {choice.label}" if len(known) > 1 else ""
    return f"{text}; at step {int(block.steps[-1]):,} it is {_of_the_last_step(end)}{whose}."


def _of_the_last_step(log10: float) -> str:
    text = from_log(log10)
    return text if log10 == -math.inf else f"{text} {'of' if log10 < 0 else 'times'} that at the last"
