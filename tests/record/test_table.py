import csv
import io
import pickle
import subprocess
import sys

import numpy as np
import pandas
import pytest

from evenflow.errors import SpecError, UnavailableError
from evenflow.record import Run, Site, Table
from evenflow.record.axes import ROW_KEYS

WEIGHTS = [Site(f"hidden_{layer}.weight", "weight", layer, 8) for layer in (1, 2, 3)]
OUTPUTS = [Site(f"activation_{layer}", "activation", layer, 8) for layer in (1, 2, 3)]
RUNS = [
    Run(
        f"{activation}-{seed}",
        seed,
        {"activation": activation, "depth": depth, "width": [8, 4]},
        "finished",
        20,
    )
    for activation, depth in (("tanh", 3), ("relu", 3))
    for seed in (0, 1, 2)
]


def rows_of(runs=RUNS, seed=0):
    draw = np.random.default_rng(seed).normal
    for number in range(len(runs)):
        for step in (0, 10, 20):
            for weight, output in zip(WEIGHTS, OUTPUTS, strict=True):
                yield number, step, weight, "accumulated", {"grad_norm": draw(), "weight_norm": draw()}
                if step:
                    yield number, step, weight, "clipped", {"grad_norm": draw()}
                yield number, step, output, "", {"mean": draw()}


@pytest.fixture
def table():
    return Table.from_rows(RUNS, rows_of())


@pytest.fixture
def frame():
    """The same rows, put into a DataFrame without the table's help."""
    records = []
    for number, step, site, phase, figures in rows_of():
        run = RUNS[number]
        records.append(
            {
                "run": number,
                "seed": run.seed,
                "activation": run.fields["activation"],
                "step": step,
                "name": site.name,
                "kind": site.kind,
                "depth": site.depth,
                "units": site.units,
                "phase": phase,
                "source": "measured",
                "grad_norm": np.nan,
                "weight_norm": np.nan,
                "mean": np.nan,
                **figures,
            }
        )
    return pandas.DataFrame(records)


def test_columns_are_those_of_the_rows(table, frame):
    assert len(table) == len(frame) == 6 * (9 + 6 + 9)
    assert set(table.statistics) == {"grad_norm", "weight_norm", "mean"}
    for name in frame.columns:
        np.testing.assert_array_equal(table[name], frame[name].to_numpy())


def test_site_depth_and_network_depth_are_two_columns(table):
    assert set(table["depth"].tolist()) == {1, 2, 3}
    assert set(table["run.depth"].tolist()) == {3}
    assert table["width"][0] == [8, 4]
    assert set(table["key"].tolist()) == {run.key for run in RUNS}


def test_what_nothing_measured_is_nan_and_not_a_statistic_of_the_table(table):
    assert np.isnan(table["recall"]).all()
    assert "recall" not in table.statistics
    assert "grad_norm" not in table.select(kind="activation").statistics


def test_an_unknown_column_is_refused(table):
    with pytest.raises(SpecError, match='the table has no column "grad_nrom"; did you mean "grad_norm"'):
        table["grad_nrom"]


def test_a_table_cannot_be_changed(table):
    with pytest.raises(ValueError, match="read-only"):
        table["grad_norm"][0] = 1
    with pytest.raises(AttributeError):
        table.runs = ()


def test_columns_of_unequal_length_are_refused(table):
    with pytest.raises(SpecError, match="the columns of a table must be of one length"):
        Table(table.runs, table.sites, table.index, {"mean": np.zeros(3)})


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ((0, 0, WEIGHTS[0], "", {"grad_nrom": 1.0}), 'statistic "grad_nrom" is not registered; did you mean'),
        (
            (0, 0, WEIGHTS[0], "cliped", {"grad_norm": 1.0}),
            'phase "cliped" is not known; did you mean "clipped"',
        ),
    ],
)
def test_rows_with_unknown_words_are_refused(row, line):
    with pytest.raises(SpecError, match=line):
        Table.from_rows(RUNS, [row])


@pytest.mark.parametrize(
    ("conditions", "query"),
    [
        ({"kind": "weight"}, "kind == 'weight'"),
        (
            {"kind": "weight", "step": 10, "phase": "clipped"},
            "kind == 'weight' and step == 10 and phase == 'clipped'",
        ),
        ({"step": [0, 20], "depth": (1, 3)}, "step in [0, 20] and depth in [1, 3]"),
        ({"activation": "relu", "seed": [0, 2]}, "activation == 'relu' and seed in [0, 2]"),
        ({"run": 4, "name": "activation_2"}, "run == 4 and name == 'activation_2'"),
        ({"mean": lambda column: column > 0.5}, "mean > 0.5"),
        ({"depth": lambda column: column >= 2, "seed": lambda column: column < 2}, "depth >= 2 and seed < 2"),
        ({"activation": ["gelu"]}, "activation == 'gelu'"),
    ],
    ids=lambda given: given if isinstance(given, str) else ", ".join(given),
)
def test_select_agrees_with_pandas(table, frame, conditions, query):
    ours, theirs = table.select(**conditions), frame.query(query)
    assert len(ours) == len(theirs)
    for name in ("step", "name", "kind", "depth", "phase", "activation", "seed", "grad_norm", "mean"):
        if len(ours) or name != "activation":
            np.testing.assert_array_equal(ours[name], theirs[name].to_numpy())


