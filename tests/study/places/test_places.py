"""How a place is named, messages on their way, and jobs that notice that nobody waits for them."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evenflow import EvenflowError, SpecError, UnavailableError
from evenflow.study.places import place, ray, ray_bridge, slurm, slurm_job
from evenflow.study.places.frames import framed, unframed


@pytest.mark.parametrize(
    ("text", "wording"),
    [
        ("nonsense", "--on nonsense is not known; known: local, ray, ray=HOST:PORT, slurm, slurm=FOLDER"),
        ("slrum", '--on slrum is not known; did you mean "slurm"?'),
        ("ray=", "--on ray= is not known"),
        ("local=2", "--on local=2 is not known"),
        (
            "ray=head",
            "--on ray=head: a Ray cluster is named by HOST:PORT of its head, such as ray=10.0.0.5:6379",
        ),
        ("ray=ray://head:10001", "--on ray=ray://head:10001: a Ray cluster is named by HOST:PORT"),
    ],
)
def test_a_place_that_is_not_known(text: str, wording: str) -> None:
    with pytest.raises(SpecError) as caught:
        place.where(text)
    assert str(caught.value).startswith(wording)


def test_a_place_that_is_not_known_ends_the_command_before_anything_is_read(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "evenflow", "study", "--on", "slrum", "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert process.stderr.startswith('evenflow: --on slrum is not known; did you mean "slurm"?')
    assert not (tmp_path / "out").exists()


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "find_spec", lambda _: None)
    monkeypatch.setattr(slurm, "find_spec", lambda _: None)
    for kind in ("ray", "slurm"):
        with pytest.raises(UnavailableError, match=rf"--on {kind} needs .*pip install 'evenflow\[{kind}\]'"):
            place.connect(place.where(kind), tmp_path / "s.sqlite", 1)


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "find_spec", lambda _: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"needs sbatch, which this machine does not have.*login node"):
        place.connect(place.where("slurm"), tmp_path / "s.sqlite", 1)


def test_an_address_at_which_nothing_listens() -> None:
    began = time.monotonic()
    with pytest.raises(
        EvenflowError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 \(Connection refused\)"
    ):
        ray.check_answers("127.0.0.1:1")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (type("WorkerCrashedError", (Exception,), {})("pages"), "its process was killed or has crashed"),
        (
            RuntimeError(
                "The remote function failed to import\n  in line 3\nModuleNotFoundError: No module named 'x'\n"
            ),
            "ModuleNotFoundError: No module named 'x'",
        ),
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError(), "ValueError: "),
    ],
)
def test_what_ray_says_in_one_line(error: Exception, reason: str) -> None:
    assert ray_bridge._short(error) == reason


def test_messages_in_a_file_that_grows() -> None:
    messages = [b"", b"one", os.urandom(1000)]
    written = b"".join(map(framed, messages))
    for length in range(len(written) + 1):
        found, used = unframed(written[:length])
        assert found == messages[: len(found)]
        assert unframed(written[used:])[0] == messages[len(found) :]
    assert len(unframed(written)[0]) == 3


def test_a_message_that_is_not_yet_what_it_will_be_is_left_for_later() -> None:
    # a network file system may show the length of a file before its content
    written = framed(b"first") + framed(b"second")
    assert unframed(written[:-6] + bytes(6)) == ([b"first"], len(framed(b"first")))


class EndedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise EndedError(code)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(slurm_job, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(slurm_job, "_SECONDS_WITHOUT_DRIVER", 0.2)


@pytest.mark.usefixtures("ending")
def test_a_job_ends_when_its_folder_is_cleared(tmp_path: Path) -> None:
    with pytest.raises(EndedError):
        slurm_job._watch_driver(tmp_path, tmp_path / "task-1.0000")


@pytest.mark.usefixtures("ending")
def test_a_job_ends_when_its_driver_gives_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "task-1.0000"
    said.touch()
    monkeypatch.setattr(slurm_job, "_SECONDS_BETWEEN_SIGNS_OF_LIFE", 0.1)
    alive, looks = tmp_path / slurm_job.ALIVE, 0
    alive.write_text("0")

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks < 50:
            alive.write_text(str(looks))
        time.sleep(0.01)

    monkeypatch.setattr(slurm_job, "time", type("Clock", (), {"sleep": sleep, "monotonic": time.monotonic}))
    with pytest.raises(EndedError):
        slurm_job._watch_driver(tmp_path, said)
    assert looks >= 50 + 10
    assert {pickle.loads(each) == [] for each in unframed(said.read_bytes())[0]} == {True}
