"""Dead units and saturated activations by layer through training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evenflow.report.figures.maps import Scale, heat_maps
from evenflow.report.figures.picture import Picture
from evenflow.report.series import Block, blocks
from evenflow.report.view import Choice, View
from evenflow.report.wording import capitalised, decimal, plural

_TICKS = {0.0: "0", 0.25: "25 %", 0.5: "50 %", 0.75: "75 %", 1.0: "100 %"}
_LITTLE = 0.01


def dead_picture(view: View) -> Picture:
    """Share of dead units, layer × step, for the networks that have any."""
    return _picture(
        view,
        name="dead-units",
        title="Dead units",
        statistic="dead_fraction",
        what="dead units",
        none="No unit of any network is dead at any recorded step.",
        meaning="A unit is dead when it passes no gradient for any training sample.",
        least=0.0,
    )


def saturated_picture(view: View) -> Picture:
    """Share of saturated activations, layer × step, for the networks that have a hundredth of them."""
    return _picture(
        view,
        name="saturated",
        title="Saturated activations",
        statistic="saturated_fraction",
        what="saturated activations",
        none="In no network and no layer is a hundredth of the activations saturated at any recorded step.",
        meaning="An activation is saturated where its slope is below 1 % of the steepest; "
        "the flat half of ReLU counts.",
        least=_LITTLE,
    )


def _picture(
    view: View, *, name: str, title: str, statistic: str, what: str, none: str, meaning: str, least: float
) -> Picture:
    every = blocks(view.table, view.drawn, statistic, kind="activation")
    pairs = [
        (choice, _where_known(block))
        for choice, block in zip(view.drawn, every, strict=True)
        if not block.empty and not np.isnan(block.values).all()
    ]
    if not pairs:
        return Picture(name, title, f"Nothing has been recorded of {what} yet.", meaning)
    shown = [(choice, block) for choice, block in pairs if np.nanmax(block.values) > least]
    if not shown:
        return Picture(name, title, none, meaning)
    choices, found = [choice for choice, _ in shown], [block for _, block in shown]
    scale = Scale(
        f"share of {what}",
        0.0,
        1.0,
        False,
        lambda share: f"{decimal(100 * min(1, max(0, share)), 1)} %",
        _TICKS,
    )
    traces, wide, narrow = heat_maps(choices, found, scale)
    left_out = len(pairs) - len(shown)
    bound = "none" if not least else f"below {least:.0%} throughout".replace("%", " %")
    others = f"Left out: {plural(left_out, 'network')} with {bound}." if left_out else ""
    return Picture(
        name=name,
        title=title,
        sentence=_sentence(choices, found, what, len(pairs), "1 % or more" if least else "any"),
        note=" ".join(part for part in (meaning, "Mean over seeds.", others, view.selection_note) if part),
        traces=traces,
        wide=wide,
        narrow=narrow,
    )


def _where_known(block: Block) -> Block:
    """The block at the steps that have a figure: not in every record is the whole data set evaluated."""
    known = ~np.isnan(block.values).all(axis=(0, 2))
    return replace(
        block,
        values=block.values[:, known],
        recorded=block.recorded[:, known],
        steps=block.steps[known],
    )


def _sentence(choices: Sequence[Choice], found: Sequence[Block], what: str, total: int, bound: str) -> str:
    ends = [
        (_over_seeds(block, -1), _over_seeds(block, 0), choice, block)
        for choice, block in zip(choices, found, strict=True)
    ]
    ends = [entry for entry in ends if not np.isnan(entry[0]).all()]
    if not ends:
        return f"{plural(len(choices), 'network')} of {total} have {what}, and none has a figure at its last step."
    end, start, choice, block = max(ends, key=lambda entry: float(np.nanmean(entry[0])))
    layer = int(np.nanargmax(end))
    mean, before = float(np.nanmean(end)), float(np.nanmean(start)) if not np.isnan(start).all() else math.nan
    most = (
        f"{_percent(mean)} on average over its layers, "
        f"up to {_percent(float(end[layer]))} in layer {block.layers[layer]}"
    )
    was = "" if math.isnan(before) else f"; before training it was {_percent(before)}"
    if total == 1:
        return f"At the last step ({int(block.steps[-1]):,}) the share of {what} in {choice.label} is {most}{was}."
    return (
        f"{capitalised(choice.label)} has the most {what} at its last step ({int(block.steps[-1]):,}): {most}{was}. "
        f"{len(choices)} of {plural(total, 'network')} {'has' if len(choices) == 1 else 'have'} {bound} at some step."
    )


def _over_seeds(block: Block, place: int) -> NDArray[np.float64]:
    """Mean over seeds of every layer at one step."""
    values = block.values[:, place, :]
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)


def _percent(share: float) -> str:
    return f"{decimal(100 * share, 0 if share >= 0.1 else 1)} %"
