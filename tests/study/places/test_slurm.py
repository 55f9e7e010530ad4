"""Jobs of a stand-in for Slurm, and of submitit's own processes, of which one is killed; a driver that is killed."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from study.places import fake_slurm
from study.places.started import LONG, Start, read, wait_until_begun, whole_table, write

from evenflow import read_study, run_study
from evenflow.record import Run
from evenflow.study import run
from evenflow.study.places.slurm import Slurm

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'evenflow[slurm]'")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment with the commands of Slurm."""
    return fake_slurm.install(tmp_path)


def workers(folder: Path) -> list[int]:
    """Processes that do a job whose files stand in a folder."""
    found: list[int] = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes().decode().split("\0")
        except OSError:  # it has just ended
            continue
        if "submitit.core._submit" in words and any(word.startswith(str(folder)) for word in words):
            found.append(int(each.name))
    return found


def kill_a_worker(folder: Path) -> None:
    for _ in range(200):
        if found := workers(folder):
            os.kill(found[0], signal.SIGKILL)
            return
        time.sleep(0.05)
    raise AssertionError("no job is at work")


def test_a_killed_job_changes_nothing(start: Start, tmp_path: Path, cluster: dict[str, str]) -> None:
    process = start("slurm", "--on", "slurm", "--jobs", "2", **cluster)
    wait_until_begun(tmp_path / "slurm")
    kill_a_worker(tmp_path)
    expected = whole_table(tmp_path)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "trained on Slurm, 2 jobs at once" in output
    assert re.search(r"(was lost|did not start) \(job \d+(_\d)?: NODE_FAIL\)", output)
    table = read(tmp_path / "slurm")
    assert table.equals(expected), table.difference(expected)


def test_a_killed_driver_leaves_a_study_that_goes_on_here(
    start: Start, tmp_path: Path, cluster: dict[str, str]
) -> None:
    process = start("slurm", "--on", f"slurm={tmp_path / 'shared'}", "--jobs", "2", **cluster)
    wait_until_begun(tmp_path / "slurm")
    process.kill()
    process.wait()
    expected = whole_table(tmp_path)
    again = start("slurm", "--on", "local", "--jobs", "1")
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    table = read(tmp_path / "slurm")
    assert table.equals(expected), table.difference(expected)


def test_ctrl_c_cancels_the_jobs(start: Start, tmp_path: Path, cluster: dict[str, str]) -> None:
    process = start("slurm", "--on", "slurm", "--jobs", "2", steps=20000, **cluster)
    wait_until_begun(tmp_path / "slurm")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopped; everything recorded is kept, the same command goes on" in output
    states = [path.read_text() for path in (tmp_path / "state").glob("*.state")]
    assert set(states) == {"CANCELLED"}
    assert not (tmp_path / "slurm" / "slurm").exists()


def test_what_slurm_refuses_is_said(start: Start, tmp_path: Path, cluster: dict[str, str]) -> None:
    process = start("slurm", "--on", "slurm", SBATCH_PARTITION="none", **cluster)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output.splitlines()[-1] == (
        "evenflow: Slurm refuses the jobs: sbatch: error: invalid partition specified: none"
    )
    assert (tmp_path / "slurm" / "study.sqlite").exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # submitit does not wait for its processes
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_processes_of_submitit_stand_in_for_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "here" / "study.sqlite"
    monkeypatch.setattr(run, "connect", lambda *_: Slurm(tmp_path / "shared", path, 2, "local"))
    killed: list[str] = []

    def kill_one(runs: tuple[Run, ...]) -> None:
        if not killed and any(each.status == "running" for each in runs) and (found := workers(tmp_path)):
            killed.append("now")
            os.kill(found[0], signal.SIGKILL)

    told: list[str] = []
    outcome = run_study(
        read_study(write(tmp_path, LONG)), path, on="slurm", progress=kill_one, tell=told.append
    )
    assert not outcome.failed
    assert any("was lost (job " in each or "did not start (job " in each for each in told)
    expected = whole_table(tmp_path)
    assert read(path.parent).equals(expected), read(path.parent).difference(expected)
