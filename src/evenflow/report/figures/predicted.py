"""What theory said of the networks of a study, drawn over what was measured and held against it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.record.schema import Run
from evenflow.report.figures.lines import panels_of
from evenflow.report.figures.picture import panel_refs, plain
from evenflow.report.series import Block, logged
from evenflow.report.style import GUIDE
from evenflow.report.view import Choice, View, grouped
from evenflow.report.wording import decimal, from_log, plot_text

Array = NDArray[np.float64]

_DASH, _DOTS = "7px,5px", "2px,4px"
_MOST_BANDS = 3  # with more curves in a panel the bands hide one another
_SMALLEST = -300.0  # log10 of what a logarithmic axis can still show


@dataclass(frozen=True, eq=False)
class Prediction:
    """What theory says of the weights' gradients in the networks of one cell.

    Args:
        run: with the reason in its facts where there is no prediction.
        layers: rising.
        mean, deviation: of log10 of the norm over random initialisations.
    """

    run: Run
    layers: NDArray[np.int64]
    mean: Array
    deviation: Array

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why it is not to be trusted."""
        given = self.run.facts.get("warnings")
        return tuple(map(str, given)) if isinstance(given, list | tuple) else ()

    @property
    def finished(self) -> bool:
        """Whether there are any figures."""
        return self.run.status == "finished" and len(self.layers) > 0


@dataclass(frozen=True, eq=False)
class Pair:
    """A cell with its measured block and its prediction."""

    choice: Choice
    block: Block
    prediction: Prediction

    def distances(self, seed: int | None = None) -> Array:
        """Measured minus predicted log10 of every measured layer, of the mean over seeds or of one seed alone.

        NaN where a measured norm is 0 or not finite, or where nothing is predicted.
        """
        logs = logged(self.block.values[:, 0, :]) if seed is None else logged(self.block.values[[seed], 0, :])
        with np.errstate(invalid="ignore"):
            found = logs.mean(axis=0) - self._predicted()
        return np.where(np.isfinite(found), found, np.nan)

    def _predicted(self) -> Array:
        known = dict(zip(self.prediction.layers.tolist(), self.prediction.mean.tolist(), strict=True))
        return np.array([known.get(layer, np.nan) for layer in self.block.layers.tolist()])


def predictions_of(view: View, choices: Sequence[Choice]) -> tuple[Prediction | None, ...]:
    """The prediction of every cell: that run whose fields the cell has, all of them; of a network of its own family."""
    table = view.predicted
    if table is None:
        return (None,) * len(choices)
    weights = table.select(kind="weight", phase="accumulated")
    columns = {name: weights[name] for name in ("run", "depth", "grad_norm_log10", "grad_norm_log10_sd")}
    found = []
    for place, run in enumerate(weights.runs):
        rows = np.flatnonzero(columns["run"] == place)
        rows = rows[np.argsort(columns["depth"][rows], kind="stable")]
        figures = [columns[name][rows] for name in ("depth", "grad_norm_log10", "grad_norm_log10_sd")]
        found.append(Prediction(run, *figures))
    wanted = [{name: _text(value) for name, value in prediction.run.fields.items()} for prediction in found]
    places = []
    for choice in choices:
        has = {name: _text(value) for name, value in choice.summary.fields.items()}
        fitting = (
            place
            for place, fields in enumerate(wanted)
            if fields.items() <= has.items() and fields.get("family") == has.get("family")
        )
        places.append(next(fitting, None))
    return tuple(None if place is None else found[place] for place in places)


def prediction_traces(
    pairs: Sequence[Pair], choices: Sequence[Choice], *, banded: bool
) -> list[dict[str, Any]]:
    """A dashed line a cell; where `banded` with one standard deviation between seeds to either side."""
    panels = panels_of(choices)
    bands, lines = [], []
    for pair in pairs:
        choice, found = pair.choice, pair.prediction
        group = {
            "type": "scatter",
            "mode": "lines",
            "legendgroup": choice.value,
            "showlegend": False,
            **panel_refs(panels.index(choice.rest)),
        }
        low, high = found.mean - found.deviation, found.mean + found.deviation
        if banded:
            bands.append(
                group
                | {
                    "name": "predicted, one standard deviation",
                    "x": plain(np.concatenate([found.layers, found.layers[::-1]])),
                    "y": _powers(np.concatenate([low, high[::-1]])),
                    "fill": "toself",
                    "fillcolor": choice.style.faded(0.22),
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                }
            )
        warned = "<br>theory warns of this prediction" if found.warnings else ""
        lines.append(
            group
            | {
                "name": "predicted",
                "x": plain(found.layers),
                "y": _powers(found.mean),
                "line": {
                    "color": choice.style.colour,
                    "dash": _DOTS if found.warnings else _DASH,
                    "width": 1.8,
                },
                "customdata": [
                    f"{from_log(mean)}  [{from_log(one)} to {from_log(other)}, one standard deviation]"
                    for mean, one, other in zip(found.mean, low, high, strict=True)
                ],
                "hovertemplate": f"<b>{plot_text(choice.label)}</b><br>predicted, layer %{{x}}: %{{customdata}}"
                f"{warned}<extra></extra>",
            }
        )
    return [*bands, *lines, _legend_entry()]


