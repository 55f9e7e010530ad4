"""A stand-in for sbatch, srun, sacct and scancel on this one machine, called by the name of a link to it.

FAKE_SLURM names the folder of its state: for each element of an array a file with its state and one with its process.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel")


def install(folder: Path) -> dict[str, str]:
    """Make the commands, and the environment in which they are found."""
    commands, state = folder / "commands", folder / "state"
    commands.mkdir()
    state.mkdir()
    for name in COMMANDS:
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        path.chmod(0o755)
    return {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(state)}


def sbatch(state: Path, script: str) -> None:
    text = Path(script).read_text()
    if os.environ.get("SBATCH_PARTITION") == "none":
        sys.exit("sbatch: error: invalid partition specified: none")
    number = 100 + len(list(state.glob("*.script")))
    (state / f"{number}.script").write_text(text)
    array = re.search(r"--array=0-(\d+)%(\d+)", text)
    last, most = (int(array[1]), int(array[2])) if array else (-1, 1)
    for index in range(last + 1) if array else [-1]:
        set_state(state, number, index, "PENDING")
    subprocess.Popen(
        [sys.executable, __file__, "control", script, str(number), str(last), str(most)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    print(f"Submitted batch job {number}")


def control(state: Path, script: str, number: str, last: str, most: str) -> None:
    """Run the elements of an array, so many at once, and note what becomes of them."""
    waiting = list(range(int(last) + 1)) or [-1]
    running: dict[int, subprocess.Popen] = {}
    while waiting or running:
        while waiting and len(running) < int(most):
            index = waiting.pop(0)
            if get_state(state, number, index) == "CANCELLED":
                continue
            environment = {**os.environ, "SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
            if index >= 0:
                environment |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(index)}
            running[index] = subprocess.Popen(["bash", script], env=environment, start_new_session=True)
            (state / f"{name(number, index)}.process").write_text(str(running[index].pid))
            set_state(state, number, index, "RUNNING")
        for index, process in list(running.items()):
            if process.poll() is not None:
                if get_state(state, number, index) != "CANCELLED":
                    set_state(state, number, index, "COMPLETED" if process.returncode == 0 else "NODE_FAIL")
                del running[index]
        time.sleep(0.1)


def srun(state: Path, *arguments: str) -> None:
    del state
    left = list(arguments)
    number = os.environ["SLURM_JOB_ID"]
    if index := os.environ.get("SLURM_ARRAY_TASK_ID", ""):
        number += f"_{index}"
    streams = {"--output": 1, "--error": 2}
    while left[0].startswith("--"):
        option = left.pop(0)
        if option in streams:
            path = left.pop(0).replace("%A_%a", number).replace("%j", number).replace("%t", "0")
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), streams[option])
    os.execvp(left[0], left)


def sacct(state: Path, *arguments: str) -> None:
    asked = [arguments[place + 1] for place, each in enumerate(arguments) if each == "-j"]
    print("JobID|State|NodeList")
    for path in sorted(state.glob("*.state")):
        if path.stem.split("_")[0] in asked:
            print(f"{path.stem}|{path.read_text()}|here")


def scancel(state: Path, job: str) -> None:
    for path in [*state.glob(f"{job}.state"), *state.glob(f"{job}_*.state")]:
        path.write_text("CANCELLED")
        process = path.with_suffix(".process")
        if process.exists():
            try:
                os.killpg(int(process.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                continue


def name(number: object, index: int) -> str:
    return f"{number}_{index}" if index >= 0 else str(number)


def set_state(state: Path, number: object, index: int, text: str) -> None:
    path = state / f"{name(number, index)}.state"
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def get_state(state: Path, number: object, index: int) -> str:
    return (state / f"{name(number, index)}.state").read_text()


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), *sys.argv[2:])
