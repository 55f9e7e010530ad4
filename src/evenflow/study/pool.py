"""Work side by side in processes that leave Ctrl-C to their driver and end with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_SECONDS_BETWEEN_TICKS = 0.5


def side_by_side(
    function: Callable[..., Result],
    work: Sequence[tuple[Item, tuple[Any, ...]]],
    jobs: int,
    ended: Callable[[Item, Callable[[], Result]], None],
    tick: Callable[[], None],
) -> list[Item]:
    """Call `function` on the arguments of every item; returns the items whose process was killed from outside.

    Args:
        function: can be pickled, like all arguments and results.
        work: items, each with its arguments.
        jobs: processes.
        ended: called here with an item and a function that returns its result or raises its exception.
        tick: called here about twice a second.
    """
    from concurrent.futures import FIRST_COMPLETED, Future, wait

    from loky import ProcessPoolExecutor
    from loky.process_executor import BrokenProcessPool

    broken: list[Item] = []
    pool = ProcessPoolExecutor(jobs, initializer=_begin_worker, initargs=(os.getpid(),))
    try:
        futures: dict[Future[Result], Item] = {
            pool.submit(function, *arguments): item for item, arguments in work
        }
        unfinished = set(futures)
        while unfinished:
            done, unfinished = wait(unfinished, _SECONDS_BETWEEN_TICKS, FIRST_COMPLETED)
            for future in done:
                try:
                    ended(futures[future], future.result)
                except BrokenProcessPool:
                    broken.append(futures[future])
            tick()
    finally:
        pool.shutdown(wait=True, kill_workers=True)
    return broken


def _begin_worker(parent: int) -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the driver; end when the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch_parent, daemon=True).start()
