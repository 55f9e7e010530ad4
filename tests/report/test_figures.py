"""The figures draw what was recorded, and their sentences follow it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from evenflow.compare.intervals import mean_interval
from evenflow.report.figures import pictures
from evenflow.report.figures.gradients import gradient_maps
from evenflow.report.figures.start import start_picture
from evenflow.report.figures.training import accuracy_picture, loss_picture
from evenflow.report.figures.units import dead_picture, saturated_picture
from evenflow.report.series import intervals
from evenflow.report.style import line_style
from evenflow.report.view import make_view
from evenflow.spec.network import Network


@pytest.fixture
def view(study, table):
    def make(changes=None, **formulas):
        made = study(**(changes or {}))
        return make_view(table(made, **formulas), made)

    return make


def lines(picture, name):
    """The lines of one value, panel by panel."""
    return [
        trace
        for trace in picture.traces
        if trace["type"] == "scatter"
        and trace["mode"] == "lines"
        and trace.get("legendgroup") == name
        and "fill" not in trace
    ]


def bands(picture):
    return [trace for trace in picture.traces if "fill" in trace]


def maps(picture):
    return [trace for trace in picture.traces if trace["type"] == "heatmap" and "coloraxis" in trace]


def test_intervals_are_those_of_compare():
    values = np.random.default_rng(0).normal(size=(5, 40))
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    values[:, 3] = [np.nan, np.nan, 1.0, np.nan, np.nan]
    values[:, 4] = np.nan
    values[0, 5] = -np.inf
    for column, mean, low, high in zip(values.T, *intervals(values), strict=True):
        expected = mean_interval(column)
        np.testing.assert_allclose(
            (mean, low, high), (expected.mean, expected.low, expected.high), rtol=1e-12
        )


def test_the_start_shows_the_geometric_mean_with_its_interval(view):
    picture = start_picture(view())
    line = lines(picture, "sigmoid")[0]
    assert line["x"] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(line["y"], 10.0 ** (np.arange(-4, 1) + 0.1), rtol=1e-4)
    reach = scipy.stats.t.ppf(0.975, 2) * np.std([0, 0.1, 0.2], ddof=1) / math.sqrt(3)
    low = bands(picture)[0]["y"][:5]
    np.testing.assert_allclose(low, 10.0 ** (np.arange(-4, 1) + 0.1 - reach), rtol=1e-4)


def test_the_sentence_on_the_start_follows_the_data(view):
    first = start_picture(view()).sentence
    assert "1.0 × 10⁻⁴ of the last layer's with sigmoid" in first
    assert "in none of the 4 networks is it below a millionth" in first

    def swapped(cell, _step, layer):
        return 10.0 ** (-2 * (5 - layer) if cell.network.activation == "relu" else 0)

    second = start_picture(view(norm=swapped)).sentence
    assert "1.0 × 10⁻⁸ of the last layer's with ReLU" in second
    assert "in 2 of 4 networks it is below a millionth" in second


def test_the_other_field_gives_panels_of_one_scale(view):
    made = view()
    picture = start_picture(made)
    assert (made.compared, made.others) == ("activation", ("initialisation",))
    assert {trace["xaxis"] for trace in lines(picture, "ReLU")} == {"x", "x2"}
    for layout in (picture.wide, picture.narrow):
        assert layout["yaxis"]["range"] == layout["yaxis2"]["range"]
    assert picture.wide["yaxis"]["domain"] == picture.wide["yaxis2"]["domain"]  # side by side
    assert picture.narrow["xaxis"]["domain"] == picture.narrow["xaxis2"]["domain"]  # one above the other


def test_a_value_has_one_style_in_every_picture(view):
    made = view()
    for picture in (start_picture(made), loss_picture(made), accuracy_picture(made)):
        for number, name in enumerate(("sigmoid", "ReLU")):
            style = line_style(number)
            assert {trace["line"]["color"] for trace in lines(picture, name)} == {style.colour}
            assert {trace["line"]["dash"] for trace in lines(picture, name)} == {style.dash}


def test_a_norm_of_exactly_0_stands_on_the_edge_and_is_said(view):
    picture = start_picture(view(norm=lambda cell, *at: 0.0 if cell.seed == 0 and at[1] == 1 else 1.0))
    assert "exactly 0" in picture.sentence
    assert "exactly 0" in picture.note
    marks = [
        trace for trace in picture.traces if trace.get("marker", {}).get("symbol", "") == "triangle-down"
    ]
    assert {tuple(trace["x"]) for trace in marks if "exactly 0" in trace.get("hovertemplate", "")} == {(1,)}
    assert lines(picture, "ReLU")[0]["y"][0] is None


def test_heat_maps_average_log10_over_seeds(view):
    made = view(norm=lambda cell, step, layer: 10.0 ** (-layer + cell.seed - step / 10))
    traces = maps(gradient_maps(made))
    assert len(traces) == 4
    expected = -np.arange(1, 6)[:, None] + 1.0 - np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(np.array(traces[0]["z"]), expected, atol=1e-4)
    assert {trace["coloraxis"] for trace in traces} == {"coloraxis"}


def test_heat_maps_mark_0_and_nan(view):
    def broken(cell, step, layer):
        if cell.network.activation == "relu":
            return 0.0 if layer == 2 and (cell.seed == 0 or step == 10) else 1.0
        return math.nan if step == 20 else 1.0

    picture = gradient_maps(view({"grid": {"activation": ("sigmoid", "relu")}}, norm=broken))
    marked = {
        trace["xaxis"]: trace
        for trace in picture.traces
        if "customdata" in trace and trace["mode"] == "markers"
    }
    assert marked["x"]["customdata"] == ["NaN or infinite in 3 of 3 seeds"] * 5
    assert marked["x2"]["customdata"] == [
        "exactly 0 in 1 of 3 seeds",
        "exactly 0 in 3 of 3 seeds",
        "exactly 0 in 1 of 3 seeds",
    ]
    grounds = [trace for trace in picture.traces if trace["type"] == "heatmap" and "coloraxis" not in trace]
    cells = {trace["xaxis"]: np.array(trace["z"], dtype=float) for trace in grounds}
    assert np.nansum(cells["x"]) == 5  # all seeds are NaN
    assert np.nansum(cells["x2"]) == 1  # all seeds are 0 in layer 2 at step 10 only
    assert {trace["name"] for trace in picture.traces if trace.get("showlegend")} == {
        "exactly 0",
        "NaN or infinite",
    }
    assert "exactly 0, NaN or infinite with sigmoid and 1 more" in picture.sentence


def test_the_sentence_on_training_follows_the_data(view):
    still = gradient_maps(view())
    assert "keeps its size" in still.sentence

    def repaired(cell, step, layer):
        lost = (5 - layer) * (1 - step / 20) if cell.network.initialisation == "gain" else 5 - layer
        return 10.0**-lost

    moved = gradient_maps(view(norm=repaired))
    assert "rises most with sigmoid (initialisation gain)" in moved.sentence
    assert "from 1.0 × 10⁻⁴ before training to 1.0 at step 20" in moved.sentence


def test_accuracy_and_its_sentence(view):
    picture = accuracy_picture(view())
    np.testing.assert_allclose(lines(picture, "ReLU")[0]["y"], [1 / 3, 0.62667, 0.92], atol=1e-4)
    assert "ReLU (initialisation torch) ends highest, at 0.920" in picture.sentence
    assert "it is also the first to reach 0.9 with every seed, after 20 steps" in picture.sentence
    assert "2 of 4 networks never reach 0.9: both with sigmoid" in picture.sentence
    best = accuracy_picture(
        view(accuracy=lambda cell, _: 0.95 if cell.network.activation == "sigmoid" else 0.5)
    )
    assert "Sigmoid (initialisation torch) ends highest, at 0.950" in best.sentence
    assert "never reach 0.9: both with ReLU" in best.sentence


def test_loss_and_its_sentence(view):
    picture = loss_picture(view())
    np.testing.assert_allclose(lines(picture, "ReLU")[0]["y"], 2 * np.exp([0.0, -1.0, -2.0]), rtol=1e-4)
    assert "2.0 before training, 0.27 at its last step. All 4 networks" in picture.sentence
    stuck = loss_picture(
        view(loss=lambda cell, step: 2.0 if cell.network.activation == "relu" else 2.0 / (step + 1))
    )
    assert "2 of 4 networks end within 5 %" in stuck.sentence
    assert "both with ReLU" in stuck.sentence


def test_one_seed_has_no_bands_and_says_so(view):
    for picture in pictures(view({"seeds": 1})):
        assert not bands(picture)
    assert "One seed: no intervals." in start_picture(view({"seeds": 1})).note
    assert bands(start_picture(view()))


def test_bands_of_shares_end_at_0_and_1(view):
    picture = accuracy_picture(view(accuracy=lambda cell, _: 0.5 * cell.seed))
    values = np.concatenate([band["y"] for band in bands(picture)])
    assert (values.min(), values.max()) == (0, 1)


def test_a_diverged_seed_ends_the_line_and_is_marked(view):
    def steps(cell):
        return (0, 10) if cell.seed == 1 else (0, 10, 20)

    picture = loss_picture(
        view(
            {"grid": {"activation": ("relu",)}},
            status=lambda cell: "diverged" if cell.seed == 1 else "finished",
            steps=steps,
            loss=lambda cell, step: math.nan if cell.seed == 1 and step == 10 else 2.0 + cell.seed,
        )
    )
    mean, rest = lines(picture, "ReLU")
    assert mean["x"] == [0]
    assert rest["x"] == [0, 10, 20]
    np.testing.assert_allclose(rest["y"], math.sqrt(2 * 4), rtol=1e-4)  # the two seeds that did not
    crosses = [trace for trace in picture.traces if trace.get("marker", {}).get("symbol") == "x-thin"]
    assert [trace["x"] for trace in crosses] == [[0]]
    assert "where a seed diverged (1 in all)" in picture.note


def test_dead_units(view):
    none = dead_picture(view())
    assert not none.traces
    assert none.sentence == "No unit of any network is dead at any recorded step."

    def dead(cell, step, layer):
        return 0.1 * layer * step / 20 if cell.network.activation == "relu" else 0.0

    some = dead_picture(view(dead=dead))
    assert len(maps(some)) == 2
    assert "ReLU (initialisation torch) has the most dead units at its last step (20): 25 %" in some.sentence
    assert "up to 40 % in layer 4; before training it was 0.0 %" in some.sentence
    assert "2 of 4 networks have any" in some.sentence
    assert "Left out: 2 networks with none." in some.note
    assert "13 % on average" in saturated_picture(view(dead=dead)).sentence


def test_dead_units_are_drawn_where_the_data_set_was_evaluated(view):
    def dead(_cell, step, layer):
        return 0.1 * layer * (1 + step / 20) if step != 10 else math.nan

    drawn = maps(dead_picture(view(dead=dead)))
    assert drawn
    assert all(list(trace["x"]) == [0, 20] for trace in drawn)


def test_a_large_grid_is_drawn_in_part_and_says_so(view):
    grid = {
        "activation": tuple(f"leaky_relu:{number / 100:g}" for number in range(1, 13)),
        "learning_rate": tuple(10.0**-power for power in range(1, 8)),
    }
    made = view({"grid": grid}, accuracy=lambda cell, _: 0.3 + 0.1 * cell.training.learning_rate)
    assert len(made.drawn) == 8 * 4
    assert {choice.rest for choice in made.drawn} >= {"learning rate 0.1", "learning rate 10⁻⁷"}
    for picture in pictures(made)[1:]:
        assert picture.sentence.startswith("Of the networks drawn: ")
    assert "32 of 84 networks are drawn" in start_picture(made).note


def test_without_an_activation_in_the_grid_the_longest_field_is_compared(view):
    made = view({"grid": {"residual": ("none", "pre"), "learning_rate": (0.1, 0.01, 1e-6)}})
    assert (made.compared, made.others) == ("learning_rate", ("residual",))
    assert [choice.label for choice in made.choices[2:4]] == [
        "learning rate 10⁻⁶ (no residual)",
        "learning rate 0.1 (residual pre)",
    ]


def test_a_list_of_activations_is_one_choice(view):
    made = view({"grid": {"activation": ("relu", ("relu", "sigmoid"))}})
    assert [choice.value for choice in made.choices] == ["ReLU", "ReLU, sigmoid"]
    assert "Sigmoid" in pictures(made)[0].sentence


def test_running_studies_are_drawn_as_far_as_they_are(view):
    made = view(
        {"grid": {"activation": ("relu", "tanh")}},
        status=lambda cell: "running" if cell.network.activation == "relu" else "pending",
        steps=lambda cell: (0, 10) if cell.network.activation == "relu" else (),
    )
    picture = accuracy_picture(made)
    assert lines(picture, "ReLU")[0]["x"] == [0, 10]
    assert not lines(picture, "tanh")
    assert picture.sentence.startswith("No training has ended yet; the highest test accuracy so far is 0.627")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seeds": 1, "grid": {}, "network": Network(depth=1, width=1)},
        {"grid": {"depth": (1, 3), "activation": ("relu", "tanh"), "learning_rate": (0.1, 0.2)}},
    ],
    ids=["two fields", "one cell", "three fields"],
)
def test_every_picture_is_plain_data_that_plotly_accepts(view, changes):
    for picture in pictures(view(changes)):
        assert picture.sentence
        assert picture.sentence[0].isupper()
        assert "nan" not in picture.sentence.lower().replace("nan or", "")
        if picture.traces and picture.name != "activations":  # those come as arrays from another module
            json.dumps([list(picture.traces), picture.wide, picture.narrow], allow_nan=False)
        if picture.traces:
            picture.figure()
            axes = [{key for key in layout if "axis" in key} for layout in (picture.wide, picture.narrow)]
            assert axes[0] == axes[1]


def test_nothing_recorded(view):
    made = view(status=lambda _: "pending", steps=lambda _: ())
    for picture in pictures(made)[1:]:
        assert not picture.traces
        assert picture.sentence.endswith("yet.")


def test_a_failed_run_is_not_drawn(view):
    made = view(status=lambda cell: "failed" if cell.network.activation == "sigmoid" else "finished")
    assert {choice.value for choice in made.drawn} == {"ReLU"}


def test_markup_in_a_label_is_text(view):
    made = view()
    choice = replace(made.choices[0], value="<b>x</b>")
    other = replace(made, choices=(choice,))
    assert all(
        "<b>x" not in trace["name"] for trace in start_picture(other).traces if trace.get("showlegend")
    )
