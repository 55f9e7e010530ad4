"""A Ray cluster of two worker processes of this machine, of which one is killed; a driver that is killed."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from study.places.started import Start, read, wait_until_begun, whole_table

pytest.importorskip("ray", reason="ray is not installed: pip install 'evenflow[ray]'")
pytestmark = pytest.mark.slow


def workers(driver: subprocess.Popen) -> list[int]:
    """Processes that train for the driver: Ray names them after the task."""
    parents: dict[int, int] = {}
    found: list[int] = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            number, stat = int(each.name), (each / "stat").read_text()
            parents[number] = int(stat.rpartition(")")[2].split()[1])
            if (each / "cmdline").read_bytes().startswith(b"ray::evenflow"):
                found.append(number)
        except OSError:  # it has just ended
            continue
    if not parents:
        pytest.skip("this system does not list its processes")

    def descends(number: int) -> bool:
        return number == driver.pid or (number in parents and descends(parents[number]))

    return [number for number in found if descends(number)]


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """An environment in which Ray neither finds a cluster of this machine nor writes into the user's home."""
    return {"RAY_ADDRESS": "local", "HOME": str(tmp_path)}


def kill_a_worker(driver: subprocess.Popen) -> None:
    for _ in range(200):
        if found := workers(driver):
            os.kill(found[0], signal.SIGKILL)
            return
        time.sleep(0.05)
    raise AssertionError("no worker is at work")


def test_a_killed_worker_changes_nothing(start: Start, tmp_path: Path, alone: dict[str, str]) -> None:
    process = start("ray", "--on", "ray", "--jobs", "2", **alone)
    wait_until_begun(tmp_path / "ray")
    kill_a_worker(process)
    expected = whole_table(tmp_path)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "trained on Ray, started for this study on 2 cores" in output
    assert re.search(r"(was lost|did not start) \(its process was killed or has crashed\)", output)
    table = read(tmp_path / "ray")
    assert table.equals(expected), table.difference(expected)
    assert not (tmp_path / "ray" / "ray.log").exists()
    assert "raylet" not in output


def test_a_killed_driver_leaves_a_study_that_goes_on_here(
    start: Start, tmp_path: Path, alone: dict[str, str]
) -> None:
    process = start("ray", "--on", "ray", "--jobs", "2", **alone)
    wait_until_begun(tmp_path / "ray")
    left = workers(process)
    assert left
    process.kill()
    process.wait()
    expected = whole_table(tmp_path)
    again = start("ray", "--on", "local", "--jobs", "1")
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    table = read(tmp_path / "ray")
    assert table.equals(expected), table.difference(expected)
    for _ in range(200):
        if not any(Path(f"/proc/{worker}").exists() for worker in left):
            return
        time.sleep(0.1)
    raise AssertionError("a worker goes on without its driver")


def test_a_cluster_that_dies_ends_the_study_in_one_line(
    start: Start, tmp_path: Path, alone: dict[str, str]
) -> None:
    process = start("ray", "--on", "ray", "--jobs", "2", steps=20000, **alone)
    wait_until_begun(tmp_path / "ray")
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words, group = (each / "cmdline").read_bytes(), os.getsid(int(each.name))
        except OSError:
            continue
        if b"gcs_server" in words and group in bridges(process):
            os.kill(int(each.name), signal.SIGKILL)
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 2, output
    said = output.splitlines()[-1]
    assert said.startswith("evenflow: Ray, started for this study on 2 cores is gone: ")
    assert said.endswith("the same command goes on, here or with --on local")
    assert len(read(tmp_path / "ray")) > 0


def bridges(driver: subprocess.Popen) -> list[int]:
    """The process between the driver and Ray, which leads a session of its own."""
    return [int(each) for each in Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()]


def test_ctrl_c_ends_everything_and_says_how_to_go_on(
    start: Start, tmp_path: Path, alone: dict[str, str]
) -> None:
    process = start("ray", "--on", "ray", "--jobs", "2", steps=20000, **alone)
    wait_until_begun(tmp_path / "ray")
    left = [*workers(process), *bridges(process)]
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopped; everything recorded is kept, the same command goes on" in output
    assert "Traceback" not in output
    assert not any(Path(f"/proc/{worker}").exists() for worker in left)


def test_an_address_that_is_no_cluster_ends_in_time(start: Start, alone: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        process = start("ray", "--on", f"ray=127.0.0.1:{server.getsockname()[1]}", **alone)
        output, _ = process.communicate(timeout=200)
    assert process.returncode == 2, output
    assert "evenflow: no connection to Ray at 127.0.0.1:" in output.splitlines()[-1]
    assert time.monotonic() - began < 150
