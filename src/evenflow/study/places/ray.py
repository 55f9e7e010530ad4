"""A Ray cluster as a place.

Ray lives in a process of its own, the bridge: when a cluster dies, Ray ends the process that was connected to it, and
until then it may neither return nor hear Ctrl-C. The driver only reads a pipe.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evenflow.errors import EvenflowError, UnavailableError
from evenflow.study.places.frames import receive, send
from evenflow.study.places.place import News, Task

_MOST_HEARD = 256  # messages that wait; with more the bridge waits, and the workers' wait in Ray's store
_SECONDS_TO_ANSWER = 5.0
_SECONDS_TO_CONNECT = 60.0
_SECONDS_OF_SILENCE = 90.0
_SECONDS_TO_END = 10.0


class Ray:
    """A Ray cluster, or one of this machine alone that is started for the study and ends with it.

    Args:
        address: HOST:PORT of the head; when empty, RAY_ADDRESS, a cluster that this machine belongs to, or a new one.
            `local` is always a new one.
        log: where Ray's own messages go; removed when all went well.
        jobs: tasks at once; when left out, as many as the cluster has room for.

    Raises:
        UnavailableError: ray is not installed.
        EvenflowError: no cluster answers.
    """

    bundles = None

    def __init__(self, address: str, log: Path, jobs: int | None) -> None:
        if find_spec("ray") is None:
            raise UnavailableError("--on ray needs ray, which is not installed: pip install 'evenflow[ray]'")
        address = address or os.environ.get("RAY_ADDRESS", "")
        if address not in (
            "",
            "local",
            "auto",
        ):  # the last two are Ray's own names for a new cluster and for any
            check_answers(address)
        self.log, self.most = log, jobs
        self.words = f"Ray at {address}" if address else "Ray"
        self._heard: queue.Queue[tuple[Any, ...] | None] = queue.Queue(_MOST_HEARD)
        self._last = time.monotonic()
        with log.open("wb") as file:
            self._bridge = subprocess.Popen(
                [sys.executable, "-m", "evenflow.study.places.ray_bridge", address, str(jobs or "")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for the driver
            )
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            cores, nodes, at = self._connected()
        except BaseException:
            self.close()
            raise
        self.slots = jobs or max(1, cores)
        machines = f"{nodes} machine{'s' * (nodes != 1)} with {cores} core{'s' * (cores != 1)}"
        self.words = f"Ray at {at}, {machines}" if at else f"Ray, started for this study on {cores} cores"

    def share(self, name: str, content: bytes) -> None:
        """Put a data set into Ray's object store."""
        self._send("share", name, content)

    def hand(self, tasks: Sequence[Task]) -> None:
        """Submit tasks; Ray begins them when there is room."""
        for task in tasks:
            self._send("do", task)

    def news(self, seconds: float) -> list[News]:
        """What the bridge has passed on.

        Raises:
            EvenflowError: the cluster is gone.
        """
        found: list[News] = []
        with suppress(queue.Empty):
            for _ in range(_MOST_HEARD):
                message = self._heard.get(timeout=0 if found else seconds)
                if message is None or message[0] == "gone":
                    raise EvenflowError(self._gone(message[1] if message else "its head does not answer"))
                self._last = time.monotonic()
                if message[0] == "news":
                    found.append(message[1])
        if time.monotonic() - self._last > _SECONDS_OF_SILENCE:
            raise EvenflowError(self._gone(f"not heard of for {_SECONDS_OF_SILENCE:.0f} s"))
        return found

    def close(self) -> None:
        """End what still runs, and the bridge with it."""
        well = True
        with suppress(OSError, ValueError):
            assert self._bridge.stdin is not None
            self._bridge.stdin.close()
        try:
            well = self._bridge.wait(_SECONDS_TO_END) == 0
        except subprocess.TimeoutExpired:
            well = False
        finally:
            with suppress(OSError):
                os.killpg(self._bridge.pid, signal.SIGKILL)
            self._bridge.wait()
        if well:
            self.log.unlink(missing_ok=True)

    def _connected(self) -> tuple[int, int, str]:
        """Cores and machines of the cluster, and its address where it was there before."""
        message: tuple[Any, ...] | None
        try:
            message = self._heard.get(timeout=_SECONDS_TO_CONNECT)
        except queue.Empty:
            message = ("gone", f"it did not let this machine in within {_SECONDS_TO_CONNECT:.0f} s")
        if message is None or message[0] == "gone":
            raise EvenflowError(
                f"no connection to {self.words}: {message[1] if message else f'see {self.log}'}; 'ray start --head' "
                "starts a cluster, 'ray start --address=HOST:PORT' lets this machine into one, and one with a token "
                "wants RAY_AUTH_MODE=token on every machine"
            )
        return message[1]

    def _gone(self, reason: str) -> str:
        return (
            f"{self.words} is gone: {reason} (its messages: {self.log}); everything recorded is kept, and the same "
            "command goes on, here or with --on local"
        )

    def _listen(self) -> None:
        assert self._bridge.stdout is not None
        with suppress(EOFError, OSError, ValueError):
            while True:
                self._heard.put(receive(self._bridge.stdout))
        self._heard.put(None)

    def _send(self, *message: object) -> None:
        assert self._bridge.stdin is not None
        try:
            send(self._bridge.stdin, message)
        except OSError:
            raise EvenflowError(self._gone("the connection is closed")) from None


def check_answers(address: str) -> None:
    """Whether anything listens at HOST:PORT, which is found out sooner than Ray finds it out.

    Raises:
        EvenflowError: nothing does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EvenflowError(
            f"no Ray cluster answers at {address} ({reason}); 'ray start --head' starts one and prints its address"
        ) from None