def test_select_on_runs_drops_runs_and_on_rows_keeps_them(table):
    assert {run.fields["activation"] for run in table.select(activation="tanh").runs} == {"tanh"}
    clipped = table.select(phase="clipped", step=0)
    assert (len(clipped), len(clipped.runs), clipped.sites) == (0, 6, ())
    assert len(table.select(width=[[8, 4]]).runs) == 6
    assert len(table.select(width=[8, 4]).runs) == 0


@pytest.mark.parametrize(
    ("conditions", "line"),
    [
        ({"kind": "weigth"}, 'kind "weigth" is not known; did you mean "weight"'),
        ({"phase": ["clipped", "raw"]}, 'phase "raw" is not known'),
        ({"status": "done"}, 'status "done" is not known'),
        ({"actvation": "relu"}, 'no column "actvation"; did you mean "activation"'),
    ],
    ids=str,
)
def test_select_refuses_misspelt_words(table, conditions, line):
    with pytest.raises(SpecError, match=line):
        table.select(**conditions)


@pytest.mark.parametrize("how", ["mean", "std", "min", "max", "median", "sum", "count"])
def test_reduce_over_runs_agrees_with_pandas(table, frame, how):
    ours = table.select(kind="weight").reduce("grad_norm", over=("run",), how=how)
    keys = ["step", "name", "kind", "depth", "units", "phase", "source"]
    theirs = frame.query("kind == 'weight'").groupby(keys)["grad_norm"].agg(how).reset_index()
    assert list(ours) == [*keys, "grad_norm"]
    for name in keys:
        np.testing.assert_array_equal(ours[name], theirs[name].to_numpy())
    np.testing.assert_allclose(ours["grad_norm"], theirs["grad_norm"], rtol=1e-12, atol=1e-15)


def test_reduce_over_seeds_keeps_what_else_distinguishes_runs(table, frame):
    ours = table.select(kind="weight", phase="accumulated").reduce("weight_norm", over=("seed", "site"))
    theirs = frame.query("kind == 'weight' and phase == 'accumulated'").groupby(["activation", "step"])[
        "weight_norm"
    ]
    for activation, step, figure in zip(ours["activation"], ours["step"], ours["weight_norm"], strict=True):
        assert figure == pytest.approx(theirs.mean()[activation, step], rel=1e-12)
    assert len(ours["step"]) == len(theirs.mean())
    assert ours["run.depth"].tolist() == [3] * 6


def test_reduce_leaves_nan_out_and_keeps_infinity():
    site = WEIGHTS[0]
    rows = [(run, 0, site, "", {"mean": value}) for run, value in enumerate([1.0, np.nan, np.inf])]
    table = Table.from_rows(RUNS[:3], rows)
    assert table.reduce("mean", how="count")["mean"].tolist() == [2]
    assert table.reduce("mean", how="mean")["mean"].tolist() == [np.inf]
    assert np.isnan(table.reduce("mean", how="std")["mean"]).all()
    assert table.select(seed=1).reduce("mean", how="sum")["mean"].tolist() == [0]
    assert np.isnan(table.select(seed=1).reduce("mean")["mean"]).all()


def test_reduce_refuses_unknown_words(table):
    with pytest.raises(SpecError, match='cannot reduce over "runs"; did you mean "run"'):
        table.reduce("mean", over=("runs",))
    with pytest.raises(SpecError, match='cannot reduce by "avg"; known: mean, std, min'):
        table.reduce("mean", how="avg")


@pytest.mark.parametrize("how", ["mean", "median", "max"])
@pytest.mark.parametrize(("rows", "columns"), [("depth", "step"), ("name", "phase"), ("depth", "seed")])
def test_pivot_agrees_with_pandas(table, frame, rows, columns, how):
    matrix, row_labels, column_labels = table.select(kind="weight").pivot("grad_norm", rows, columns, how)
    theirs = frame.query("kind == 'weight'").pivot_table("grad_norm", rows, columns, aggfunc=how)
    np.testing.assert_allclose(matrix, theirs.loc[row_labels, column_labels].to_numpy(), rtol=1e-12)
    assert matrix.shape == theirs.shape


