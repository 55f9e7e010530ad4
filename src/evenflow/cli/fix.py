"""`evenflow fix`: what is wrong with a training, and the change that was shown to help."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from evenflow.cli.doctor import with_lines

if TYPE_CHECKING:
    from evenflow.verify.outcome import Outcome

Form = Literal["text", "json", "html"]
"""How an outcome is written."""


def fix(
    target: str,
    /,
    *,
    steps: int = 200,
    budget: str = "120s",
    metric: str | None = None,
    keep_activation: Annotated[bool, Parameter(negative="")] = False,
    only: Annotated[list[str] | None, Parameter(negative="")] = None,
    clip_norm: float | None = None,
    store: Annotated[Path | None, Parameter(alias="-s")] = None,
    format: Annotated[Form, Parameter(alias="-f")] = "text",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
) -> int:
    """Find out what is wrong with a training, try what could help, and print the change that does as code.

    The function takes no arguments and returns (model, batches, loss_fn) or (model, batches, loss_fn, optimizer), as
    for `evenflow doctor`, which is the first step. Remedies for what it finds are tried on copies, all from the same
    start on the same batches; what is left is compared with the training as it is on other starts, and recommended
    only where it is better beyond chance. No file is changed. The exit code is 0 where a change is recommended or none
    is needed, and 1 where nothing was shown to help.

    Examples:

        evenflow fix train.py                            its function doctor or setup

        evenflow fix train.py:make --budget 5min         another function, more time

        evenflow fix train.py --keep-activation          the activations stay

        evenflow fix train.py --only reinitialise        nothing else is tried

        evenflow fix train.py --metric train.py:score    judged by a function of one's own

    Parameters
    ----------
    target
        module:function, or script.py:function; without a function, doctor or setup is called.
    steps
        Of a whole trial.
    budget
        Time for all of it, about: 90, 120s or 5min; trials get shorter where it would not do.
    metric
        score (default where there is one), loss, or module:function of (model, batches), of which more is better.
    keep_activation
        Try no other activations.
    only
        Name of a remedy that may be tried, even if no finding asks for it; may be given several times. Default: all
        that answer what is found.
    clip_norm
        What the gradient's norm is clipped to, as the training does.
    store
        Keep the figures and the outcome in this file.
    format
        text, json or html.
    out
        Write there instead of printing.
    """
    from evenflow.doctor.subject import function_of, subject_of
    from evenflow.verify.outcome import Interrupted, NotKeptError
    from evenflow.verify.repair import repair

    seconds = _seconds(budget)
    try:
        with with_lines(), subject_of(target) as subject, _progress() as said, redirect_stdout(sys.stderr):
            outcome = repair(
                subject.model,
                subject.data,
                subject.loss_fn,
                subject.optimizer,
                steps=steps,
                budget=seconds,
                metric=function_of(metric) if metric is not None and ":" in metric else metric,
                keep_activation=keep_activation,
                only=only,
                scheduler=subject.scheduler,
                clip_norm=clip_norm,
                store=store,
                function=subject.function,
                said=said,
            )
    except (Interrupted, NotKeptError) as stopped:
        _tell(stopped.outcome, format, out, target)
        raise
    _tell(outcome, format, out, target)
    return int(not (outcome.repaired or outcome.healthy))


def _seconds(budget: str) -> float:
    """Seconds that a word such as 90, 120s, 5min or 1h says.

    >>> _seconds("120s"), _seconds("1.5min"), _seconds("90")
    (120.0, 90.0, 90.0)
    """
    from evenflow.errors import SpecError

    word = budget.strip().lower()
    for unit, times in (("min", 60.0), ("m", 60.0), ("h", 3600.0), ("s", 1.0), ("", 1.0)):
        if word.endswith(unit):
            try:
                found = float(word.removesuffix(unit)) * times
            except ValueError:
                break
            if 0.0 < found < float("inf"):
                return found
            break
    raise SpecError(f'--budget "{budget}": give a time above 0, such as 90, 120s or 5min')


def _tell(outcome: Outcome, format: Form, out: Path | None, target: str) -> None:
    """Print or write the outcome.

    Raises:
        SpecError: the file cannot be written.
    """
    from rich.console import Console

    from evenflow.cli.diagnose import write
    from evenflow.errors import SpecError
    from evenflow.verify.outcome_html import page

    try:
        if out is None and format == "text":
            Console(highlight=False).print(outcome, crop=False)  # lines of code are not cut
        elif format == "json":
            write(outcome.to_json() + "\n", out, "outcome")
        elif format == "html":
            write(page(outcome, f"Repair of {target}"), out, "outcome")
        else:
            write(f"{outcome}\n", out, "outcome")
    except SpecError:
        if out is not None:  # what took minutes to find is not lost with a full disk
            Console(highlight=False).print(outcome, crop=False)
        raise


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar in a terminal for whatever trains, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[steps]}"),
        TextColumn("{task.fields[spent]}"),  # of all that trains, not of one bar
        console=console,
        disable=not console.is_terminal,
        transient=True,  # the outcome follows
    )
    with bars:
        task = bars.add_task("looking at the data", total=None, steps="", spent="")
        began = time.perf_counter()

        def said(what: str, done: int, total: int) -> None:
            bars.update(
                task,
                description=what,
                completed=done,
                total=total or None,
                steps=f"{done} of {total} steps" if total else "",
                spent=f"{time.perf_counter() - began:.0f} s",
            )

        yield said
