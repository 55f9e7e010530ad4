import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from evenflow.errors import StoreError
from evenflow.record import STATISTICS, Run, Site, Statistic, Store, Table, register_statistic

WEIGHT = Site("hidden_1.weight", "weight", 1, 8)
OUTPUT = Site("activation_1", "activation", 1, 8)
FIELDS = {"activation": "relu", "depth": 2, "width": [8, 4], "clip": None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


def rows(figure):
    return [
        (WEIGHT, "accumulated", {"grad_norm": figure, "weight_norm": 1.0 + figure}),
        (WEIGHT, "clipped", {"grad_norm": figure / 2}),
        (OUTPUT, "", {"mean": -figure}),
    ]


def fill(path, steps=3, keys=("a", "b")):
    with Store.open(path, "a") as store:
        for seed, key in enumerate(keys):
            run = store.begin(key, seed, FIELDS)
            for step in range(steps):
                store.append(run, step * 10, rows(step + seed / 10))


def stored(path, **choice):
    with Store.open(path) as store:
        return store.table(**choice)


def test_what_was_appended_is_read(path):
    fill(path)
    runs = [Run(key, seed, FIELDS, "running", 20) for seed, key in enumerate(("a", "b"))]
    written = [(r, s * 10, *row) for r in (0, 1) for s in range(3) for row in rows(s + r / 10)]
    table = stored(path)
    assert table.difference(Table.from_rows(runs, written)) == ""
    assert table.runs == tuple(runs)
    assert set(table["source"].tolist()) == {"measured"}


def test_figures_keep_every_bit(path):
    special = [
        0.0,
        -0.0,
        5e-324,
        -2.2250738585072014e-308,
        1.7976931348623157e308,
        np.inf,
        -np.inf,
        0.1,
        2.0**53,
        3.0,
    ]
    random = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, size=2000).view(np.float64)
    values = np.concatenate([special, random[~np.isnan(random)]])
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        store.append(run, 0, [(Site(str(i), "weight", i, 1), "", {"mean": v}) for i, v in enumerate(values)])
    table = stored(path)
    np.testing.assert_array_equal(table["mean"].view(np.int64), values.view(np.int64)[table["depth"]])


def test_nan_is_null_in_the_file_and_nan_in_the_table(path):
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        store.append(run, 0, [(WEIGHT, "", {"mean": float("nan"), "rms": 1.0}), (OUTPUT, "", {"rms": 2.0})])
        assert store._connection.execute("SELECT mean FROM record").fetchall() == [(None,), (None,)]
        table = store.table()
    assert np.isnan(table["mean"]).all()
    assert table["rms"].tolist() == [1.0, 2.0]


def test_numpy_numbers_and_integers_are_figures(path):
    with Store.open(path, "a") as store:
        figures = {"mean": np.float32(0.5), "nonfinite_count": 3, "rms": np.int64(2), "std": np.float64(0.25)}
        store.append(store.begin("a", 0, {}), 0, [(OUTPUT, "", figures)])
        table = store.table()
    assert {name: table[name].tolist() for name in figures} == {
        name: [float(v)] for name, v in figures.items()
    }


def test_appending_the_same_again_changes_nothing(path, tmp_path):
    fill(path)
    fill(tmp_path / "twice.db")
    fill(tmp_path / "twice.db")
    with Store.open(tmp_path / "twice.db", "a") as store:
        store.append(store.begin("a", 0, FIELDS), 10, rows(1.0))
    assert stored(tmp_path / "twice.db").difference(stored(path)) == ""


def test_appending_other_rows_of_a_step_keeps_those_that_are_there(path):
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        store.append(run, 0, [(WEIGHT, "accumulated", {"grad_norm": 1.0}), (OUTPUT, "", {"mean": 1.0})])
        store.append(run, 0, [(WEIGHT, "accumulated", {"grad_norm": 2.0})])
        table = store.table()
    assert table["grad_norm"][table["kind"] == "weight"].tolist() == [2.0]
    assert table["mean"][table["kind"] == "activation"].tolist() == [1.0]


