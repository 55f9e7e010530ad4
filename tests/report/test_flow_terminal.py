"""The flow of one run in the terminal: figures worked out beside it, marks, and lines that fit."""

from __future__ import annotations

import math
import re
from io import StringIO

import numpy as np
import pytest
from flow_tables import activation, probe_rows, table_of, weight
from rich.cells import cell_len
from rich.console import Console

from evenflow.errors import SpecError
from evenflow.record.schema import Run, Site
from evenflow.record.table import Table
from evenflow.report.flow_facts import clipping, nonfinite, total_norm
from evenflow.report.flow_layers import flow_layers
from evenflow.report.flow_terminal import flow_summary, flow_text

STEPS = (0, 10, 20, 30)
BLOCKS = "▁▂▃▄▅▆▇█"


def norm(layer: int, step: int) -> float:
    """A decade a layer, and a tenth of one every ten steps."""
    return 10.0 ** (layer - 5 + step / 100)


def lines_of(text: str) -> dict[str, str]:
    """The lines of layers, by name."""
    return {line.split()[0]: line for line in text.splitlines() if re.match(r" \S*fc ", line)}


def body(text: str) -> int:
    """How many lines the table has below its head."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if "──" in line)
    return lines[start:].index("") - 1


def test_an_empty_table_says_so():
    assert flow_text(Table.from_rows([], [])) == "Nothing recorded yet."


def test_every_figure_of_a_line():
    found = lines_of(flow_text(table_of(probe_rows(norm, 4, STEPS)), 140))
    assert list(found) == [f"blocks.{layer}.fc" for layer in (1, 2, 3, 4)]
    for layer in (1, 2, 3):
        cells = found[f"blocks.{layer}.fc"].replace("−", "-").split()
        name, units, grad, _, update, act, rms, dead, saturated = cells
        assert (name, units, act) == (f"blocks.{layer}.fc", "8", "relu")
        assert float(grad) == pytest.approx(layer - 5 + 0.3, abs=0.005)
        assert float(update) == pytest.approx(np.log10(1e-3 * layer), abs=0.005)
        assert float(rms) == pytest.approx(10.0**-layer, rel=0.05)
        assert (float(dead), float(saturated)) == (layer, 2 * layer)
    assert found["blocks.4.fc"].split()[-3:] == ["–", "–", "–"]


def test_all_sparklines_share_one_scale():
    found = lines_of(flow_text(table_of(probe_rows(norm, 4, STEPS)), 140))
    logs = np.log10([[norm(layer, step) for step in STEPS] for layer in (1, 2, 3, 4)])
    places = np.minimum((8 * (logs - logs.min()) / (logs.max() - logs.min())).astype(int), 7)
    for layer, row in zip((1, 2, 3, 4), places, strict=True):
        assert found[f"blocks.{layer}.fc"].split()[3] == "".join(BLOCKS[place] for place in row)


def test_zero_missing_and_broken_differ():
    values = {0: 1e-200, 10: 0.0, 20: math.nan, 30: math.inf}
    text = flow_text(table_of(probe_rows(lambda layer, step: values[step] if layer == 1 else 1.0, 2, STEPS)))
    assert "▁0 ×" in lines_of(text)["blocks.1.fc"]
    assert "████" in lines_of(text)["blocks.2.fc"]
    assert "0 exactly zero, × not finite" in text
    assert "▁ −200.0 to █ 0.0" in text


def test_many_steps_share_a_character_and_a_break_stays_visible():
    steps = range(1000)
    text = flow_text(table_of(probe_rows(lambda _, step: math.inf if step == 511 else 1.0, 2, steps)), 60)
    trend = lines_of(text)["blocks.1.fc"].split()[2]
    assert (len(trend.replace("▅", "")), trend.index("×")) == (1, 511 * len(trend) // 1000)


def test_a_gradient_that_is_nan_is_broken_where_its_signal_is():
    def rows(count: float):
        signal = Site("blocks.1:relu", "pre-activation", 2, 8)
        figures = {"signal_rms": math.nan, "nonfinite_count": count}
        found = probe_rows(lambda layer, _: math.nan if layer == 1 else 1.0, 2, STEPS)
        return table_of([*found, *((0, step, signal, "accumulated", figures) for step in STEPS)])

    assert flow_layers(rows(2.0)).gradients.broken[:, 0].all()
    assert not flow_layers(rows(0.0)).gradients.broken.any()


def test_the_head():
    text = flow_text(table_of(probe_rows(norm, 4, STEPS)), 100)
    total = math.sqrt(sum(norm(layer, 30) ** 2 for layer in (1, 2, 3, 4)) + 4 * 9.0)
    assert "4 steps recorded: 0 to 30 · first/last gradient −3.00 decades" in text
    assert f"total gradient norm {total:.1f}\n all finite" in text


def test_the_total_of_tiny_norms_does_not_vanish():
    rows = [(0, 0, weight(layer), "accumulated", {"grad_norm": 3e-200}) for layer in range(1, 17)]
    assert total_norm(flow_layers(table_of(rows))) == pytest.approx(12e-200)


def test_clipping_is_a_share_of_steps():
    rows = probe_rows(norm, 2, STEPS)
    ratios = {0: 0.25, 10: 1.0, 20: 0.5, 30: 1.0}
    rows += [
        (0, step, weight(1), "clipped", {"grad_norm": 1.0, "clip_ratio": ratios[step]}) for step in STEPS
    ]
    table = table_of(rows)
    assert clipping(flow_layers(table)) == (0.5, 0.25)
    assert "clipped in 50 % of steps, smallest ratio 0.25" in flow_text(table)
    assert "clipped" not in flow_text(table_of(probe_rows(norm, 2, STEPS)))


def test_the_norm_is_taken_before_clipping_and_after_the_loss_scale():
    rows = [
        (0, 0, weight(1), phase, {"grad_norm": size})
        for phase, size in (("accumulated", 65536.0), ("unscaled", 1.0), ("clipped", 1e-3))
    ]
    assert flow_layers(table_of(rows)).gradients.values.tolist() == [[1.0]]
    assert flow_layers(table_of(rows[::2])).gradients.values.tolist() == [[65536.0]]


def test_where_non_finite_values_begin():
    rows = probe_rows(norm, 4, STEPS)
    rows += [(0, 20, activation(layer), "", {"nonfinite_count": 5.0}) for layer in (3, 2)]
    rows += [(0, step, weight(2), "accumulated", {"nonfinite_count": 7.0}) for step in (20, 30)]
    rows = [row for row in rows if not (row[1] == 20 and row[4].get("nonfinite_count") == 0.0)]
    found = nonfinite(flow_layers(table_of(rows)))
    assert found is not None
    assert (found.entries, found.step, found.site) == (24, 20, activation(2))
    backward = [row for row in rows if row[4].get("nonfinite_count") != 5.0]
    backward.append((0, 20, weight(3), "accumulated", {"nonfinite_count": 1.0}))
    found = nonfinite(flow_layers(table_of(backward)))
    assert found is not None
    assert found.site == weight(3)
    assert "not finite: 15 entries, first at step 20 in blocks.3.fc.weight (weight)" in flow_text(
        table_of(backward)
    )


def test_three_hundred_layers_show_the_ends_and_the_worst():
    def dip(layer: int, step: int) -> float:
        sunk = {100: 1e-9, 150: 0.0, 200: math.inf if step == 10 else 1.0}
        return 10.0 ** (-layer / 100) * sunk.get(layer, 1.0)

    rows = [row for row in probe_rows(dip, 300, STEPS) if row[2].kind == "weight"]
    text = flow_text(table_of(rows), 60)
    shown = [int(name.split(".")[-2]) for name in lines_of(text)]
    assert shown == [*range(1, 13), 100, 150, 200, *range(289, 301)]
    gaps = [int(count) for count in re.findall(r"… (\d+) layers more", text)]
    assert gaps == [87, 49, 49, 88]
    assert len(shown) + sum(gaps) == 300
    assert "27 of 300 layers" in text
    assert len(lines_of(flow_text(table_of(rows), 60, rows=10))) == 3 + 2 + 3
    assert len(lines_of(flow_text(table_of(rows), 60, rows=300))) == 300


@pytest.mark.parametrize("width", [24, 40, 60, 80, 100, 140])
@pytest.mark.parametrize(
    "name", ["blocks.{}.fc.weight", "model.transformer.encoder.blocks.{}.attention.fc.weight"]
)
def test_nothing_is_wider_than_the_terminal(width: int, name: str):
    rows = probe_rows(norm, 50, STEPS)
    rows = [
        (*row[:2], weight(row[2].depth // 2 + 1, name), *row[3:]) if row[2].kind == "weight" else row
        for row in rows
    ]
    rows.append((0, 30, weight(50, name), "clipped", {"clip_ratio": 0.01}))
    rows.append(
        (0, 30, Site(name.format(9), "attention", 99, 8), "", {"entropy": 1.5, "nonfinite_count": 3.0})
    )
    table = table_of(rows)
    text = flow_text(table, width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert body(text) == body(flow_text(table, 200)) > 32  # a line that wrapped would count twice


def test_columns_go_in_the_order_of_their_worth():
    table = table_of(probe_rows(norm, 4, range(50)))
    heads = {}
    for width in (24, 32, 40, 60, 100):
        lines = flow_text(table, width).splitlines()
        heads[width] = next(line.split() for line in lines if line.startswith(" layer"))
    assert heads[24] == ["layer", "grad"]
    assert heads[32] == ["layer", "grad", "trend"]
    assert heads[40] == ["layer", "grad", "trend", "dead%"]
    assert heads[60] == ["layer", "grad", "trend", "upd/w", "dead%", "sat%"]
    assert heads[100] == ["layer", "units", "grad", "trend", "upd/w", "act", "rms", "dead%", "sat%"]


def test_a_wide_terminal_keeps_to_the_width_asked_for():
    console = Console(width=150, file=StringIO())
    console.print(flow_summary(table_of(probe_rows(norm, 4, STEPS)), width=60))
    assert max(map(cell_len, console.file.getvalue().splitlines())) <= 60  # pyright: ignore[reportAttributeAccessIssue]


def test_short_names_stay_different():
    long = "model.transformer.encoder.blocks.{}.attention.projection.weight"
    rows = [(0, 0, weight(layer, long), "accumulated", {"grad_norm": 1.0}) for layer in range(1, 12)]
    names = [line.split()[0] for line in flow_text(table_of(rows), 60).splitlines() if "projection" in line]
    assert len(set(names)) == 11
    assert names[0].startswith("…")


def test_one_step_has_no_sparkline_and_no_slope():
    text = flow_text(table_of(probe_rows(norm, 3, (5,))))
    assert "1 step recorded: 5" in text
    assert "trend" not in text
    assert lines_of(text)["blocks.1.fc"].replace("−", "-").split()[2] == "-3.95"


def test_without_gradients_the_activations_are_the_layers():
    rows = [row for row in probe_rows(norm, 4, STEPS) if row[2].kind == "activation"]
    text = flow_text(table_of(rows))
    assert [line.split()[0] for line in text.splitlines() if ":relu" in line] == [
        f"blocks.{layer}:relu" for layer in (1, 2, 3)
    ]
    assert "grad" not in text
    assert "dead%" in text


def test_without_weights_the_other_parameters_are_the_layers():
    rows = [row for row in probe_rows(norm, 2, STEPS) if row[2].kind != "weight"]
    assert [site.name for site in flow_layers(table_of(rows)).sites] == [
        "blocks.1.fc.bias",
        "blocks.2.fc.bias",
    ]


def test_attention_and_a_plain_output_stand_beside_their_layer():
    rows = probe_rows(norm, 2, STEPS)
    rows.append((0, 30, Site("blocks.1.attention", "attention", 2, 4), "", {"entropy": 1.25}))
    rows.append((0, 30, Site("blocks.2.fc", "output", 3, 4), "", {"rms": 0.75}))
    found = lines_of(flow_text(table_of(rows), 140))
    assert found["blocks.1.fc"].split()[-1] == "1.25"
    assert found["blocks.2.fc"].split()[-4:] == ["0.75", "–", "–", "–"]


def test_colour_marks_what_is_wrong():
    console = Console(width=100, file=StringIO(), force_terminal=True, color_system="standard")
    console.print(flow_summary(table_of(probe_rows(lambda *_: math.inf, 2, STEPS))))
    assert "\x1b[1;31m×" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_colour_marks_many_dead_units():
    rows = probe_rows(norm, 4, STEPS)
    shares = {1: 0.92, 2: 0.55, 3: 0.1}
    rows += [(0, 40, activation(layer), "", {"dead_fraction": share}) for layer, share in shares.items()]
    console = Console(width=100, file=StringIO(), force_terminal=True, color_system="standard")
    console.print(flow_summary(table_of(rows)))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "\x1b[31m   92\x1b[0m" in text or "\x1b[31m92\x1b[0m" in text
    assert "\x1b[33m   55\x1b[0m" in text or "\x1b[33m55\x1b[0m" in text
    assert "31m10" not in text


def test_a_layer_without_activation_does_not_take_the_break_of_another():
    rows = probe_rows(norm, 3, STEPS)
    rows += [(0, 40, activation(2), "", {"rms": math.nan, "nonfinite_count": 1.0})]
    found = lines_of(flow_text(table_of(rows), 140))
    assert found["blocks.2.fc"].split()[-3] == "×"
    assert found["blocks.3.fc"].split()[-3:] == ["–", "–", "–"]


def test_two_runs_are_refused():
    rows = [(run, 0, weight(1), "accumulated", {"grad_norm": 1.0}) for run in (0, 1)]
    with pytest.raises(SpecError) as caught:
        flow_text(Table.from_rows([Run("a"), Run("b")], rows))
    assert str(caught.value) == (
        'the table holds 2 runs, and this picture shows one; table.select(key="a") takes the first'
    )
