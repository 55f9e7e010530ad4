"""`evenflow claims`: what textbooks say about gradient flow, tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from evenflow.cli.lists import whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evenflow.claims.claim import Claim
    from evenflow.claims.results import Result

claims = App(
    name="claims",
    help="What textbooks say about gradient flow, each sentence tried by an experiment.",
    help_epilogue="Example: `evenflow claims run half_are_zero` tries one, in a few seconds.",
    version_flags=[],
)

_STORE = Path("runs") / "claims" / "claims.json"

Store = Annotated[Path, Parameter(alias="-s")]
Json = Annotated[bool, Parameter(negative="")]


@claims.default
def show(name: str | None = None, /, *, store: Store = _STORE, json: Json = False) -> int:
    """List the claims with their last verdict, or say all about one.

    Examples:

        evenflow claims                  all, with the verdict where they were tried

        evenflow claims half_are_zero    one: what is done, and how it is judged

    Parameters
    ----------
    name
        Name of a claim.
    store
        The file of results, or its folder.
    json
        Print everything as JSON.
    """
    from rich.console import Console

    from evenflow.claims.results import latest, read
    from evenflow.claims.terminal import listing, page
    from evenflow.claims.textbook import CLAIMS, claims_named

    chosen = claims_named([] if name is None else [name])
    results = latest(read(_file(store)), CLAIMS)
    console = Console(highlight=False, markup=False)
    if json:
        _print_json(chosen, results)
    elif name is None:
        console.print(listing(chosen, results))
    else:
        for part in page(chosen[0], results.get(chosen[0].name)):
            console.print(part)
    return 0


@claims.command
def run(
    *names: str,
    full: Annotated[bool, Parameter(negative="")] = False,
    seed: Annotated[int, Parameter(converter=whole)] = 0,
    jobs: Annotated[int | None, Parameter(alias="-j", converter=whole)] = None,
    store: Store = _STORE,
    json: Json = False,
) -> int:
    """Try claims, and say of each whether it holds, under which conditions, is overstated, or wrong.

    Verdicts are computed from the figures. Stop it at any time: the same command goes on where it stopped, and a claim
    that has a result is not tried again.

    Examples:

        evenflow claims run                            all, in their quick form: under 3 minutes on 2 cores

        evenflow claims run half_are_zero --seed 7     one, with other draws

        evenflow claims run --full                     more seeds, larger networks: under 30 minutes

    Parameters
    ----------
    names
        Names of claims. Default: all.
    full
        More seeds, longer trainings and larger networks.
    seed
        Of every draw: another number gives other networks and other orders of the data.
    jobs
        Processes, each with one thread. Default: the cores of this machine.
    store
        The file that results are kept in, or its folder.
    json
        Print everything as JSON.
    """
    from rich.console import Console

    from evenflow.claims.claim import Settings
    from evenflow.claims.run import try_claims
    from evenflow.claims.terminal import verdicts
    from evenflow.claims.textbook import claims_named
    from evenflow.cli.finish import say
    from evenflow.cli.progress import counting
    from evenflow.errors import SpecError

    if seed < 0:
        raise SpecError(f"--seed {seed}: it is 0 or above")
    if jobs is not None and jobs < 1:
        raise SpecError(f"--jobs {jobs}: at least 1 process is needed")
    chosen, store = claims_named(names), _file(store)
    with counting(len(chosen), "claims tried") as progress:
        outcome = try_claims(chosen, Settings(full, seed), store, jobs=jobs, progress=progress)
    results = {one.claim: one for one in outcome.results}
    if json:
        _print_json([claim for claim in chosen if claim.name in results], results)
    else:
        Console(highlight=False, markup=False).print(verdicts(chosen, results))
        kept = len(results) - len([name for name in outcome.tried if name in results])
        again = f"; {kept} of them from before, which are not tried again" if kept else ""
        say(f"Results: {store}{again}")
    for name, message in outcome.failed.items():
        say(f"claim {name} could not be tried: {message}")
    return 1 if outcome.failed else 0


def _file(store: Path) -> Path:
    return store / _STORE.name if store.is_dir() else store


def _print_json(chosen: Sequence[Claim], results: Mapping[str, Result]) -> None:
    from json import dumps

    from evenflow.claims.plain import plain

    told = [plain(claim, results.get(claim.name)) for claim in chosen]
    print(dumps({"claims": told}, indent=2, ensure_ascii=False, allow_nan=False))