def test_a_table_is_recorded_as_step_by_step(path, tmp_path):
    sites = [Site("a.weight", "weight", 1, 4), Site("a", "activation", 1, 4)]
    figures = np.random.default_rng(0).normal(size=(5, 2, 2))
    figures[2, 1] = np.nan
    with Store.open(path, "a") as one, Store.open(tmp_path / "other.sqlite", "a") as other:
        run = one.begin("run", 3, {"depth": 2})
        for step, (weight, activation) in enumerate(figures.tolist()):
            one.append(
                run,
                step,
                [
                    (sites[0], "accumulated", dict(zip(("grad_norm", "weight_norm"), weight, strict=True))),
                    (sites[1], "", dict(zip(("mean", "rms"), activation, strict=True))),
                ],
            )
        table = one.table()
        again = other.begin("run", 3, {"depth": 2})
        for part in (table.select(step=[0, 1]), table.select(step=[1, 2, 3, 4])):  # step 1 twice: replaced
            other.extend(again, part)
        assert not other.table().difference(table)
        with pytest.raises(
            StoreError, match="a table of 2 runs cannot be added to run 1; select one of them"
        ):
            other.extend(again, Table.from_rows([Run("a"), Run("b")], []))


def test_sources_do_not_overwrite_one_another(path):
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        store.append(run, 0, rows(1.0), source="predicted")
        store.append(run, 0, rows(2.0))
        table = store.table()
    assert sorted(table.select(kind="activation")["mean"].tolist()) == [-2.0, -1.0]
    assert table.select(source="predicted", kind="activation")["mean"].tolist() == [-1.0]


def test_runs_of_another_source_are_given_only_when_asked_for(path):
    fill(path)
    before = stored(path)
    with Store.open(path, "a") as store:
        run = store.begin("p", 0, {"activation": "tanh"}, "predicted")
        assert store.begin("p", 0, {}, "predicted") == run
        store.append(run, 0, rows(5.0), source="predicted")
        store.finish(run)
        assert store.table().difference(before) == ""
        assert store.runs(["p"]) == ()
        assert store.runs(source="predicted") == (
            Run("p", 0, {"activation": "tanh"}, "finished", source="predicted"),
        )
        found = store.table(source="predicted")
        assert set(found["source"]) == {"predicted"}
        assert [each.key for each in found.runs] == ["p"]
        assert "p" not in {each.key for each in store.changes()[0].runs}
        store.begin("late", 1, {})
        assert store.runs(["late"])[0].source == "measured"
        with pytest.raises(StoreError, match='source "predictd" is not known; did you mean "predicted"'):
            store.begin("q", 0, {}, "predictd")


def test_a_store_without_predictions_has_none(path):
    fill(path)
    with Store.open(path) as store:
        assert store.runs(source="predicted") == ()
        assert len(store.table(source="predicted")) == 0


def test_a_run_is_begun_once_and_lives_through_its_statuses(path):
    with Store.open(path, "a") as store:
        run = store.begin("a", 3, FIELDS)
        assert store.begin("a", 3, FIELDS) == run
        assert store.begin("b", 4, {}) != run
        assert [each.status for each in store.runs()] == ["pending", "pending"]
        store.append(run, 30, rows(1.0), checkpoint=b"state", facts={"seconds": 1})
        assert store.runs(["a"]) == (Run("a", 3, FIELDS, "running", 30, {"seconds": 1}),)
        store.append(run, 40, rows(1.0), checkpoint=b"later")
        assert store.checkpoint(run) == (40, b"later")
        store.update(run, status="failed", facts={"message": "é"})
        assert store.checkpoint(run) == (40, b"later")
        store.finish(run, "diverged", {"seconds": 2})
        assert store.checkpoint(run) is None
        (done,) = store.runs(["a", "unknown"])
        assert (done.status, done.facts) == ("diverged", {"seconds": 2, "message": "é"})
        assert store._connection.execute("SELECT count(*) FROM checkpoint").fetchone() == (0,)


