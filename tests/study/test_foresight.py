"""Predictions in the store of a study: written once, whole or not at all, and in nobody's way."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenflow import (
    Data,
    Network,
    Store,
    Study,
    Table,
    Training,
    predict,
    register_activation,
    run_study,
    summarise,
)
from evenflow.cli.finish import finish
from evenflow.report.figures.start import start_picture
from evenflow.report.page import page
from evenflow.report.view import make_view
from evenflow.study import foresight, run
from evenflow.study.foresight import answer_to, foresee, topics

REFUSED = 'initialisation "constant:0.1" makes all units of a layer start alike'


def tiny(**changes: Any) -> Study:
    settings: dict[str, Any] = {
        "network": Network(depth=2, width=8),
        "data": Data(name="digits"),
        "training": Training(steps=2, batch=64),
        "seeds": (3, 4),
        "grid": {"activation": ("relu", "tanh")},
    }
    return Study(**settings | changes)


MIXED = {"activation": ("relu", "tanh"), "initialisation": ("torch", "constant:0.1")}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was run, of which theory refuses one half."""
    path = tmp_path_factory.mktemp("study") / "study.sqlite"
    run_study(tiny(grid=MIXED), path, jobs=1)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The activations of the networks that are predicted from here on."""
    names: list[object] = []

    def noted(network: Network, *given: Any, **settings: Any) -> Table:
        names.append(network.activation)
        return predict(network, *given, **settings)

    monkeypatch.setattr(foresight, "predict", noted)
    return names


def predicted(path: Path) -> Table:
    with Store.open(path) as store:
        return store.table(source="predicted")


def test_one_prediction_for_every_network_data_and_batch() -> None:
    grid = {"optimiser": ("adam", "sgd"), "learning_rate": (0.1, 0.01), "activation": ("relu", "tanh")}
    assert len(topics(tiny(grid=grid).cells())) == 2
    grid = {"batch": (32, 64), "data": ("digits", "spirals"), "depth": (1, 2)}
    found = topics(tiny(grid=grid).cells())
    assert len(found) == len({one.key for one in found}) == 8
    assert {one.seed for one in found} == {3}
    assert "learning_rate" not in found[0].fields
    assert found[0].fields["batch"] == 32


def test_a_changed_file_is_another_question() -> None:
    study = tiny(data=Data(name="npz", path="x.npz"))
    first, second = (topics(study.cells({study.data: digest}))[0].key for digest in ("a", "b"))
    assert first != second


def test_the_store_holds_what_predict_says(path: Path) -> None:
    table = predicted(path)
    assert {run.source for run in table.runs} == {"predicted"}
    assert set(table["source"]) == {"predicted"}
    for name in ("relu", "tanh"):
        expected = predict(Network(depth=2, width=8, activation=name), Data(name="digits"), batch=64, seed=3)
        found = table.select(activation=name, initialisation="torch", seed=3)
        pairs = found.join(expected, on=("step", "name", "kind", "depth", "units", "phase", "source"))
        assert len(pairs["run_left"]) == len(expected) == len(found)
        assert found.statistics
        for statistic in found.statistics:
            np.testing.assert_array_equal(pairs[f"{statistic}_left"], pairs[f"{statistic}_right"])


def test_a_refused_network_leaves_its_reason_and_is_trained(path: Path) -> None:
    runs = [run for run in predicted(path).runs if run.fields["initialisation"] == "constant:0.1"]
    assert [run.status for run in runs] == ["failed", "failed"]
    assert all(str(run.facts["message"]).startswith(REFUSED) for run in runs)
    with Store.open(path) as store:
        assert {run.status for run in store.runs()} == {"finished"}


def test_nothing_is_asked_twice(path: Path, asked: list[object]) -> None:
    told: list[tuple[int, int]] = []
    study = tiny(grid=MIXED)
    assert run_study(study, path, jobs=1, predicting=lambda *counts: told.append(counts)).trained == ()
    assert (asked, told) == ([], [])
    run_study(tiny(grid={"activation": ("relu", "gelu")}), path, jobs=1, predicting=lambda *c: told.append(c))
    assert (asked, told) == (["gelu"], [(1, 2), (2, 2)])
    run_study(study, path, jobs=1)  # as it was for the other tests
    with Store.open(path) as store:
        assert len(store.meta["predictions"]) == 4


def test_an_interrupted_one_is_computed_again_and_the_others_are_not(
    tmp_path: Path, asked: list[object]
) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    path = tmp_path / "s.sqlite"
    with pytest.raises(KeyboardInterrupt):
        run_study(tiny(), path, jobs=1, predicting=stop)
    assert asked == ["relu"]
    with Store.open(path, "a") as store:  # killed after the figures, before the status
        half = store.begin(topics(tiny().cells())[1].key, 3, {}, "predicted")
        store.append(half, 0, [], source="predicted")
    run_study(tiny(), path, jobs=1)
    assert asked == ["relu", "tanh"]
    assert [run.status for run in predicted(path).runs] == ["finished", "finished"]
    with Store.open(path) as store:
        assert len(store.runs()) == 4


def test_a_computation_that_fails_is_noted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Table:
        raise MemoryError("no memory left")

    path = tmp_path / "s.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(foresight, "predict", broken)
        assert not run_study(tiny(), path, jobs=1).failed
    runs = predicted(path).runs
    assert [(run.status, run.facts["message"]) for run in runs] == [
        ("pending", "MemoryError: no memory left")
    ] * 2
    run_study(tiny(), path, jobs=1)
    assert {(run.status, run.facts["message"]) for run in predicted(path).runs} == {("finished", None)}


@pytest.mark.slow
def test_processes_change_no_prediction(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "_FEW", 0)
    with Store.open(tmp_path / "s.sqlite", "a") as store:
        foresee(tiny(grid=MIXED).cells(), store, 2)
    one, two = predicted(path), predicted(tmp_path / "s.sqlite")
    keys = {run.key for run in two.runs}
    one = one.select(key=sorted(keys))
    assert one.equals(two), one.difference(two)


@pytest.mark.slow
def test_a_killed_process_is_noted_and_the_others_are_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foresight, "_FEW", 0)
    driver = os.getpid()

    def deadly(z: Any) -> Any:
        if os.getpid() != driver:
            os.kill(os.getpid(), signal.SIGKILL)
        return z

    register_activation("deadly", deadly)
    with Store.open(tmp_path / "s.sqlite", "a") as store:
        foresee(tiny(grid={"activation": ("deadly", "relu")}).cells(), store, 2)
        found = {run.fields["activation"]: run for run in store.runs(source="predicted")}
    assert found["relu"].status == "finished"
    assert found["deadly"].status == "pending"
    assert "killed" in str(found["deadly"].facts["message"])


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same study in a store that knows of no prediction, as one written by an earlier version."""
    monkeypatch.setattr(run, "foresee", lambda *_: None)
    path = tmp_path / "without" / "study.sqlite"
    run_study(tiny(grid=MIXED), path, jobs=1)
    monkeypatch.undo()
    with Store.open(path) as store:
        assert "predictions" not in store.meta
        columns = [row[1] for row in store._connection.execute("PRAGMA table_info(run)")]
    assert "source" not in columns
    return path


