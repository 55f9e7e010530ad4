"""Whole studies: interrupted in every way and resumed, with custom activations, with cells that fail."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evenflow import (
    Data,
    DataError,
    Network,
    Store,
    StoreError,
    Study,
    Table,
    Training,
    register_activation,
    run_study,
)
from evenflow.compare import effects
from evenflow.record import Run
from evenflow.record.lock import lock
from evenflow.study import alone, run
from evenflow.study.draws import batch_indices

SPECIFICATION = """
name = "tiny"
seeds = 2
record_every = 5
[network]
depth = 3
width = 16
dropout = 0.1
[data]
name = "digits"
[training]
steps = {steps}
batch = 64
[grid]
activation = ["relu", "tanh"]
"""


def tiny(steps: int = 20, **changes: Any) -> Study:
    settings: dict[str, Any] = {
        "network": Network(depth=2, width=8),
        "data": Data(name="digits"),
        "training": Training(steps=steps, batch=64),
        "record_every": 5,
        "seeds": 2,
        "grid": {"activation": ("relu", "tanh")},
    }
    return Study(**settings | changes)


def read(path: Path) -> Table:
    with Store.open(path) as store:
        return store.table()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start `evenflow study` on a specification in a process group of its own."""
    started: list[subprocess.Popen] = []

    def begin(folder: str, steps: int, *options: str) -> subprocess.Popen:
        specification = tmp_path / f"{steps}.toml"
        specification.write_text(SPECIFICATION.format(steps=steps))
        process = subprocess.Popen(
            [sys.executable, "-m", "evenflow", "study", specification, "--out", tmp_path / folder, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_rows(path: Path, rows: int) -> None:
    """Until the study at `path` has recorded at least so many moments."""
    for _ in range(1200):
        if path.exists():
            try:
                with Store.open(path) as store:
                    if sum(run.steps_done for run in store.runs()) >= rows:
                        return
            except StoreError:  # not yet a store: it is being made
                pass
        time.sleep(0.05)
    raise AssertionError("the study did not begin")


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_killed_in_the_middle_and_started_again(
    start: Callable[..., subprocess.Popen], tmp_path: Path, jobs: str
) -> None:
    whole = start("whole", 150, "--jobs", "2")
    killed = start("killed", 150, "--jobs", jobs)
    wait_for_rows(tmp_path / "killed" / "study.sqlite", 60)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = read(tmp_path / "killed" / "study.sqlite")
    assert any(run.status in ("pending", "running") for run in before.runs)
    again = start("killed", 150, "--jobs", jobs)
    output, _ = again.communicate(timeout=240)
    assert again.returncode == 0, output
    expected_output, _ = whole.communicate(timeout=240)
    assert whole.returncode == 0, expected_output
    resumed, expected = read(tmp_path / "killed" / "study.sqlite"), read(tmp_path / "whole" / "study.sqlite")
    assert resumed.equals(expected), resumed.difference(expected)
    assert len(before) > 0
    assert "report" in output


def test_a_long_cell_goes_on_from_its_last_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tiny(seeds=1, grid={"activation": ("relu",)}, network=Network(depth=2, width=8, dropout=0.2))
    run_study(study, tmp_path / "whole.sqlite", jobs=1)

    monkeypatch.setattr(alone, "_SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    monkeypatch.setattr(run, "_SECONDS_BETWEEN_NEWS", 0.0)
    told: list[int] = []

    def stop_at_10(runs: tuple[Run, ...]) -> None:
        told.append(runs[0].steps_done)
        if runs[0].steps_done == 10 and told.count(10) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "s.sqlite", jobs=1, progress=stop_at_10)
    told.clear()
    trained_steps: list[int] = []

    def noted(step: int, *rest: int) -> np.ndarray:
        trained_steps.append(step)
        return batch_indices(step, *rest)

    monkeypatch.setattr("evenflow.study.engines.torch.batch_indices", noted)
    run_study(study, tmp_path / "s.sqlite", jobs=1)
    assert trained_steps == list(range(11, 21))
    whole, resumed = read(tmp_path / "whole.sqlite"), read(tmp_path / "s.sqlite")
    assert resumed.equals(whole), resumed.difference(whole)


def test_the_callers_torch_is_left_as_it_was(tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    run_study(tiny(seeds=1), tmp_path / "s.sqlite", jobs=1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(
    start: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    process = start("stopped", 5000, "--jobs", "2")
    wait_for_rows(tmp_path / "stopped" / "study.sqlite", 50)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopped; everything recorded is kept, the same command goes on" in output
    assert "Traceback" not in output
    assert len(read(tmp_path / "stopped" / "study.sqlite")) > 0


def workers(process: subprocess.Popen) -> list[int]:
    """Processes that a running study has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("this system does not list the children of a process")
    of_study = [int(child) for child in children.read_text().split()]
    return [child for child in of_study if "LokyProcess" in Path(f"/proc/{child}/cmdline").read_text()]


def test_no_process_outlives_a_killed_driver(start: Callable[..., subprocess.Popen], tmp_path: Path) -> None:
    process = start("orphans", 20000, "--jobs", "2")
    wait_for_rows(tmp_path / "orphans" / "study.sqlite", 20)
    orphans = workers(process)
    assert len(orphans) == 2
    os.kill(process.pid, signal.SIGKILL)  # the driver alone
    process.wait()
    for _ in range(100):
        if not any(Path(f"/proc/{orphan}/cmdline").exists() for orphan in orphans):
            return
        time.sleep(0.1)
    raise AssertionError("a worker goes on without its driver")


@pytest.mark.slow
def test_a_killed_worker_is_replaced(start: Callable[..., subprocess.Popen], tmp_path: Path) -> None:
    process = start("worker", 400, "--jobs", "2")
    wait_for_rows(tmp_path / "worker" / "study.sqlite", 50)
    os.kill(workers(process)[0], signal.SIGKILL)
    whole = start("whole", 400, "--jobs", "1")
    for each in (process, whole):
        output, _ = each.communicate(timeout=240)
        assert each.returncode == 0, output
    replaced, expected = read(tmp_path / "worker" / "study.sqlite"), read(tmp_path / "whole" / "study.sqlite")
    assert replaced.equals(expected), replaced.difference(expected)


def test_finished_cells_are_not_run_again_and_new_ones_are(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    first = run_study(tiny(), path, jobs=1)
    assert len(first.trained) == 4
    assert run_study(tiny(), path, jobs=1).trained == ()
    wider = run_study(tiny(grid={"activation": ("relu", "tanh", "gelu")}), path, jobs=1)
    assert len(wider.trained) == 2
    assert set(first.keys) < set(wider.keys)


def test_remedies_are_trained_beside_the_grid_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    plain = tiny()
    first = run_study(plain, path, jobs=1)
    assert len(first.trained) == 4
    with_remedies = tiny(remedies=("add_normalisation:batch", "change_activation:relu"))
    second = run_study(with_remedies, path, jobs=1)
    assert len(second.trained) == 4  # tanh with relu is the grid's own relu
    assert run_study(with_remedies, path, jobs=1).trained == ()
    with Store.open(path) as store:
        assert tuple(store.meta["keys"]) == first.keys
        assert {run.fields["normalisation"] for run in store.runs(store.meta["remedied"])} == {"batch"}
        found = effects(store.table(), with_remedies)
    assert [(one.remedy, one.original["activation"], one.gain.count) for one in found] == [
        ("add_normalisation:batch", "relu", 2),
        ("add_normalisation:batch", "tanh", 2),
        ("change_activation:relu", "tanh", 2),
    ]
    last = read(path).select(name="test", step=20, activation="tanh")
    accuracy = {
        kind: [float(last.select(normalisation=kind, seed=seed)["accuracy"][0]) for seed in (0, 1)]
        for kind in ("none", "batch")
    }
    gain = np.subtract(accuracy["batch"], accuracy["none"])
    assert found[1].gain.mean == pytest.approx(np.mean(gain))


@pytest.mark.slow
def test_processes_change_no_figure(tmp_path: Path) -> None:
    run_study(tiny(), tmp_path / "one.sqlite", jobs=1)
    run_study(tiny(), tmp_path / "two.sqlite", jobs=2)
    one, two = read(tmp_path / "one.sqlite"), read(tmp_path / "two.sqlite")
    assert one.equals(two), one.difference(two)


def test_equal_seeds_are_paired(tmp_path: Path) -> None:
    run_study(tiny(), tmp_path / "s.sqlite", jobs=1)
    weights = read(tmp_path / "s.sqlite").select(name="hidden_2.weight", step=0)
    norms = {
        (a, s): w
        for a, s, w in zip(weights["activation"], weights["seed"], weights["weight_norm"], strict=True)
    }
    assert norms["relu", 0] == norms["tanh", 0]
    assert norms["relu", 0] != norms["relu", 1]


def test_a_custom_activation_reaches_the_processes(tmp_path: Path) -> None:
    register_activation("leaning_tanh_of_run", lambda z: np.tanh(z) + 0.1 * z)
    study = tiny(grid={"activation": ("leaning_tanh_of_run",)})
    outcome = run_study(study, tmp_path / "s.sqlite", jobs=2)
    assert not outcome.failed
    assert {run.status for run in read(tmp_path / "s.sqlite").runs} == {"finished"}


@pytest.mark.slow
def test_a_module_of_the_study_is_found_again_by_its_report(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import evenflow as ef\nef.register_activation('cubic_of_run', lambda z: z + 0.01 * z**3)\n"
    )
    specification = SPECIFICATION.format(steps=3).replace('["relu", "tanh"]', '["cubic_of_run"]')
    (tmp_path / "my.toml").write_text('modules = ["mine.py"]\n' + specification)
    for arguments in (["study", "my.toml", "--out", "results", "--jobs", "2"], ["report", "results"]):
        process = subprocess.run(
            [sys.executable, "-m", "evenflow", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        assert "cubic_of_run" in process.stdout


def test_two_drivers_on_one_store(tmp_path: Path) -> None:
    with lock(tmp_path / "s.sqlite"), pytest.raises(StoreError, match="is in use by"):
        run_study(tiny(), tmp_path / "s.sqlite", jobs=1)


def test_a_cell_that_fails_is_noted_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = run.train_cell

    def failing(cell, *arguments):
        if cell.network.activation == "tanh" and cell.seed == 1:
            raise MemoryError("no memory left")
        original(cell, *arguments)

    monkeypatch.setattr(run, "train_cell", failing)
    outcome = run_study(tiny(), tmp_path / "s.sqlite", jobs=1)
    assert list(outcome.failed.values()) == ["MemoryError: no memory left"]
    table = read(tmp_path / "s.sqlite")
    assert sorted(run.status for run in table.runs) == ["failed", "finished", "finished", "finished"]
    monkeypatch.setattr(run, "train_cell", original)
    assert len(run_study(tiny(), tmp_path / "s.sqlite", jobs=1).trained) == 1


def test_a_full_disk_stops_the_study_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.sqlite"
    run_study(tiny(seeds=1), path, jobs=1)
    before = read(path)
    original = Store.open.__func__

    def small_disk(cls: type[Store], *arguments: object) -> Store:
        store = original(cls, *arguments)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 8}")
        return store

    monkeypatch.setattr(Store, "open", classmethod(small_disk))
    with pytest.raises(StoreError, match="disk"):
        run_study(tiny(seeds=2, training=Training(steps=400)), path, jobs=1)
    monkeypatch.undo()
    assert len(read(path)) >= len(before)
    assert not run_study(tiny(seeds=2), path, jobs=1).failed


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[float] = []
    run_study(
        tiny(),
        tmp_path / "s.sqlite",
        jobs=1,
        progress=lambda runs: told.append(sum(r.steps_done for r in runs)),
    )
    assert told[0] == 0
    assert told[-1] == 4 * 20
    assert told == sorted(told)
    assert len(told) >= 6


def test_wrong_data_is_named_before_anything_runs(tmp_path: Path) -> None:
    study = tiny(data=Data(name="npz", path=str(tmp_path / "none.npz")))
    with pytest.raises(DataError, match=r"none\.npz"):
        run_study(study, tmp_path / "s.sqlite")
    assert not (tmp_path / "s.sqlite").exists()


def test_facts_of_a_run(tmp_path: Path) -> None:
    run_study(tiny(seeds=1), tmp_path / "s.sqlite", jobs=1)
    facts = read(tmp_path / "s.sqlite").runs[0].facts
    assert facts["flops_per_step"] == 2 * 64 * (3 * (64 * 8 + 8 * 8 + 8 * 10) - 64 * 8)
    assert 0 < facts["seconds_per_step"] < 1  # type: ignore[operator]
    assert facts["classes"] == 10