def test_rewind_forgets_what_came_after(path, tmp_path):
    fill(path, steps=2)
    fill(tmp_path / "longer.db", steps=5)
    with Store.open(tmp_path / "longer.db", "a") as store:
        for key in ("a", "b"):
            store.rewind(store.begin(key, 0, {}), 10)
        assert store._connection.execute("SELECT count(*) FROM record").fetchone() == (12,)
    assert stored(tmp_path / "longer.db").difference(stored(path)) == ""


def test_a_part_of_the_table(path):
    fill(path)
    whole = stored(path)
    assert stored(path, keys=["b"]).equals(whole.select(key="b"))
    assert stored(path, kinds=["activation", "loss"]).equals(whole.select(kind=["activation", "loss"]))
    assert stored(path, since=20).equals(whole.select(step=20))
    assert stored(path, keys=["a"], kinds=["weight"], since=10).equals(
        whole.select(key="a", kind="weight", step=[10, 20])
    )
    assert (len(stored(path, keys=[])), len(stored(path, keys=["unknown"]).runs)) == (0, 0)


def test_a_store_without_rows_gives_an_empty_table(path):
    with Store.open(path, "a") as store:
        store.begin("a", 0, {})
        assert (len(store.table()), len(store.table().runs)) == (0, 1)
        assert store.changes()[1] == 0


def test_meta_is_a_mapping_of_json_values(path):
    with Store.open(path, "a") as store:
        assert (store.meta["format"], "evenflow" in store.meta) == (1, True)
        store.meta["specification"] = {"grid": [1, None, "ü"], "rate": 0.1}
        del store.meta["evenflow"]
        with pytest.raises(KeyError):
            del store.meta["evenflow"]
        with pytest.raises(
            StoreError, match='meta value "it" cannot be stored: Object of type object is not JSON'
        ):
            store.meta["it"] = object()
    with Store.open(path) as store:
        assert dict(store.meta) == {"format": 1, "specification": {"grid": [1, None, "ü"], "rate": 0.1}}
        assert len(store.meta) == 2
        with pytest.raises(KeyError, match="nothing"):
            store.meta["nothing"]


def test_a_follower_gets_every_step_once(path):
    with Store.open(path, "a") as writer:
        run = writer.begin("a", 0, {})
        with Store.open(path) as follower:
            assert follower.changes()[1] == 0
            version = follower.data_version
            assert follower.data_version == version
            seen = []
            last = 0
            for step in (0, 10, 20):
                writer.append(run, step, rows(float(step)))
                assert follower.data_version != version
                version = follower.data_version
                fresh, last = follower.changes(last)
                seen.append(sorted(set(fresh["step"].tolist())))
            assert seen == [[0], [10], [20]]
            assert len(follower.changes(last)[0]) == 0
            writer.rewind(run, 0)
            writer.append(run, 10, rows(5.0))
            writer.append(run, 0, rows(7.0))
            again, _ = follower.changes(last)
            assert again.select(kind="activation")["mean"].tolist() == [-7.0, -5.0]


