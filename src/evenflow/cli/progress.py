"""Progress: a bar with the time left in a terminal; elsewhere a line every tenth of a study, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evenflow.record.axes import Run

_ENDED = ("finished", "diverged", "failed")


class StudyProgress:
    """A callback for `run_study` that draws how many networks are done, and before that predicted.

    A begun one counts with its share.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.bars = Progress(
            TextColumn("{task.fields[ended]} of {task.total:.0f} networks{task.fields[what]}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left{task.fields[diverged]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.foretelling: TaskID | None = None
        self.tenths = -1

    def __enter__(self) -> StudyProgress:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def predicted(self, done: int, total: int) -> None:
        """Show how many networks are predicted."""
        fields = {"ended": done, "diverged": "", "what": " predicted"}
        if self.foretelling is None:
            self.foretelling = self.bars.add_task("", total=total, **fields)
        self.bars.update(self.foretelling, completed=done, **fields)
        if done == total and not self.console.is_terminal:
            self.console.print(f"{done} of {total} networks predicted")

    def say(self, text: str) -> None:
        """Print a sentence above the bar."""
        self.console.print(text, markup=False, soft_wrap=True)

    def __call__(self, runs: tuple[Run, ...]) -> None:
        ended = sum(run.status in _ENDED for run in runs)
        done = sum(1.0 if run.status in _ENDED else _share(run) for run in runs)
        diverged = sum(run.status == "diverged" for run in runs)
        fields = {"ended": ended, "diverged": f", {diverged} diverged" if diverged else "", "what": ""}
        if self.task is None:
            self.task = self.bars.add_task("", total=len(runs), **fields)
        self.bars.update(self.task, completed=done, **fields)
        tenths = int(10 * done / len(runs))
        if not self.console.is_terminal and tenths > self.tenths:
            self.tenths = tenths
            self.console.print(f"{ended} of {len(runs)} networks done{fields['diverged']}")


@contextmanager
def drawing(total: int) -> Iterator[Callable[[int], None]]:
    """Show how many networks were drawn; gives the callback for `draw`."""
    with counting(total, "networks drawn", every_tenth=False) as told:
        yield lambda done: told(done, total)


@contextmanager
def counting(total: int, what: str, every_tenth: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show how many of `total` are done; gives the callback that is told how many of how many.

    Where there is no terminal: a line every tenth, or nothing.
    """
    console = Console(stderr=True, highlight=False)
    bars = Progress(
        TextColumn(f"{{task.completed:.0f}} of {{task.total:.0f}} {what}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,
        transient=True,  # the table that follows says how many they were
    )
    task, tenths = bars.add_task("", total=total), 0

    def told(done: int, of: int) -> None:
        nonlocal tenths
        bars.update(task, completed=done, total=of)
        if every_tenth and not console.is_terminal and of and int(10 * done / of) > tenths:
            tenths = int(10 * done / of)
            console.print(f"{done} of {of} {what}")

    with bars:
        yield told


def _share(run: Run) -> float:
    steps = run.fields["steps"]
    assert isinstance(steps, int)
    return min(run.steps_done / steps, 1.0)
