"""A Slurm cluster as a place, through submitit; what the jobs say comes in files of a folder that all machines see.

A job writes messages one behind the other into a file of its own, which the driver reads as it grows. A file with a
number that the driver changes tells the jobs that it lives: those of a driver that was killed end by themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evenflow.errors import EvenflowError, UnavailableError
from evenflow.study.places.frames import unframed
from evenflow.study.places.place import News, Task
from evenflow.study.places.slurm_job import ALIVE, WHY, Job

_JOBS = 16
_BUNDLES_A_JOB = 2
_MINUTES = (
    60  # of a job: short enough to be fitted in between others; what is not done then goes on in the next one
)
_SECONDS_BETWEEN_SIGNS_OF_LIFE = 10.0
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_QUESTIONS = 30.0  # to sacct, which answers for all jobs at once
_SECONDS_OF_GRACE = 5.0  # for what a job that has ended may have written last
_SECONDS_OF_SILENCE = 600.0


@dataclass
class _Submitted:
    """A task as a job of Slurm."""

    job: Any
    read: dict[str, int] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    over: float | None = None


class Slurm:
    """A Slurm cluster, to which this machine can submit.

    Args:
        folder: that this machine and all others see.
        store: of the study; its path names the part of the folder that is used, and cleared.
        jobs: at once; 16 when left out.
        cluster: of submitit; `local` stands in for Slurm with processes of this machine.

    Raises:
        UnavailableError: submitit is not installed, or there is no Slurm here.
    """

    most = None  # Slurm sees to it

    def __init__(self, folder: Path, store: Path, jobs: int | None, cluster: str = "slurm") -> None:
        if find_spec("submitit") is None:
            raise UnavailableError(
                "--on slurm needs submitit, which is not installed: pip install 'evenflow[slurm]'"
            )
        if cluster == "slurm":
            for command in ("sbatch", "srun"):
                if shutil.which(command) is None:
                    raise UnavailableError(
                        f"--on slurm needs {command}, which this machine does not have; run the study where jobs are "
                        "submitted, on a login node of the cluster"
                    )
        self.slots = jobs or _JOBS
        self.bundles = self.slots * _BUNDLES_A_JOB
        self.words = f"Slurm, {self.slots} job{'s' * (self.slots != 1)} at once, through the folder {folder}"
        name = hashlib.sha256(f"{socket.gethostname()}:{store.resolve()}".encode()).hexdigest()[:12]
        self.folder = folder.resolve() / name
        self._submitted: dict[int, _Submitted] = {}
        self._signs, self._signed, self._asked = 0, 0.0, time.monotonic()
        self._lost = False
        try:
            shutil.rmtree(
                self.folder, ignore_errors=True
            )  # jobs of a driver that was killed end when it is gone
            self.folder.mkdir(mode=0o700, parents=True)  # what is unpickled from it must be ours
        except OSError as error:
            raise EvenflowError(
                f"--on slurm: the folder {folder} cannot be written ({error.strerror}); --on slurm=FOLDER names another"
            ) from None
        self._sign()

        logging.getLogger("submitit").setLevel(logging.ERROR)  # it would warn whenever sacct is slow
        self._executor = import_module("submitit").AutoExecutor(
            folder=self.folder / "jobs" / "%j", cluster=cluster
        )
        self._executor.update_parameters(
            name="evenflow", timeout_min=_MINUTES, cpus_per_task=1, slurm_array_parallelism=self.slots
        )

    def share(self, name: str, content: bytes) -> None:
        """Put a data set into the folder."""
        (self.folder / name).write_bytes(content)

    def hand(self, tasks: Sequence[Task]) -> None:
        """Submit tasks, several as one array.

        Raises:
            EvenflowError: Slurm refuses.
        """
        for task in tasks:
            (self.folder / f"task-{task.number}").write_bytes(task.payload)
        work = [Job(str(self.folder), task.number) for task in tasks]
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # sbatch's words are in the exception
                if len(work) == 1:
                    jobs = [self._executor.submit(work[0])]
                else:
                    with self._executor.batch():
                        jobs = [self._executor.submit(one) for one in work]
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise EvenflowError(f"Slurm refuses the jobs: {' '.join(str(error).split())}") from error
        for task, job in zip(tasks, jobs, strict=True):
            self._submitted[task.number] = _Submitted(job)

    def news(self, seconds: float) -> list[News]:
        """What the jobs have written since."""
        time.sleep(max(seconds, _SECONDS_BETWEEN_LOOKS))
        self._sign()
        asked = time.monotonic() - self._asked > _SECONDS_BETWEEN_QUESTIONS
        if asked:
            self._asked = time.monotonic()
        written: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob("task-*.*")):  # one look at the folder for all tasks
            written.setdefault(path.stem, []).append(path)
        found: list[News] = []
        for number, task in list(self._submitted.items()):
            said, ended = self._read(written.get(f"task-{number}", []), task)
            found += [News(number, "said", each) for each in said]
            if not ended and self._is_over(number, task, asked):
                reason = self._why(number, task)
                found.append(News(number, "lost", reason=reason))
                self._lost = ended = True
            elif ended:
                found.append(News(number, "ended"))
            if ended:
                del self._submitted[number]
            asked = False  # one question answers for all
        return found

    def close(self) -> None:
        """Cancel what still runs; what jobs that were lost have printed stays in the folder."""
        for task in self._submitted.values():
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                task.job.cancel(check=False)
        if not self._lost:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()  # unless there is something else in it
            return
        with contextlib.suppress(OSError):
            for each in self.folder.iterdir():
                if each.is_file():
                    each.unlink(missing_ok=True)

    def _sign(self) -> None:
        if time.monotonic() - self._signed > _SECONDS_BETWEEN_SIGNS_OF_LIFE:
            self._signs, self._signed = self._signs + 1, time.monotonic()
            (self.folder / ALIVE).write_text(str(self._signs))

    def _read(self, paths: Sequence[Path], task: _Submitted) -> tuple[list[bytes], bool]:
        """What is new of a task, and whether it was the last; a job that Slurm began anew has a file more."""
        said: list[bytes] = []
        for path in paths:
            if path.suffix == WHY:
                continue
            # opened anew each time: only then does a network file system look for what is new
            with path.open("rb") as file:
                file.seek(task.read.get(path.name, 0))
                written = file.read()
            messages, length = unframed(written)
            if length:
                task.read[path.name] = task.read.get(path.name, 0) + length
                task.heard = time.monotonic()
            said += messages
        return [each for each in said if each], any(not each for each in said)

    def _is_over(self, number: int, task: _Submitted, ask: bool) -> bool:
        now = time.monotonic()
        if task.over is None and (
            task.job.done(force_check=ask) or (self.folder / f"task-{number}{WHY}").exists()
        ):
            task.over = now
        silent = bool(task.read) and now - task.heard > _SECONDS_OF_SILENCE
        return silent or (task.over is not None and now - task.over > _SECONDS_OF_GRACE)

    def _why(self, number: int, task: _Submitted) -> str:
        job = task.job
        noted = self.folder / f"task-{number}{WHY}"
        if noted.exists():
            return f"job {job.job_id}: {noted.read_text()}"
        printed = job.stderr() if job.paths.stderr.exists() else ""
        last = next((line.strip() for line in reversed((printed or "").splitlines()) if "Error" in line), "")
        return f"job {job.job_id}: {job.state}" + (f", {last}" if last else "")