def test_the_file_says_what_its_columns_mean(path):
    custom = register_statistic(Statistic("order", "a word of SQL", "x", "1", "sum", "nothing"))
    try:
        with Store.open(path, "a") as store:
            store.append(store.begin("a", 0, {}), 0, [(OUTPUT, "", {"order": 1.5, "mean": 2.0})])
    finally:
        del STATISTICS["order"]
    with Store.open(path) as store:
        assert store.statistics() == (custom, STATISTICS["mean"])
        assert store.table()["order"].tolist() == [1.5]
    with sqlite3.connect(path) as connection:
        assert connection.execute('SELECT key, step, name, kind, "order" FROM flow').fetchall() == [
            ("a", 0, "activation_1", "activation", 1.5)
        ]
    connection.close()


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            (WEIGHT, "", {"grad_nrom": 1.0}),
            'statistic "grad_nrom" is not registered; did you mean "grad_norm"',
        ),
        ((WEIGHT, "", {'x"); DROP TABLE run; --': 1.0}), "is not registered; register_statistic"),
        (
            (WEIGHT, "raw", {"mean": 1.0}),
            'phase "raw" of site "hidden_1.weight" is not known; known: "", "micro"',
        ),
        (
            (WEIGHT, "", {"mean": 1.0, "rms": "much"}),
            "rms of site \"hidden_1.weight\" is 'much', which is not a number",
        ),
        ((WEIGHT, "", {"mean": None}), 'mean of site "hidden_1.weight" is None, which is not a number'),
    ],
)
def test_a_wrong_row_is_refused_whole(path, row, line):
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        store.append(run, 0, rows(1.0))
        before = store.table()
        with pytest.raises(StoreError) as caught:
            store.append(run, 10, [*rows(2.0), row])
        assert line in str(caught.value)
        assert store.table().difference(before) == ""


def test_wrong_words_and_numbers_are_refused(path):
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        with pytest.raises(StoreError, match='source "guessed" is not known; known: predicted, measured'):
            store.append(run, 0, rows(1.0), source="guessed")
        with pytest.raises(StoreError, match="the store has no run 7; begin"):
            store.append(7, 0, rows(1.0))
        with pytest.raises(StoreError, match='status "done" is not known; known: pending, running'):
            store.update(run, status="done")
        with pytest.raises(StoreError, match='the fields of run "b" cannot be stored: Object of type set'):
            store.begin("b", 0, {"activation": {1}})
        with pytest.raises(StoreError, match='seed 9223372036854775808 of run "b" is too large'):
            store.begin("b", 2**63, {})
        assert len(store.table()) == 0


def test_an_interrupt_inside_a_step_leaves_the_step_out(path):
    def interrupted(store):
        with store._writing() as connection:
            connection.execute("DELETE FROM record")
            raise KeyboardInterrupt

    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        store.append(run, 0, rows(1.0))
        with pytest.raises(KeyboardInterrupt):
            interrupted(store)
        store.append(run, 10, rows(2.0))
        assert sorted(set(store.table()["step"].tolist())) == [0, 10]


WRITER = """
import sys
from evenflow.record import Site, Store
with Store.open(sys.argv[1], "a") as store:
    run = store.begin("a", 0, {})
    for step in range(1_000_000):
        rows = [(Site(f"w{i}", "weight", i, 1), "accumulated", {"grad_norm": step + i / 64}) for i in range(50)]
        store.append(run, step, rows, checkpoint=str(step).encode())
        print(step, flush=True)
"""


def start_writer(path):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)


def test_what_is_written_at_once_is_recorded_whole_or_not_at_all(path, tmp_path):
    def write(store, last):
        with store.at_once():
            store.append(1, 10, rows(1.0))
            store.append(2, 10, last)

    fill(path, steps=1)
    with Store.open(path, "a") as store:
        with pytest.raises(StoreError, match="registered"):
            write(store, [(WEIGHT, "", {"grad_nrom": 1.0})])
        assert {run.steps_done for run in store.runs()} == {0}
        write(store, rows(1.1))
    fill(tmp_path / "other.db", steps=2)
    assert stored(path).difference(stored(tmp_path / "other.db")) == ""


