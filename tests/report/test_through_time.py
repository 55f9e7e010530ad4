"""The picture of the gradient through time, from figures that are known beforehand."""

import numpy as np
import pytest

from evenflow.record.schema import Run, Site
from evenflow.record.table import Table
from evenflow.report.figures import pictures
from evenflow.report.figures.through_time import has_time_steps, time_picture
from evenflow.report.view import make_view, value_label
from evenflow.spec.recurrent import RecurrentNetwork
from evenflow.spec.study import Study

STUDY = Study(network=RecurrentNetwork(depth=2), seeds=2, grid={"cell": ("rnn", "lstm")})
KEEPS = {"rnn": -1.0, "lstm": -0.5}
"""Decades from one time step to the one before."""


def table():
    runs, rows = [], []
    for number, cell in enumerate(STUDY.cells()):
        runs.append(Run(cell.key, cell.seed, cell.fields, "finished", 10, {"classes": 2}))
        for step in (0, 10):
            for part in ("train", "test"):
                rows.append((number, step, Site(part, "loss", 0, 9), "", {"loss": 1.0, "accuracy": 0.5}))
            rows.append(
                (
                    number,
                    step,
                    Site("hidden_1.cells.weight_ih_l0", "weight", 1, 8),
                    "accumulated",
                    {"grad_norm": 1.0},
                )
            )
            for layer in (1, 2):
                for time in range(5):
                    decades = (
                        KEEPS[str(cell.fields["cell"])] * (4 - time) * (1 if step == 0 else 0.5)
                        + cell.seed / 10
                    )
                    size = 10.0 ** (decades if layer == 1 else 5)
                    site = Site(f"hidden_{layer}[{time}]", "input", 2 * layer - 1, 8)
                    rows.append((number, step, site, "accumulated", {"signal_rms": size}))
    return Table.from_rows(runs, rows)


def test_the_first_layer_is_drawn_over_time():
    view = make_view(table(), STUDY)
    assert has_time_steps(view)
    picture = time_picture(view)
    drawn = {
        trace["name"]: trace
        for trace in picture.traces
        if trace.get("mode") == "lines" and "customdata" in trace
    }
    assert set(drawn) == {"RNN", "LSTM"}
    assert drawn["RNN"]["x"] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(np.log10(drawn["RNN"]["y"]), np.arange(-4, 1) + 0.05, atol=1e-4)
    assert picture.sentence == (
        "Before training the gradient at the first of 5 time steps is 1.0 × 10⁻⁴ of that at the last with RNN, the "
        "weakest, and 0.010 of that at the last with LSTM, the strongest; at step 10 it is 0.010 of that at the last "
        "with RNN."
    )


def test_it_stands_in_the_report_of_recurrent_networks_alone():
    names = [one.name for one in pictures(make_view(table(), STUDY))]
    assert names.index("gradient-time") == names.index("gradient-maps") + 1
    assert "gradient-time" not in [
        one.name for one in pictures(make_view(table().select(kind="loss"), STUDY))
    ]


def test_what_a_layer_is_is_said():
    notes = {one.name: one.note for one in pictures(make_view(table(), STUDY))}
    assert "Every weight matrix counts as a layer, in the order of execution" in notes["gradient-start"]


@pytest.mark.parametrize(
    ("field", "value", "label"),
    [
        ("cell", "gru", "GRU"),
        ("family", "transformer", "transformer"),
        ("heads", 4, "heads 4"),
        ("family", None, "dense"),
        ("cell", None, "cell by default"),
    ],
)
def test_values_of_families_are_said_as_people_say_them(field, value, label):
    assert value_label(field, value) == label
