"""`evenflow diagnose`: what is wrong with a training that was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from evenflow.diagnose.diagnosis import Diagnosis
    from evenflow.diagnose.finding import Severity

Format = Literal["text", "json", "html", "github"]
"""How a diagnosis is written."""

FailOn = Literal["fault", "risk", "information"]
"""The least severe finding that makes the exit code 1."""


def diagnose(
    store: Path,
    /,
    *,
    run: str | None = None,
    rule: Annotated[list[str] | None, Parameter(negative="")] = None,
    fail_on: FailOn | None = None,
    format: Annotated[Format, Parameter(alias="-f")] = "text",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
) -> int:
    """Say what is wrong with a training that was recorded: in which layers, since when, on what evidence.

    Findings come worst first; of those that hang together the root comes first, and what follows from it below. What
    could not be judged is named with the reason. The exit code is 0, or 1 with `--fail-on` where such a finding is.

    Examples:

        evenflow diagnose runs/train                    what was watched

        evenflow diagnose flow.sqlite --run train-2     one run of a store

        evenflow diagnose runs/train --fail-on fault    code 1 if there is one

        evenflow diagnose train -f github               as annotations

        evenflow diagnose train -f html -o page.html    as a page

    Parameters
    ----------
    store
        A store, a folder with one, or the name of a folder in runs.
    run
        Key of the run to judge. Default: every one of the store.
    rule
        Name or code of a rule to judge; may be given several times. Default: all of them.
    fail_on
        Exit with 1 where a finding is as severe as this: fault, risk or information.
    format
        text, json, html, or github for annotations.
    out
        Write there instead of printing.
    """
    from evenflow.cli.stores import store_in
    from evenflow.diagnose.engine import diagnose as judged
    from evenflow.diagnose.engine import diagnose_all

    path = store_in(store)
    diagnoses = list(diagnose_all(path, rules=rule)) if run is None else [judged(path, run=run, rules=rule)]
    if not diagnoses:
        judged(path)  # says that there is no run
    return tell(diagnoses, format=format, out=out, fail_on=fail_on, title=f"Diagnosis of {path}")


def tell(
    diagnoses: Sequence[Diagnosis], *, format: Format, out: Path | None, fail_on: Severity | None, title: str
) -> int:
    """Print or write diagnoses, and give the exit code: 1 where a finding is as severe as `fail_on`.

    Raises:
        SpecError: the file cannot be written.
    """
    from rich.console import Console

    if out is None and format == "text":
        console = Console(highlight=False)
        for diagnosis in diagnoses:
            console.print(diagnosis)
    else:
        write(_written(diagnoses, format, title), out, "diagnosis")
    return int(fail_on is not None and any(each.at_least(fail_on) for each in diagnoses))


def _written(diagnoses: Sequence[Diagnosis], format: Format, title: str) -> str:
    import json

    from evenflow.diagnose.html import page

    if format == "json":
        plain = [each.to_dict() for each in diagnoses]
        return json.dumps({"diagnoses": plain}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if format == "html":
        return page(diagnoses, title)
    lines = [
        line for each in diagnoses for line in (each.annotations() if format == "github" else [str(each)])
    ]
    return "".join(f"{line}\n" for line in lines)


def write(text: str, out: Path | None, what: str) -> None:
    """Print a text, or write it to a file and say so.

    Raises:
        SpecError: the file cannot be written.
    """
    from evenflow.cli.finish import say
    from evenflow.errors import SpecError

    if out is None:
        print(text, end="")
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"--out {out}: it cannot be written ({error.strerror}); give another file") from None
    say(f"{what}: {out}")
