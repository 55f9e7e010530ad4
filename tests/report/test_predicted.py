"""The dashes of a prediction: the right curve, the right words, readable without colour."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from evenflow.record.schema import Run, Site
from evenflow.record.table import Table
from evenflow.report.figures.start import start_picture
from evenflow.report.view import make_view
from evenflow.spec.training import Training

LAYERS = 5


def prediction(
    about: Sequence[Mapping[str, object]], logs: Sequence[Sequence[float]], facts: Sequence[Any] = ()
) -> Table:
    """A run for every set of fields; one without logs has no figures and failed."""
    runs, rows = [], []
    for number, (fields, of_layers) in enumerate(zip(about, logs, strict=True)):
        known = facts[number] if facts else {"warnings": []}
        status = "finished" if of_layers else "failed"
        runs.append(Run(f"p{number}", 0, fields, status, 0, known, "predicted"))
        for layer, log in enumerate(of_layers, start=1):
            figures = {"grad_norm_log10": log, "grad_norm_log10_sd": 0.1, "grad_norm": 10.0**log}
            rows.append(
                (number, 0, Site(f"layer_{layer}.weight", "weight", layer, 8), "accumulated", figures)
            )
    return Table.from_rows(runs, rows, source="predicted")


SIGMOID = {"activation": "sigmoid"}
RELU = {"activation": "relu"}
STEEP = [-4.4, -3.0, -2.0, -1.0, 0.0]  # the measured mean of three seeds is 0.1 above a decade a layer
LEVEL = [0.1] * LAYERS


@pytest.fixture
def picture(study, table):
    def make(predicted, changes=None, **formulas):
        made = study(**({"grid": {"activation": ("sigmoid", "relu")}} | (changes or {})))
        return start_picture(make_view(table(made, **formulas), made, predicted))

    return make


def dashed(picture):
    return [one for one in picture.traces if one.get("name") == "predicted" and one["mode"] == "lines"]


def bands(picture):
    return [one for one in picture.traces if "standard deviation" in one.get("name", "")]


def test_dashes_wear_the_colour_of_their_curve_and_the_curve_is_pale_and_solid(picture):
    made = picture(prediction([SIGMOID, RELU], [STEEP, LEVEL]))
    first, second = dashed(made)
    np.testing.assert_allclose(first["y"], 10.0 ** np.array(STEEP), rtol=1e-4)
    assert first["x"] == [1, 2, 3, 4, 5]
    assert first["line"]["color"] != second["line"]["color"]
    assert "predicted" in first["hovertemplate"]
    assert first["customdata"][4].startswith("1.0  [0.79 to 1.3")
    measured = [
        one
        for one in made.traces
        if one["mode"] == "lines" and one.get("legendgroup") == "sigmoid" and one not in (first, second)
    ]
    lines = [one["line"] for one in measured if "fill" not in one]
    assert [(line["dash"], line["width"]) for line in lines] == [("solid", 5)]
    assert first["line"]["dash"] not in ("solid", "")
    json.dumps([list(made.traces), made.wide, made.narrow], allow_nan=False)
    made.figure()


def test_one_entry_of_the_legend_explains_the_dashes(picture):
    made = picture(prediction([SIGMOID, RELU], [STEEP, LEVEL]))
    names = [one["name"] for one in made.traces if one.get("showlegend")]
    assert names == ["Sigmoid", "ReLU", "Predicted"]


def test_the_sentence_says_the_largest_distance_and_where(picture):
    said = picture(prediction([SIGMOID, RELU], [STEEP, LEVEL])).sentence
    assert said.endswith(
        "The prediction is at most 0.50 decades from the measured mean, in layer 1 with sigmoid, and within 0.05 in "
        "half of all layers."
    )
    other = picture(prediction([SIGMOID, RELU], [STEEP, [0.1, 0.1, -1.9, 0.1, 0.1]])).sentence
    assert "at most 2.00 decades from the measured mean, in layer 3 with ReLU" in other


def test_the_batch_is_that_of_one_seed(picture):
    note = picture(
        prediction([SIGMOID, RELU], [STEEP, LEVEL]), norm=lambda cell, *_: 10.0 ** (cell.seed / 10)
    ).note
    assert (
        "first batch of seed 0, and other seeds begin with other batches; from seed 0 alone it is at most 4.40"
        in note
    )
    full = {"training": Training(steps=20, batch=400)}
    assert "other batches" not in picture(prediction([SIGMOID, RELU], [STEEP, LEVEL]), full).note
    assert "other batches" not in picture(prediction([SIGMOID, RELU], [STEEP, LEVEL]), {"seeds": 1}).note


def test_a_prediction_is_drawn_in_every_panel_that_shares_it(picture):
    grid = {"activation": ("sigmoid", "relu"), "learning_rate": (0.1, 0.01)}
    made = picture(prediction([SIGMOID, RELU], [STEEP, LEVEL]), {"grid": grid})
    assert {(one["legendgroup"], one["xaxis"]) for one in dashed(made)} == {
        (value, axis) for value in ("sigmoid", "ReLU") for axis in ("x", "x2")
    }
    assert len(dashed(made)) == 4


def test_bands_stand_where_nothing_else_is_banded_and_lines_are_few(picture):
    both = prediction([SIGMOID, RELU], [STEEP, LEVEL])
    assert not bands(picture(both))
    assert "on hover: one standard deviation between seeds" in picture(both).note
    alone = picture(both, {"seeds": 1})
    np.testing.assert_allclose(bands(alone)[0]["y"][:LAYERS], 10.0 ** (np.array(STEEP) - 0.1), rtol=1e-4)
    assert "bands: one standard deviation between seeds" in alone.note
    many = {"seeds": 1, "grid": {"activation": ("sigmoid", "relu", "tanh", "gelu")}}
    names = [{"activation": name} for name in many["grid"]["activation"]]
    assert not bands(picture(prediction(names, [LEVEL] * 4), many))


def test_warned_and_refused_predictions_are_marked_and_said(picture):
    facts = [{"warnings": ["seeds differ"]}, {"message": "nothing is random"}]
    made = picture(prediction([SIGMOID, RELU], [STEEP, []], facts))
    (only,) = dashed(made)
    plain = dashed(picture(prediction([SIGMOID, RELU], [STEEP, LEVEL])))[0]
    assert only["line"]["dash"] != plain["line"]["dash"]
    assert "theory warns" in only["hovertemplate"]
    assert "Dotted: theory warns of sigmoid: seeds differ." in made.note
    assert "Not predicted: ReLU: nothing is random." in made.note
    assert "with sigmoid" in made.sentence


def test_norms_of_exactly_0_are_not_compared_and_predictions_below_any_number_not_drawn(picture):
    made = picture(
        prediction([SIGMOID, RELU], [[-400.0, *STEEP[1:]], LEVEL]),
        norm=lambda *at: 0.0 if at[2] == 1 else 1.0,
    )
    assert dashed(made)[0]["y"][0] is None
    assert "exactly 0 or not finite are not compared" in made.note
    assert "3.00 decades from the measured mean, in layer 2 with sigmoid" in made.sentence


def test_without_predictions_the_figure_is_as_it_was(picture):
    none, empty = picture(None), picture(prediction([], []))
    assert none.traces == empty.traces
    assert (none.sentence, none.note) == (empty.sentence, empty.note)
    assert "redict" not in none.sentence + none.note
