"""`evenflow doctor`: what is wrong with a model and its training, tried out on a copy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from evenflow.cli.diagnose import FailOn, Format, tell


def doctor(
    target: str,
    /,
    *,
    steps: int = 200,
    seconds: float = 60.0,
    clip_norm: float | None = None,
    store: Annotated[Path | None, Parameter(alias="-s")] = None,
    fail_on: FailOn | None = None,
    format: Annotated[Format, Parameter(alias="-f")] = "text",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
) -> int:
    """Try a training for a moment on a copy, and say what is wrong with it, in which layers, on what evidence.

    The function takes no arguments and returns (model, batches, loss_fn), behind these the optimizer where there is
    one, and behind that a scheduler. A short training shows how signals and gradients flow; twins of it, with other
    learning rates and with standardised inputs, show what would be better. Nothing is written unless a store or a file
    is named. The exit code is 0, or 1 with `--fail-on` where such a finding is.

    Examples:

        evenflow doctor train.py                         its function doctor or setup

        evenflow doctor train.py:make --steps 50         another function, a shorter trial

        evenflow doctor package.train:make               in a module

        evenflow doctor train.py --fail-on fault         code 1 if there is a fault

    Parameters
    ----------
    target
        module:function, or script.py:function; without a function, doctor or setup is called.
    steps
        Of the trial.
    seconds
        That the trial may take; it then stops early.
    clip_norm
        What the gradient's norm is clipped to.
    store
        Keep the figures of the trial in this file.
    fail_on
        Exit with 1 where a finding is as severe as this: fault, risk or information.
    format
        text, json, html, or github for annotations.
    out
        Write there instead of printing.
    """
    from evenflow.diagnose.engine import diagnose
    from evenflow.doctor.examine import examine
    from evenflow.doctor.subject import subject_of

    with with_lines(), subject_of(target) as subject, _progress() as said, redirect_stdout(sys.stderr):
        table = examine(
            subject.model,
            subject.data,
            subject.loss_fn,
            subject.optimizer,
            steps=steps,
            seconds=seconds,
            scheduler=subject.scheduler,
            clip_norm=clip_norm,
            store=store,
            said=said,
        )
    diagnosis = diagnose(table)
    if not diagnosis.about.file and subject.file:  # a model of torch's own classes: where it is put together
        diagnosis = replace(diagnosis, about=replace(diagnosis.about, file=subject.file, line=subject.line))
    return tell([diagnosis], format=format, out=out, fail_on=fail_on, title=f"Diagnosis of {target}")


@contextmanager
def with_lines() -> Iterator[None]:
    """Show what to add to a script that has no function for the doctor."""
    from evenflow.cli.finish import say
    from evenflow.doctor.subject import LINES, NoFunctionError

    try:
        yield
    except NoFunctionError:
        say(LINES)
        raise


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar in a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,  # the diagnosis follows
    )
    with bars:
        task = bars.add_task("looking at the data", total=None)

        def said(what: str, done: int, total: int) -> None:
            bars.update(
                task, description=what if total else f"twin: {what}", completed=done, total=total or None
            )

        yield said
