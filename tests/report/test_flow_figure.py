"""The flow of one run as a figure: what its panels hold, compared with formulas."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from flow_tables import activation, probe_rows, table_of, weight

from evenflow.errors import SpecError
from evenflow.record.schema import Run
from evenflow.record.table import Table
from evenflow.report.flow_figure import flow_figure

STEPS = tuple(range(0, 90, 10))


def norm(layer: int, step: int) -> float:
    return 10.0 ** (layer - 5 + step / 100)


def table(layers: int = 4, of: Any = norm, steps: Any = STEPS) -> Table:
    return table_of(probe_rows(of, layers, steps))


def traces(figure: Any, axis: str, name: str | None = None) -> list[Any]:
    """The traces of one vertical axis, those of one name."""
    return [trace for trace in figure.data if trace.yaxis == axis and name in (None, trace.name)]


def texts(figure: Any) -> str:
    return " | ".join(note.text for note in figure.layout.annotations)


def test_gradients_by_layer_at_the_first_some_and_the_last_step():
    figure = flow_figure(table())
    lines = traces(figure, "y")
    assert [line.name for line in lines] == ["0", "20", "40", "60", "80"]
    for line in lines:
        assert list(line.x) == [1, 2, 3, 4]
        assert list(line.y) == pytest.approx([layer - 5 + int(line.name) / 100 for layer in (1, 2, 3, 4)])
    assert len({line.line.color for line in lines}) == 5
    assert lines[-1].line.width > lines[0].line.width
    assert lines[0].customdata[1] == "blocks.2.fc, step 0: 0.0010"


def test_the_axis_of_magnitudes_names_powers_of_ten():
    axis: Any = flow_figure(table(20)).layout
    named = dict(zip(axis.yaxis.tickvals, axis.yaxis.ticktext, strict=True))
    assert named == {-4: "10⁻⁴", 0: "1", 4: "10⁴", 8: "10⁸", 12: "10¹²", 16: "10¹⁶"}
    assert axis.yaxis.range[0] < -4 < 16 < axis.yaxis.range[1]


def test_the_map_holds_every_step_and_layer():
    figure = flow_figure(table())
    (heat,) = traces(figure, "y3")
    assert (list(heat.x), list(heat.y)) == ([1, 2, 3, 4], list(STEPS))
    expected = [[layer - 5 + step / 100 for layer in (1, 2, 3, 4)] for step in STEPS]
    assert np.array(heat.z, dtype=float) == pytest.approx(np.array(expected), abs=1e-3)


def test_updates_with_their_range_and_the_band_around_a_thousandth():
    rows = [*probe_rows(norm, 3, (0, 10), update=1e-5), *probe_rows(norm, 3, (20,), update=1e-3)]
    figure: Any = flow_figure(table_of(rows))
    band, line = traces(figure, "y2")
    latest, first = np.log10([1e-3, 2e-3, 3e-3]), np.log10([1e-5, 2e-5, 3e-5])
    assert line.name == "step 20"
    assert list(line.y) == pytest.approx(latest, abs=1e-4)
    assert list(band.y) == pytest.approx([*first, *latest[::-1]], abs=1e-4)
    shaded, middle = figure.layout.shapes
    assert (shaded.y0, shaded.y1, shaded.yref, middle.y0) == (-4, -2, "y2", -3)
    low, high = figure.layout.yaxis2.range
    assert low < -5
    assert high > -2


def test_shares_and_outputs_of_the_activations_at_the_last_step():
    figure: Any = flow_figure(table())
    (dead,), (saturated,) = traces(figure, "y4", "dead"), traces(figure, "y4", "saturated")
    (output,) = traces(figure, "y8")
    assert list(dead.x) == [1, 2, 3]
    assert list(dead.y) == pytest.approx([0.01, 0.02, 0.03])
    assert list(saturated.y) == pytest.approx([0.02, 0.04, 0.06])
    assert list(output.y) == pytest.approx([-1, -2, -3])
    assert (figure.layout.yaxis8.side, figure.layout.yaxis8.overlaying) == ("right", "y4")
    assert dead.customdata[0] == "blocks.1:relu, dead: 1 %"


def test_two_activations_behind_one_layer_stand_side_by_side():
    rows = [(0, 0, weight(layer), "accumulated", {"grad_norm": 1.0}) for layer in (1, 4)]
    rows += [(0, 0, activation(layer), "", {"dead_fraction": layer / 10}) for layer in (1, 2, 4)]
    (dead,) = traces(flow_figure(table_of(rows)), "y4", "dead")
    assert list(dead.x) == [1.0, 1.5, 2.0]
    assert list(dead.y) == pytest.approx([0.1, 0.2, 0.4])


def test_zero_and_broken_gradients_are_marked_at_the_edges():
    values = {1: 1e-200, 2: 0.0, 3: math.inf, 4: math.nan}
    figure: Any = flow_figure(table(of=lambda layer, _: values[layer], steps=(0,)))
    low, high = figure.layout.yaxis.range
    (line,) = traces(figure, "y", "0")
    assert line.y == pytest.approx([-200, None, None, None])
    (zero,), (broken,) = traces(figure, "y", "exactly 0"), traces(figure, "y", "NaN or infinite")
    assert (list(zero.x), list(zero.y)) == ([2], [low])
    assert (list(broken.x), list(broken.y)) == ([3], [high])
    (zero,), (broken,) = traces(figure, "y3", "exactly 0"), traces(figure, "y3", "NaN or infinite")
    assert (list(zero.x), list(broken.x)) == ([2], [3])
    assert "▼ or black: exactly 0, × NaN or infinite" in texts(figure)
    assert "exactly 0" not in texts(flow_figure(table()))


@pytest.mark.parametrize("value", [0.0, math.inf])
def test_nothing_but_zero_or_broken_is_still_a_figure(value: float):
    figure = flow_figure(table(of=lambda *_: value))
    name = "exactly 0" if value == 0 else "NaN or infinite"
    assert [list(trace.x) for trace in traces(figure, "y", name)] == [[1, 2, 3, 4]] * 5


def test_without_gradients_three_panels_say_so():
    rows = [row for row in probe_rows(norm, 4, STEPS) if row[2].kind == "activation"]
    figure = flow_figure(table_of(rows))
    assert texts(figure).count("no gradient recorded") == 2
    assert texts(figure).count("no update recorded") == 1
    assert {getattr(trace, "yaxis", None) for trace in figure.data} == {"y4", "y8"}
    layout: Any = figure.layout
    notes = [note for note in layout.annotations if note.text.startswith("no ")]
    assert all((note.xref, note.yref) == ("paper", "paper") for note in notes)
    for note, x, y in zip(
        notes,
        (layout.xaxis, layout.xaxis2, layout.xaxis),
        (layout.yaxis, layout.yaxis2, layout.yaxis3),
        strict=True,
    ):
        assert (note.x, note.y) == pytest.approx((np.mean(x.domain), np.mean(y.domain)))


def test_without_activations_one_panel_says_so():
    rows = [row for row in probe_rows(norm, 4, STEPS) if row[2].kind == "weight"]
    figure = flow_figure(table_of(rows))
    assert "no activation recorded" in texts(figure)
    assert {getattr(trace, "yaxis", None) for trace in figure.data} == {"y", "y2", "y3"}


def test_one_step_has_one_line_and_no_range():
    figure: Any = flow_figure(table(steps=(7,)))
    assert [trace.name for trace in traces(figure, "y")] == ["7"]
    assert [trace.name for trace in traces(figure, "y2")] == ["step 7"]
    assert figure.layout.yaxis3.tickvals == (7,)


@pytest.mark.parametrize("empty", [Table.from_rows([], []), Table.from_rows([Run("a")], [])])
def test_an_empty_table_says_so(empty: Table):
    figure = flow_figure(empty)
    assert not figure.data
    assert texts(figure) == "Nothing recorded yet."


def test_three_hundred_layers_and_many_steps_stay_light():
    rows = [row for row in probe_rows(lambda layer, _: layer, 300, range(150)) if row[2].kind == "weight"]
    figure = flow_figure(table_of(rows))
    heat = traces(figure, "y3")[0]
    assert (len(heat.x), len(heat.y)) == (300, 120)
    assert (heat.y[0], heat.y[-1]) == (0, 149)
    assert len(figure.to_json() or "") < 2_000_000


def test_panels_of_a_column_share_the_layers():
    wide: Any = flow_figure(table())
    assert [traces(wide, axis)[0].xaxis for axis in ("y", "y2", "y3", "y4")] == ["x", "x2", "x", "x2"]
    assert wide.layout.xaxis2.matches == "x"
    narrow: Any = flow_figure(table(), columns=1)
    assert {trace.xaxis for trace in narrow.data} == {"x"}
    assert (wide.layout.hoversubplots, narrow.layout.hoversubplots) == ("axis", "axis")
    for figure, rows in ((wide, 2), (narrow, 4)):
        domains = {tuple(np.round(figure.layout[f"yaxis{n}"].domain, 6)) for n in ("", 2, 3, 4)}
        assert len(domains) == rows
        ends = sorted(domains)
        assert all(below[1] < above[0] for below, above in pairwise(ends))
    assert narrow.layout.height > 1.8 * wide.layout.height


def test_light_and_dark():
    light, dark = (flow_figure(table(), theme=theme) for theme in ("light", "dark"))
    assert light.layout.paper_bgcolor != dark.layout.paper_bgcolor  # pyright: ignore[reportAttributeAccessIssue]
    assert traces(light, "y")[-1].line.color != traces(dark, "y")[-1].line.color


def test_names_are_no_markup():
    rows = [(0, 0, weight(1, "<b>{}"), "accumulated", {"grad_norm": 1.0})]
    figure = flow_figure(table_of(rows))
    assert traces(figure, "y")[0].customdata[0].startswith("&lt;b&gt;1")
    assert traces(figure, "y3")[0].customdata[0][0].startswith("&lt;b&gt;1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 3}, "flow_figure: columns=3 cannot be laid out; say 1 or 2"),
        (
            {"theme": "drak"},
            'flow_figure: theme "drak" is not known; did you mean "dark"?; say light or dark',
        ),
    ],
)
def test_an_option_that_is_not_known_is_refused(options: Any, message: str):
    with pytest.raises(SpecError) as caught:
        flow_figure(table(), **options)
    assert str(caught.value) == message