def banded(view: View, choices: Sequence[Choice]) -> bool:
    """Whether bands of the prediction can be read: few lines in a panel, and no intervals of the measurement."""
    panels = panels_of(choices)
    return view.seeds < 2 and max(sum(one.rest == rest for one in choices) for rest in panels) <= _MOST_BANDS


def distance_sentence(pairs: Sequence[Pair]) -> str:
    """How far prediction and measurement are apart; "" where nothing can be compared."""
    distances = [np.abs(pair.distances()) for pair in pairs]
    compared = [place for place, values in enumerate(distances) if not np.isnan(values).all()]
    if not compared:
        return ""
    farthest = max(compared, key=lambda place: np.nanmax(distances[place]))
    pair, values = pairs[farthest], distances[farthest]
    layer = int(pair.block.layers[np.nanargmax(values)])
    half = float(np.nanmedian(np.concatenate(distances)))
    return (
        f"The prediction is at most {decimal(float(np.nanmax(values)))} decades from the measured mean, in layer "
        f"{layer} with {pair.choice.label}, and within {decimal(half)} in half of all layers."
    )


def prediction_note(view: View, pairs: Sequence[Pair], given: Mapping[Choice, Prediction]) -> str:
    """How to read the dashes, what they leave out, and where theory warns or refuses."""
    parts = []
    if pairs:
        shown = "bands" if banded(view, [pair.choice for pair in pairs]) else "on hover"
        parts.append(
            "Pale lines are measured, dashed ones predicted from the initialisation alone; "
            f"{shown}: one standard deviation between seeds."
        )
        parts.append(_one_batch(view, pairs))
        if any(np.isnan(pair.distances()).any() for pair in pairs):
            parts.append("Layers in which a measured gradient is exactly 0 or not finite are not compared.")
    warned: dict[str, list[Choice]] = {}
    refused: dict[str, list[Choice]] = {}
    for choice, found in given.items():
        for warning in found.warnings:
            warned.setdefault(warning, []).append(choice)
        message = found.run.facts.get("message")
        if message and not found.finished:
            refused.setdefault(str(message), []).append(choice)
    parts += [f"Dotted: theory warns of {grouped(view, some)}: {text}." for text, some in warned.items()]
    parts += [f"Not predicted: {grouped(view, some)}: {text}." for text, some in refused.items()]
    return " ".join(part for part in parts if part)


def _one_batch(view: View, pairs: Sequence[Pair]) -> str:
    """That seeds differ in the batch too, and how far the one seed is whose batch the prediction is for."""
    samples = max(
        (site.units for site in view.table.sites if (site.name, site.kind) == ("train", "loss")), default=0
    )
    batch = pairs[0].choice.summary.fields.get("batch")
    if view.seeds < 2 or not isinstance(batch, int) or batch >= samples:
        return ""
    seed = pairs[0].prediction.run.seed
    alone = []
    for pair in pairs:
        seeds = [view.table.runs[place].seed for place in pair.choice.runs]
        if seed in seeds:
            alone.append(np.abs(pair.distances(seeds.index(seed))))
    text = f"The prediction is for the first batch of seed {seed}, and other seeds begin with other batches"
    if not alone or np.isnan(np.concatenate(alone)).all():
        return f"{text}."
    largest = decimal(float(np.nanmax(np.concatenate(alone))))
    return f"{text}; from seed {seed} alone it is at most {largest} decades away."


def _legend_entry() -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [None],
        "y": [None],
        "line": {"color": GUIDE, "dash": _DASH, "width": 1.8},
        "name": "Predicted",
        "legendgroup": "predicted",
        "showlegend": True,
        "hoverinfo": "skip",
        **panel_refs(0),
    }


def _powers(logs: Array) -> list[float | None]:
    return plain(np.where(logs > _SMALLEST, 10.0 ** np.maximum(logs, _SMALLEST), np.nan))


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
