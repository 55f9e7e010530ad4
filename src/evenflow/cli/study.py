"""`evenflow study`: train networks side by side and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from evenflow.spec.study import Study


def study(
    specification: Path | None = None,
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    jobs: Annotated[int | None, Parameter(alias="-j")] = None,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    figures: Path | None = None,
    engine: Annotated[Literal["auto", "jax", "torch"], Parameter(show_choices=True)] = "auto",
    on: str = "local",
    show: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train networks side by side and follow the gradient of every layer.

    Ends with a table and the path of one HTML file. Stop it at any time: the same command goes on where it
    stopped, and cells that are finished are not run again.

    Examples:

        evenflow study                      the default study, about 3 minutes on 2 cores
        evenflow study --quick              a small one, under 40 seconds
        evenflow study --show > my.toml     write a specification to start from
        evenflow study my.toml --jobs 4     run your own with 4 processes
        evenflow study --engine torch       one network at a time, in plain PyTorch
        evenflow study --on ray=HEAD:6379   on the machines of a Ray cluster
        evenflow study --on slurm -j 32     as 32 jobs of Slurm at a time

    With remedies = ["all"] in the file, or a list of names, every network is trained as it is and with each remedy
    that can be carried out on it, and a table says what each did:

        name = "repair"
        remedies = ["add_normalisation", "change_activation:relu+he"]
        [network]
        activation = "sigmoid"

    Besides fully connected networks a study trains recurrent ones,

        name = "memory"
        [network]
        family = "recurrent"
        [data]
        name = "first_symbol"
        [grid]
        cell = ["rnn", "lstm", "gru"]

    convolutional ones,

        name = "images"
        [network]
        family = "convolutional"
        depth = 4
        pooling = 2

    and Transformers, or all of them side by side with family in [grid]:

        name = "tokens"
        [network]
        family = "transformer"
        [grid]
        residual = ["pre", "post"]

    Parameters
    ----------
    specification
        A TOML file; the default study when left out.
    quick
        Run the small built-in study instead.
    jobs
        Processes, each with one thread. Default: the cores of this machine. With --on: networks, or groups of them,
        at once; default: the cores of the Ray cluster, or 16 jobs of Slurm.
    out
        Folder of the results. Default: runs/NAME, from the specification's name.
    figures
        Also write every figure as PNG and SVG into this folder (needs Chrome or Chromium).
    engine
        What trains: torch, one network at a time; jax, networks of one shape together, 2 to 6 times as fast; auto, jax
        where it is installed (pip install 'evenflow[fast]'), can and pays. Both give the same figures to rounding.
    on
        Where: local, the processes of --jobs; ray, a Ray cluster that this machine belongs to or else one started here,
        or ray=HOST:PORT; slurm, or slurm=FOLDER, a folder that all machines see. The results are written here, and a
        study begun in one place goes on in another.
    show
        Print the specification with every default spelt out, and run nothing.
    """
    from evenflow.cli.finish import finish, say
    from evenflow.cli.progress import StudyProgress
    from evenflow.errors import SpecError
    from evenflow.spec.files import study_to_text
    from evenflow.study.places.place import where

    if quick and specification:
        raise SpecError("--quick is a study of its own; leave it out, or leave out the file")
    if jobs is not None and jobs < 1:
        raise SpecError(f"--jobs {jobs}: at least 1 process is needed")
    where(on)
    chosen = _read(specification, quick)
    if show:
        print(study_to_text(chosen), end="")
        return 0

    from evenflow.study.engines.choice import choices, in_words
    from evenflow.study.run import plan, run_study

    folder = out or Path("runs") / chosen.name
    originals, remedied = plan(chosen)
    say(_plan_in_words(chosen, len(originals), len(remedied)))
    say(in_words(choices((*originals, *remedied), engine)))
    with StudyProgress() as progress:
        outcome = run_study(
            chosen,
            folder / "study.sqlite",
            jobs=jobs,
            progress=progress,
            predicting=progress.predicted,
            engine=engine,
            on=on,
            tell=progress.say,
        )
    finish(folder, figures)
    for key, message in outcome.failed.items():
        say(f"cell {key} failed: {message}")
    return 1 if outcome.failed else 0


def _read(specification: Path | None, quick: bool) -> Study:
    from importlib.resources import files

    from evenflow.spec.files import read_study, study_from_text

    if specification:
        return read_study(specification)
    name = "quick.toml" if quick else "default.toml"
    text = (files("evenflow.study") / name).read_text(encoding="utf-8")
    return study_from_text(text, name, Path())


def _plan_in_words(study: Study, cells: int, remedied: int) -> str:
    parts = [f"{len(values)} × {key}" for key, values in study.grid.items()]
    parts.append(f"{len(study.seed_list)} seed{'s' if len(study.seed_list) > 1 else ''}")
    text = f"{study.name}: {cells} networks ({', '.join(parts)}), {study.training.steps} steps each"
    if not study.remedies:
        return text
    trials = [changed for _, _, changed in study.trials()]
    fit = sum(not isinstance(one, str) for one in trials)
    return (
        f"{text}\nremedies: {fit} of {len(trials)} can be carried out, {remedied} networks more; "
        f"{cells + remedied} trainings in all"
    )