def figures(table: Table) -> list[Any]:
    """What a summary says, without the seconds, of which no two runs take equally many."""
    return [
        (
            dict(cell.fields),
            cell.seeds,
            cell.reliability,
            {
                name: (one.mean, one.low, one.high)
                for name, one in cell.figures.items()
                if "seconds" not in name
            },
        )
        for cell in summarise(table).cells
    ]


def test_predictions_change_nothing_about_the_trainings(path: Path, without: Path, tmp_path: Path) -> None:
    keys = [cell.key for cell in tiny(grid=MIXED).cells()]
    with Store.open(path) as first, Store.open(without) as second:
        one, other = first.table(keys), second.table(keys)
        assert first.table().select(key=keys).equals(second.table())
        assert {run.key for run in first.runs()} >= {run.key for run in second.runs()} == set(keys)
        assert {run.source for run in first.changes()[0].runs} == {"measured"}
    assert one.equals(other), one.difference(other)
    assert one.statistics == other.statistics
    assert one.sites == other.sites
    for name, table in (("one", one), ("other", other)):
        table.to_csv(tmp_path / f"{name}.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()
    np.testing.assert_equal(figures(one), figures(other))
    together = one.concatenate(predicted(path))
    np.testing.assert_equal(figures(together), figures(other))


def dashes(picture: Any) -> dict[str, Any]:
    return {
        trace["legendgroup"]: trace
        for trace in picture.traces
        if trace.get("name") == "predicted" and trace["mode"] == "lines"
    }


def test_the_figure_draws_what_predict_says(path: Path) -> None:
    study = tiny(grid={"activation": ("relu", "tanh")})
    with Store.open(path) as store:
        table = store.table([cell.key for cell in study.cells()])
    found = dashes(start_picture(make_view(table, study, predicted(path))))
    for name, activation in (("ReLU", "relu"), ("tanh", "tanh")):
        expected = predict(
            Network(depth=2, width=8, activation=activation), Data(name="digits"), batch=64, seed=3
        )
        weights = expected.select(kind="weight")
        np.testing.assert_allclose(found[name]["y"], 10 ** weights["grad_norm_log10"], rtol=1e-4)
        assert found[name]["x"] == weights["depth"].tolist()


def test_the_report_says_what_was_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(path, None)
    text = (path.parent / "report.html").read_text(encoding="utf-8")
    assert "decades from the measured mean" in text
    assert "Not predicted: both with initialisation constant:0.1: initialisation" in text
    assert "constant:0.1" in capsys.readouterr().out


def test_a_store_without_predictions_is_reported_as_ever(without: Path) -> None:
    finish(without, None)
    text = (without.parent / "report.html").read_text(encoding="utf-8")
    assert "gradient-start" in text
    assert "redicted" not in text.partition('id="gradient-start"')[2].partition("</section>")[0]
    study = tiny(grid=MIXED)
    with Store.open(without) as store:
        table = store.table(store.meta["keys"])
        view = make_view(table, study, store.table((), source="predicted"))
    meta: dict[str, Any] = {"machine": {}, "versions": {}}
    assert start_picture(view).traces == start_picture(make_view(table, study)).traces
    assert page(table, study, meta)


def test_an_answer_is_a_table_or_a_reason() -> None:
    refused, taken = topics(tiny(grid={"initialisation": ("constant:0.1", "he")}).cells())
    assert str(answer_to((), refused)).startswith(REFUSED)
    assert isinstance(answer_to((), taken), Table)
