"""How the loss falls and the test accuracy rises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evenflow.report.figures.lines import guide_trace, legend_width, line_traces, panel_titles, panels_of
from evenflow.report.figures.picture import NARROW, WIDE, Panels, Picture, log_ticks
from evenflow.report.series import Block, Curve, blocks, over_steps
from evenflow.report.view import Choice, View, grouped, seeds_in_words
from evenflow.report.wording import capitalised, decimal, from_log, number, plural

_FALLEN = 0.95


def loss_picture(view: View) -> Picture:
    """Training loss over steps, on a logarithmic axis."""
    title = "Training loss"
    choices, found = _recorded(view, "loss", "train")
    curves = [over_steps(block, log=True) for block in found]
    if not any(len(curve.x) for curve in curves):
        return Picture("training-loss", title, "No loss has been recorded yet.")
    low, high, cut = _loss_range(curves)
    traces = line_traces(choices, curves, log=True, say=from_log, where="step")
    y = {"title": "training loss (nat)", "type": "log", "range": [low, high], **log_ticks(low, high)}
    notes = [
        "Cross-entropy over the training part, geometric mean over seeds.",
        seeds_in_words(view),
        _cross_note(found),
        f"Losses above {from_log(high)} are cut." if cut else "",
        view.selection_note,
    ]
    wide, narrow = _layouts(choices, curves, y)
    return Picture(
        "training-loss",
        title,
        _loss_sentence(view, choices, curves),
        " ".join(note for note in notes if note),
        traces,
        wide,
        narrow,
    )


def accuracy_picture(view: View) -> Picture:
    """Test accuracy over steps, with what guessing gives and the target."""
    title = "Test accuracy"
    choices, found = _recorded(view, "accuracy", "test")
    curves = [over_steps(block, log=False) for block in found]
    if not any(len(curve.x) for curve in curves):
        return Picture("test-accuracy", title, "No accuracy has been recorded yet.")
    traces = line_traces(
        choices, curves, log=False, say=lambda share: decimal(share, 3), where="step", limits=(0.0, 1.0)
    )
    last = max((int(curve.x[-1]) for curve in curves if len(curve.x)), default=1)
    guides = 1
    for panel, rest in enumerate(panels_of(choices)):
        traces.append(guide_trace(panel, (0, last), view.summary.target_accuracy, "target", "dot"))
        chance = _chance([choice for choice in choices if choice.rest == rest])
        if chance is not None:
            traces.append(guide_trace(panel, (0, last), chance, "guessing", "longdash"))
            guides = 2
    y = {"title": "test accuracy (share)", "range": [-0.02, 1.04], "dtick": 0.2, "tickformat": ".1f"}
    notes = [
        seeds_in_words(view),
        "Guessing: always the commonest class.",
        _cross_note(found),
        view.selection_note,
    ]
    wide, narrow = _layouts(choices, curves, y, guides)
    return Picture(
        "test-accuracy",
        title,
        _accuracy_sentence(view, choices, curves),
        " ".join(note for note in notes if note),
        traces,
        wide,
        narrow,
    )


def _recorded(view: View, statistic: str, part: str) -> tuple[list[Choice], list[Block]]:
    every = blocks(view.table, view.drawn, statistic, kind="loss", name=part)
    pairs = [(choice, block) for choice, block in zip(view.drawn, every, strict=True) if not block.empty]
    return [choice for choice, _ in pairs], [block for _, block in pairs]


def _layouts(
    choices: Sequence[Choice], curves: Sequence[Curve], y: dict[str, Any], guides: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    last = max((int(curve.x[-1]) for curve in curves if len(curve.x)), default=1)
    last = max([last, *(int(curve.rest_x[-1]) for curve in curves if len(curve.rest_x))]) or 1
    panels = Panels(
        titles=panel_titles(choices),
        x={"title": "step", "range": [-0.01 * last, 1.01 * last], "nticks": 8},
        y=y,
        entries=len({choice.value for choice in choices}) + guides,
        entry_width=legend_width(choices),
    )
    count = len(panels.titles)
    return panels.layout(min(count, 2), 340 if count < 3 else 260, WIDE), panels.layout(1, 280, NARROW)


def _loss_range(curves: Sequence[Curve]) -> tuple[float, float, bool]:
    """Limits in log10, and whether they cut something off: one explosion must not flatten all the rest."""
    parts = [part for curve in curves for part in (curve.mean, curve.rest)]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0, False
    starts = [float(curve.mean[0]) for curve in curves if len(curve.mean) and math.isfinite(curve.mean[0])]
    low, high = float(values.min()), float(values.max())
    most = max(starts, default=high) + 1.0
    margin = max(0.05, 0.04 * (min(high, most) - low))
    return low - margin, min(high, most) + margin, high > most


def _cross_note(found: Sequence[Block]) -> str:
    diverged = sum(int(block.diverged.sum()) for block in found)
    if not diverged:
        return ""
    return f"A cross marks where a seed diverged ({diverged} in all); thin dots go on with the seeds that did not."


def _loss_sentence(view: View, choices: Sequence[Choice], curves: Sequence[Curve]) -> str:
    known = [
        (float(curve.mean[-1]), float(curve.mean[0]), choice)
        for choice, curve in zip(choices, curves, strict=True)
        if len(curve.mean) and not math.isnan(curve.mean[-1])
    ]
    if not known:
        return "No seed has a finite loss."
    end, start, best = min(known, key=lambda entry: entry[0])
    if len(known) == 1:
        text = (
            f"The training loss of {best.label} is {from_log(start)} before training "
            f"and {from_log(end)} at its last step."
        )
    else:
        text = (
            f"The lowest training loss is that of {best.label}: {from_log(start)} before training, "
            f"{from_log(end)} at its last step."
        )
    stuck = [choice for after, before, choice in known if after > before + math.log10(_FALLEN)]
    if stuck:
        verb = "ends" if len(stuck) == 1 else "end"
        text += (
            f" {len(stuck)} of {plural(len(known), 'network')} {verb} within 5 % of the loss before training "
            f"or above it: {grouped(view, stuck)}."
        )
    elif len(known) > 1:
        text += f" All {len(known)} networks end more than 5 % below the loss before training."
    return text


def _accuracy_sentence(view: View, choices: Sequence[Choice], curves: Sequence[Curve]) -> str:
    target = view.summary.target_accuracy
    ended = [choice for choice in choices if choice.summary.results]
    if not ended:
        so_far = [
            (float(curve.mean[-1]), int(curve.x[-1]), choice)
            for choice, curve in zip(choices, curves, strict=True)
            if len(curve.mean)
        ]
        share, step, choice = max(so_far, key=lambda entry: entry[0])
        return (
            f"No training has ended yet; the highest test accuracy so far is {decimal(share, 3)}, "
            f"of {choice.label} at step {step:,}."
        )
    figures = {choice: choice.summary.figures for choice in ended}
    known = [choice for choice in ended if not math.isnan(figures[choice]["test_accuracy"].mean)]
    if not known:
        return "No network has a test accuracy."
    best = max(known, key=lambda choice: figures[choice]["test_accuracy"].mean)
    highest = " highest," if len(known) > 1 else ""
    text = f"{best.label} ends{highest} at {decimal(figures[best]['test_accuracy'].mean, 3)}"
    steady = [
        choice for choice in known if figures[choice]["steps_to_target"].count == len(choice.summary.results)
    ]
    if steady and len(known) > 1:
        first = min(steady, key=lambda choice: figures[choice]["steps_to_target"].mean)
        mean = figures[first]["steps_to_target"].mean
        who = "it is also" if first is best else f"{first.label} is"
        text += f"; {who} the first to reach {target:g} with every seed, after {number(mean)} steps"
    elif steady:
        text += f" and reaches {target:g} after {number(figures[best]['steps_to_target'].mean)} steps"
    never = [choice for choice in known if not figures[choice]["steps_to_target"].count]
    if never and len(known) > 1:
        verb = "reaches" if len(never) == 1 else "reach"
        text += (
            f". None of the {len(known)} networks ever reaches {target:g}"
            if len(never) == len(known)
            else f". {len(never)} of {len(known)} networks never {verb} {target:g}: {grouped(view, never)}"
        )
    elif never:
        text += f" and never reaches {target:g}"
    return capitalised(f"{text}.")


def _chance(choices: Sequence[Choice]) -> float | None:
    levels = {round(result.outcome.chance, 6) for choice in choices for result in choice.summary.results}
    level = next(iter(levels)) if len(levels) == 1 else math.nan
    return None if math.isnan(level) else level
