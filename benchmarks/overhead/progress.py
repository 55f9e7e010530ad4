"""A progress bar with the time left in a terminal; elsewhere nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bar(
    console: Console, what: str, total: int
) -> Iterator[tuple[Callable[[], None], Callable[[int], None]]]:
    """Two callbacks: one more is done, and so many are done."""
    bars = Progress(
        TextColumn("{task.completed:.0f} of {task.total:.0f} {task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    task = bars.add_task(what, total=total)
    with bars:
        yield lambda: bars.advance(task), lambda done: bars.update(task, completed=done)