def test_pivot_keeps_the_order_of_runs_and_shows_holes(table):
    matrix, rows, columns = table.pivot("mean", "activation", "kind")
    assert (rows, columns) == (["tanh", "relu"], ["weight", "activation"])
    assert np.isnan(matrix[:, 0]).all()
    assert np.isfinite(matrix[:, 1]).all()
    assert table.pivot("mean", "run")[1] == [0, 1, 2, 3, 4, 5]


def test_join_agrees_with_pandas(frame):
    predicted = Table.from_rows([Run("theory")], rows_of(RUNS[:1], seed=9), source="predicted")
    measured = Table.from_rows(RUNS, rows_of())
    on = ["step", "name", "kind", "phase"]
    ours = predicted.join(measured, on)
    left = pandas.DataFrame({name: predicted[name] for name in [*ROW_KEYS, *predicted.statistics]})
    theirs = left.merge(frame.drop(columns=["seed", "activation"]), on=on, suffixes=("_left", "_right"))
    assert set(ours) == set(theirs.columns)
    order = ["run_right", *on]
    theirs = theirs.sort_values(order)
    ranks = np.lexsort([ours[name] for name in reversed(order)])
    assert len(ranks) == len(theirs) == len(measured)
    for name in theirs.columns:
        np.testing.assert_array_equal(ours[name][ranks], theirs[name].to_numpy())


def test_join_gives_every_pair_and_only_shared_rows(table):
    pairs = table.select(step=0).join(table.select(phase="accumulated"), on=("name", "step"))
    assert len(pairs["step"]) == 3 * 6 * 6
    assert len(table.select(step=0).join(table.select(step=10))["name"]) == 0
    assert {"mean", "grad_norm_left", "grad_norm_right"} <= set(pairs)


def test_concatenate_puts_runs_of_one_key_together(table):
    halves = table.select(step=[0, 10]), table.select(step=20)
    whole = halves[1].concatenate(halves[0])
    assert len(whole.runs) == 6
    assert whole.equals(table)
    apart = table.select(seed=0).concatenate(table.select(seed=[1, 2]))
    assert apart.equals(table)
    other = Table.from_rows([Run("tanh-0", seed=5)], [])
    with pytest.raises(SpecError, match='two runs have the key "tanh-0" and differ in seed or fields'):
        table.concatenate(other)


def test_equal_tables_in_another_order_do_not_differ():
    rows = list(rows_of())
    order = np.random.default_rng(1).permutation(len(rows))
    runs = RUNS[::-1]
    shuffled = [(len(RUNS) - 1 - rows[i][0], *rows[i][1:]) for i in order]
    assert Table.from_rows(RUNS, rows).difference(Table.from_rows(runs, shuffled)) == ""


def changed(place, row):
    rows = list(rows_of())
    rows[place] = row if row is not None else rows[place]
    return Table.from_rows(RUNS, [r for i, r in enumerate(rows) if not (row is None and i == place)])


def test_the_first_difference_is_named(table):
    number, step, site, phase, figures = next(iter(rows_of()))
    line = table.difference(changed(0, (number, step, site, phase, {**figures, "grad_norm": 0.5})))
    value = figures["grad_norm"]
    assert line == (
        'run "tanh-0", step 0, weight "hidden_1.weight", phase accumulated, measured: '
        f"grad_norm is {value!r} in the first table and 0.5 in the second"
    )
    assert "nan in the second" in table.difference(
        changed(0, (number, step, site, phase, {"weight_norm": 1.0}))
    )


def test_one_last_bit_is_a_difference(table):
    number, step, site, phase, figures = next(iter(rows_of()))
    nearly = {**figures, "grad_norm": np.nextafter(figures["grad_norm"], 9)}
    assert not table.equals(changed(0, (number, step, site, phase, nearly)))


@pytest.mark.parametrize("place", [0, 40, len(list(rows_of())) - 1])
def test_a_missing_row_is_named(table, place):
    number, step, site, _, _ = list(rows_of())[place]
    words = f'run "{RUNS[number].key}", step {step}, {site.kind} "{site.name}"'
    line = table.difference(changed(place, None))
    assert line.startswith(words)
    assert line.endswith("is only in the first table")
    assert changed(place, None).difference(table).endswith("is only in the second table")


def test_runs_that_differ_are_named(table):
    assert table.difference(table.select(run=[0, 1, 2, 3, 4])) == 'run "relu-2" is only in the first table'
    failed = [Run(run.key, run.seed, run.fields, "failed", run.steps_done) for run in RUNS]
    line = table.difference(Table.from_rows(failed, rows_of()))
    assert line == "run \"relu-0\": status is 'finished' in the first table and 'failed' in the second"
    slower = [Run(run.key, run.seed, run.fields, run.status, run.steps_done, {"seconds": 9}) for run in RUNS]
    assert table.equals(Table.from_rows(slower, rows_of()))


