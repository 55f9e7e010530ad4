"""The gradient of every layer before training: the picture of whether a network can learn at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evenflow.compare.intervals import Interval, mean_interval
from evenflow.report.figures.lines import legend_width, line_traces, panel_titles, panels_of
from evenflow.report.figures.picture import NARROW, WIDE, Panels, Picture, layer_ticks, log_ticks, panel_refs
from evenflow.report.figures.predicted import (
    Pair,
    banded,
    distance_sentence,
    prediction_note,
    prediction_traces,
    predictions_of,
)
from evenflow.report.series import Block, blocks, logged, over_layers
from evenflow.report.view import Choice, View, seeds_in_words
from evenflow.report.wording import from_log, of_the_last, plot_text, plural

TITLE = "Gradient of every layer before training"
_FAINT = -6.0  # a millionth


def start_picture(view: View) -> Picture:
    """Norm of the gradient of every layer's weights at the first recorded step, one line a choice."""
    choices = view.drawn
    found = blocks(view.table, choices, "grad_norm", kind="weight", phase="accumulated")
    choices, found = _recorded(choices, found)
    if not choices:
        return Picture("gradient-start", TITLE, "No gradient has been recorded yet.")
    curves = [over_layers(block, 0) for block in found]
    zeros = [np.flatnonzero((block.values[:, 0, :] == 0).any(axis=0)) for block in found]
    given = {
        choice: prediction
        for choice, prediction in zip(choices, predictions_of(view, choices), strict=True)
        if prediction
    }
    pairs = [
        Pair(choice, block, given[choice])
        for choice, block in zip(choices, found, strict=True)
        if choice in given and given[choice].finished and block.steps[0] == 0
    ]
    low, high = _range(found, pairs)
    traces = line_traces(choices, curves, log=True, say=from_log, where="layer", pale=bool(pairs))
    if pairs:
        traces += prediction_traces(pairs, choices, banded=banded(view, [pair.choice for pair in pairs]))
    if any(len(places) for places in zeros):
        low -= 0.08 * (high - low)
        traces += _zero_traces(choices, found, zeros, low)
    deepest = max(int(block.layers[-1]) for block in found)
    panels = Panels(
        titles=panel_titles(choices),
        x={
            "title": "layer (1 is next to the input, the last is the output)",
            "range": [1 - 0.02 * deepest, deepest * 1.02],
            "tickvals": layer_ticks(deepest),
        },
        y={
            "title": "gradient norm",
            "type": "log",
            "range": [low, high],
            **log_ticks(low, high),
        },
        entries=len({choice.value for choice in choices}) + bool(pairs),
        entry_width=legend_width(choices, least=70 if pairs else 60),
    )
    count = len(panels.titles)
    return Picture(
        name="gradient-start",
        title=TITLE,
        sentence=" ".join(filter(None, (_sentence(choices, found), distance_sentence(pairs)))),
        note=" ".join(
            part
            for part in (
                "Geometric mean over seeds of the norm of the loss's gradient with respect to each weight matrix, "
                "on the first batch.",
                seeds_in_words(view),
                "A level line passes the gradient on evenly.",
                view.layers_note,
                "A triangle on the lower edge: exactly 0." if any(map(len, zeros)) else "",
                prediction_note(view, pairs, given),
                view.selection_note,
            )
            if part
        ),
        traces=traces,
        wide=panels.layout(min(count, 2), 380 if count < 3 else 300, WIDE),
        narrow=panels.layout(1, 300, NARROW),
    )


def first_to_last(block: Block, place: int) -> Interval:
    """log10 of the first layer's norm over the last layer's at one step, over seeds."""
    logs = logged(block.values[:, place, :])
    with np.errstate(invalid="ignore"):
        return mean_interval(logs[:, 0] - logs[:, -1])


def _recorded(
    choices: Sequence[Choice], found: Sequence[Block]
) -> tuple[tuple[Choice, ...], tuple[Block, ...]]:
    kept = [(choice, block) for choice, block in zip(choices, found, strict=True) if not block.empty]
    return tuple(choice for choice, _ in kept), tuple(block for _, block in kept)


def _range(found: Sequence[Block], pairs: Sequence[Pair]) -> tuple[float, float]:
    measured = [logged(block.values[:, 0, :]).ravel() for block in found]
    logs = np.concatenate([*measured, *(pair.prediction.mean for pair in pairs)])
    logs = logs[np.isfinite(logs)]
    if not len(logs):
        return -1.0, 1.0
    low, high = float(logs.min()), float(logs.max())
    margin = max(0.15, 0.04 * (high - low))
    return low - margin, high + margin


def _zero_traces(
    choices: Sequence[Choice], found: Sequence[Block], zeros: Sequence[Any], low: float
) -> list[dict[str, Any]]:
    """Markers on the lower edge: a logarithmic axis has no 0."""
    panels = panels_of(choices)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": block.layers[places].tolist(),
            "y": [10**low] * len(places),
            "marker": {"symbol": "triangle-down", "size": 10, "color": choice.style.colour},
            "cliponaxis": False,
            "hovertemplate": f"<b>{plot_text(choice.label)}</b><br>layer %{{x}}: exactly 0<extra></extra>",
            "legendgroup": choice.value,
            "showlegend": False,
            **panel_refs(panels.index(choice.rest)),
        }
        for choice, block, places in zip(choices, found, zeros, strict=True)
        if len(places)
    ]


def _sentence(choices: Sequence[Choice], found: Sequence[Block]) -> str:
    ratios = [first_to_last(block, 0) for block in found]
    known = [
        (ratio, choice) for ratio, choice in zip(ratios, choices, strict=True) if not math.isnan(ratio.mean)
    ]
    if not known:
        return "The gradient is not a finite number above 0 in any network before training."
    lowest, weakest = min(known, key=lambda pair: pair[0].mean)
    if len(known) == 1:
        return (
            f"Before training the first layer's gradient is {of_the_last(lowest.mean)} with {weakest.label}."
        )
    evenest, best = min(known, key=lambda pair: abs(pair[0].mean))
    faint = sum(ratio.mean < _FAINT for ratio, _ in known)
    share = (
        f"in {faint} of {plural(len(known), 'network')} it is below a millionth"
        if faint
        else f"in none of the {plural(len(known), 'network')} is it below a millionth"
    )
    return (
        f"Before training the first layer's gradient is {of_the_last(lowest.mean)} "
        f"with {weakest.label}, and {of_the_last(evenest.mean)} with {best.label}, the most even; {share}."
    )