@pytest.mark.parametrize("wait", [0.0, 0.03, 0.11, 0.4])
def test_kill_keeps_every_step_that_was_committed(path, wait):
    with start_writer(path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait + np.random.default_rng().uniform(0, 0.02))
        process.kill()
        told = [int(line) for line in process.stdout.read().split("\n") if line]
    with Store.open(path, "a") as store:
        table = store.table()
        last = int(table["step"].max())
        assert last - max(told, default=0) in (0, 1)  # killed between commit and print
        np.testing.assert_array_equal(table["step"], np.repeat(np.arange(last + 1), 50))
        np.testing.assert_array_equal(table["grad_norm"], table["step"] + table["depth"] / 64)
        assert store.checkpoint(1) == (last, str(last).encode())
        assert store.runs()[0].steps_done == last
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.append(1, last + 1, rows(1.0))


def test_others_read_while_one_writes(path):
    with start_writer(path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        lengths = []
        with Store.open(path) as store:
            for _ in range(20):
                table = store.table()
                assert len(table) % 50 == 0  # never a part of a step
                np.testing.assert_array_equal(table["grad_norm"], table["step"] + table["depth"] / 64)
                lengths.append(len(table))
                time.sleep(0.01)
        process.kill()
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0] > 0


def work(path, worker):
    register_statistic(Statistic(f"own_{worker}", "a column of one worker", "x", "1", "sum", "nothing"))
    with Store.open(path, "a") as store:
        for cell in range(3):
            run = store.begin(f"{worker}-{cell}", cell, {"worker": worker})
            for step in range(40):
                figures = {"grad_norm": worker + step / 64, f"own_{worker}": float(step)}
                store.append(
                    run, step, [(Site(f"w{i}", "weight", i, 1), "accumulated", figures) for i in range(10)]
                )
            store.finish(run)


def test_workers_append_to_one_new_store_at_once(path):
    workers = range(4)
    with ProcessPoolExecutor(len(workers), mp_context=get_context("spawn")) as pool:
        list(pool.map(work, [path] * len(workers), workers))
    assert [each.name for each in path.parent.iterdir()] == ["study.db"]
    table = stored(path)
    assert len(table) == 4 * 3 * 40 * 10
    assert {run.status for run in table.runs} == {"finished"}
    assert len(table.sites) == 10
    for worker in workers:
        part = table.select(worker=worker)
        np.testing.assert_array_equal(part["grad_norm"], worker + part["step"] / 64)
        np.testing.assert_array_equal(part[f"own_{worker}"], part["step"])
        assert f"own_{worker}" not in table.select(worker=lambda w, me=worker: w != me).statistics


def test_a_large_table_is_read_quickly(path):
    """The benchmark states the figure; this only catches a change of another order of magnitude."""
    names = list(STATISTICS)[:15]
    sites = [Site(f"w{i}", "weight", i, 1) for i in range(50)]
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        for step in range(400):
            store.append(run, step, [(site, "", dict.fromkeys(names, step / 64)) for site in sites])
        started = time.perf_counter()
        table = store.table()
        assert time.perf_counter() - started < 3
    assert len(table) == 20_000


def test_opening_a_store_twice_in_one_process_leaves_the_first_ones_locks(tmp_path: Path) -> None:
    """POSIX drops a process's locks on a file when it closes any handle of it, so a look at the file must not.

    Without its lock the first connection loses its -wal file to another process that closes the store.
    """
    path = tmp_path / "s.sqlite"
    close_from_outside = (
        "import sys; from evenflow import Store\n"
        "with Store.open(sys.argv[1], 'a') as store: store.append(store.begin('b', 0, {}), 0, [])"
    )
    with Store.open(path, "a") as first:
        first.append(first.begin("a", 0, {}), 0, [])
        with Store.open(path):
            pass
        subprocess.run([sys.executable, "-c", close_from_outside, str(path)], check=True)
        assert path.with_name("s.sqlite-wal").exists()
        first.append(first.begin("a", 0, {}), 1, [])
    with Store.open(path) as store:
        assert {run.key: run.steps_done for run in store.runs()} == {"a": 1, "b": 0}