def test_an_empty_table_works():
    empty = Table.from_rows([], [])
    assert (len(empty), empty.statistics, repr(empty)) == (
        0,
        (),
        "Table(0 rows, 0 runs, 0 sites; no statistics)",
    )
    assert empty.equals(empty)
    assert empty.pivot("mean")[0].shape == (0, 0)
    assert empty.reduce("mean")["mean"].shape == (0,)
    assert len(empty.join(empty)["step"]) == 0
    assert len(empty.concatenate(empty)) == len(empty.select(kind="weight")) == 0
    assert len(empty.to_pandas()) == len(empty.to_polars()) == 0
    assert "0 rows" in empty._repr_html_()
    assert empty.to_xarray().sizes["step"] == 0


def test_to_pandas_and_polars_hold_every_column(table, frame):
    ours = table.to_pandas()
    for name in ("step", "name", "depth", "phase", "grad_norm", "activation"):
        np.testing.assert_array_equal(ours[name].to_numpy(), frame[name].to_numpy())
    assert set(ours["run.depth"]) == {3}
    assert set(ours["width"]) == {"[8, 4]"}
    polars = table.to_polars()
    assert polars.columns == list(ours.columns)
    np.testing.assert_array_equal(polars["grad_norm"].to_numpy(), frame["grad_norm"].to_numpy())


def test_fields_of_several_sorts_can_be_exported():
    runs = [Run("a", 0, {"clip": None, "width": 8, "rate": 1}), Run("b", 0, {"width": [8, 4], "rate": 0.5})]
    rows = [(place, 0, WEIGHTS[0], "", {"mean": 1.0}) for place in (0, 1)]
    table = Table.from_rows(runs, rows)
    assert table.to_polars()["width"].to_list() == ["8", "[8, 4]"]
    assert table.to_polars()["rate"].to_list() == [1.0, 0.5]
    assert table.to_pandas()["clip"].isna().tolist() == [True, True]


def test_to_xarray_is_dense_over_run_step_and_place(table, frame):
    data = table.to_xarray()
    assert dict(data.sizes) == {"run": 6, "step": 3, "place": 9}
    place = (data["name"].values == "hidden_2.weight") & (data["phase"].values == "clipped")
    figures = data["grad_norm"].sel(run="relu-1", step=10).values[place]
    theirs = frame.query("run == 4 and step == 10 and name == 'hidden_2.weight' and phase == 'clipped'")
    assert figures.tolist() == theirs["grad_norm"].tolist()
    assert data["activation"].values.tolist() == ["tanh"] * 3 + ["relu"] * 3
    assert np.isfinite(data["grad_norm"]).sum() == frame["grad_norm"].notna().sum()


def test_csv_keeps_every_digit(table, tmp_path):
    table.to_csv(tmp_path / "flow.csv")
    text = (tmp_path / "flow.csv").read_text(encoding="utf-8")
    read = list(csv.DictReader(io.StringIO(text)))
    assert len(read) == len(table)
    for name in ("grad_norm", "mean"):
        np.testing.assert_array_equal([float(row[name] or "nan") for row in read], table[name])


def test_csv_that_cannot_be_written_is_one_line(table, tmp_path):
    with pytest.raises(
        Exception, match=r"cannot write .*none/flow.csv: No such file or directory; choose another"
    ):
        table.to_csv(tmp_path / "none" / "flow.csv")


def test_html_is_escaped_and_short():
    run = Run("<b>", 0, {"activation": "<script>"})
    table = Table.from_rows([run], [(0, step, WEIGHTS[0], "", {"mean": 1 / 3}) for step in range(100)])
    page = table._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<tr>") == 9
    assert "<td>0.3333</td>" in page


@pytest.mark.parametrize("name", ["pandas", "polars", "xarray"])
def test_a_library_that_is_missing_is_named(table, name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnavailableError, match=f"{name} is not installed; run: pip install {name}"):
        getattr(table, f"to_{name}")()


def test_repr_says_how_much_there_is(table):
    assert repr(table) == "Table(144 rows, 6 runs, 6 sites, steps 0 to 20; grad_norm, weight_norm, mean)"


def test_a_table_travels_between_processes(table):
    assert pickle.loads(pickle.dumps(table)).equals(table)


def imported_with(statement):
    command = f"import sys; {statement}; print(*sorted(sys.modules))"
    return subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_room_loads_no_framework_and_no_frames():
    heavy = {"torch", "jax", "pandas", "polars", "xarray", "scipy", "filelock"}
    assert not heavy & set(imported_with("import evenflow.record"))
    assert "pandas" in imported_with("import evenflow.record, pandas")
