"""`evenflow watch`: run a training script as it is, and record its gradient flow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

WITH_VALUE = ("--every", "--budget", "--out", "-o", "--sites", "--window")
_BUDGET = 0.03


def watch(
    *command: str,
    module: Annotated[str | None, Parameter(name="-m")] = None,
    every: int | None = None,
    budget: float | None = None,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    sites: Annotated[list[str] | None, Parameter(negative="")] = None,
    window: int = 1000,
    quiet: Annotated[bool, Parameter(negative="", alias="-q")] = False,
) -> int:
    """Run a training script as it is, and record the gradient flow of every model that an optimiser steps.

    Options of evenflow stand before the script; everything behind its name is the script's own. While it runs, a line
    on stderr says how the gradient flows; when it ends, however it ends, a table does. The exit code is the script's:
    1 after an exception, 130 after Ctrl-C; 2 if it could not be started, for it is not there or its syntax is wrong.

    Examples:

        evenflow watch train.py --epochs 3           what is behind it goes to it
        evenflow watch -m package.train              a module, as after python -m
        evenflow watch --every 10 train.py           record every tenth step
        evenflow watch --out flow.sqlite train.py    write the figures there
        evenflow watch --sites "layer1.*" train.py   only what has such a name

    Parameters
    ----------
    command
        The script and its arguments.
    module
        Run a module instead of a script.
    every
        Record every so many steps, whatever that costs. Default: as the budget allows.
    budget
        Share of the training time that recording may take. Default: 0.03.
    out
        The store. Default: runs/NAME/flow.sqlite, from the script's name. Runs that are in it stay.
    sites
        Pattern of names of modules and parameters; may be given several times.
    window
        Samples that a unit has to be silent for before it is called dead.
    quiet
        No live line and no summary.
    """
    from evenflow.errors import SpecError
    from evenflow.watch.script import Script, watch_script
    from evenflow.watch.settings import Settings

    if module is None and not command:
        raise SpecError("a script is needed, such as: evenflow watch train.py")
    for word, value in (("--every", every), ("--window", window)):
        if value is not None and value < 1:
            raise SpecError(f"{word} {value}: give a whole number, 1 or more")
    if budget is not None and not 0 < budget < 1:
        raise SpecError(f"--budget {budget}: give a share of the time between 0 and 1, such as 0.03")
    if every is not None and budget is not None:
        raise SpecError("--every and --budget both say how often to record; give one of them")
    script = Script(command[0], command[1:]) if module is None else Script(module, command, module=True)
    settings = Settings(
        script.name,
        every=every or 1,
        budget=(budget or _BUDGET) if every is None else None,
        sites=sites,
        window=window,
        quiet=quiet,
    )
    store = out or Path("runs") / script.name / "flow.sqlite"
    return watch_script(script, settings, store, quiet=quiet)


def separated(arguments: Sequence[str]) -> list[str]:
    """The arguments of the program, with "--" before the script of `watch`, behind which no option is ours.

    >>> separated(["watch", "--every", "2", "train.py", "--every", "5", "--help"])
    ['watch', '--every', '2', '--', 'train.py', '--every', '5', '--help']
    >>> separated(["watch", "-m", "train", "--lr", "1"])
    ['watch', '-m', 'train', '--', '--lr', '1']
    >>> separated(["study", "--quick"])
    ['study', '--quick']
    """
    given = list(arguments)
    if given[:1] != ["watch"]:
        return given
    place = 1
    while place < len(given) and given[place].startswith("-"):
        if given[place] == "--":
            return given
        if given[place] == "-m":
            place += 2
            break
        place += 2 if given[place] in WITH_VALUE else 1
    return given if place >= len(given) else [*given[:place], "--", *given[place:]]
