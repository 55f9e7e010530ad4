"""The process that is connected to Ray: tasks come in through its standard input, news go out of its standard output.

It ends when its input is closed, so that nothing of a driver that was killed lives on.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from importlib import import_module
from typing import IO, Any

from evenflow.study.places.frames import receive, send
from evenflow.study.places.place import News, Task

_SECONDS_BETWEEN_MESSAGES = 1.0
_SECONDS_TO_WAIT = 0.3
_SECONDS_BETWEEN_SIGNS_OF_LIFE = 5.0


def main(address: str, jobs: int | None) -> None:
    """Connect, pass on until the input is closed, and disconnect, which ends the tasks.

    Args:
        address: of the head, `local` for a cluster of its own, or empty.
        jobs: cores of a cluster that is started here.
    """
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Ray prints is not for the driver
    commands: queue.Queue[tuple[Any, ...] | None] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, commands), daemon=True).start()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a study calls nobody
    ray = import_module("ray")
    try:
        started = _connect(ray, address, jobs)
        nodes = [node for node in ray.nodes() if node["Alive"]]
    except Exception as error:  # Ray raises of all kinds
        send(output, ("gone", _short(error)))
        return
    cores = int(ray.cluster_resources().get("CPU", 0))
    at = "" if started else ray.get_runtime_context().gcs_address
    send(output, ("connected", (cores, len(nodes), at)))
    with contextlib.suppress(BrokenPipeError):  # the driver is gone
        _pass_on(ray, commands, output)
    ray.shutdown()


def _connect(ray: Any, address: str, jobs: int | None) -> bool:
    """Whether a cluster had to be started."""
    quietly: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address != "local":
        try:
            ray.init(address or "auto", **quietly)
        except ConnectionError:
            if address:
                raise
        else:
            return False
    ray.init("local", num_cpus=jobs, include_dashboard=False, **quietly)
    return True


def _pass_on(ray: Any, commands: queue.Queue[tuple[Any, ...] | None], output: IO[bytes]) -> None:
    from evenflow.study.places.worker import stream

    # nothing is tried again here: the driver knows how far a lost task was
    options: dict[str, Any] = {
        "num_cpus": 1,
        "max_retries": 0,
        "num_returns": "streaming",
        "name": "evenflow",
    }
    remote = ray.remote(**options)(stream)
    shared: dict[str, Any] = {}
    tasks: dict[Any, int] = {}
    alive = time.monotonic()
    home = ray.get_runtime_context().get_node_id()
    while True:
        while tasks == {} or not commands.empty():
            try:
                command = commands.get(timeout=_SECONDS_TO_WAIT)
            except queue.Empty:
                break
            if command is None:
                return
            if command[0] == "share":
                shared[command[1]] = ray.put(command[2])
            else:
                task: Task = command[1]
                contents = [shared[name] for name in task.data]
                said = remote.remote(task.payload, task.data, _SECONDS_BETWEEN_MESSAGES, *contents)
                tasks[said] = task.number
        if tasks:
            ray.wait(list(tasks), num_returns=1, timeout=_SECONDS_TO_WAIT, fetch_local=False)
            ready, _ = ray.wait(list(tasks), num_returns=len(tasks), timeout=0, fetch_local=False)
            for said in ready:
                news = _next(ray, said, tasks[said])
                if news.kind != "said":
                    del tasks[said]
                send(output, ("news", news))
        if time.monotonic() - alive > _SECONDS_BETWEEN_SIGNS_OF_LIFE:
            alive = time.monotonic()
            if not any(node["NodeID"] == home and node["Alive"] for node in ray.nodes()):
                send(output, ("gone", "this machine has left it"))
                return
            send(output, ("alive",))


def _next(ray: Any, said: Any, number: int) -> News:
    try:
        return News(number, "said", ray.get(next(said)))
    except StopIteration:
        return News(number, "ended")
    except Exception as error:  # whatever has become of the worker
        return News(number, "lost", reason=_short(error))


def _short(error: Exception) -> str:
    """What happened, in one line; Ray adds pages."""
    kind = type(error).__name__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if cause := next((line for line in reversed(lines) if line.startswith("ModuleNotFoundError")), ""):
        return cause
    usual = {
        "WorkerCrashedError": "its process was killed or has crashed",
        "NodeDiedError": "its machine is gone",
        "OutOfMemoryError": "its machine was out of memory",
        "ObjectLostError": "its machine is gone",
    }
    return usual.get(kind) or f"{kind}: {lines[0] if lines else ''}"


def _read(pipe: IO[bytes], commands: queue.Queue[tuple[Any, ...] | None]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            commands.put(receive(pipe))
    commands.put(None)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if sys.argv[2] else None)
