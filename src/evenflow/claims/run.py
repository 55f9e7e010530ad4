"""Try claims: side by side in processes, those that measure time one by one, each kept as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evenflow.claims import results
from evenflow.claims.claim import Claim, Settings
from evenflow.claims.figure import Figures
from evenflow.claims.results import Result
from evenflow.record.lock import lock

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Tried:
    """What a call of `try_claims` did.

    Args:
        results: of every claim asked for that has one, in the order asked for.
        tried: names of the claims that were tried now; the others had a result already.
        failed: name -> message of the claims whose experiment could not be run.
    """

    results: tuple[Result, ...]
    tried: tuple[str, ...]
    failed: dict[str, str]


def try_claims(
    claims: Sequence[Claim],
    settings: Settings,
    path: Path,
    *,
    jobs: int | None = None,
    progress: Told | None = None,
) -> Tried:
    """Run the experiment of every claim that the file at `path` holds no result of, as the claim now is.

    Args:
        claims: which.
        settings: quick or full, and the seed.
        path: the results; other results in it stay, except older ones of the same claim and settings.
        jobs: processes, each with one thread; when left out, the number of cores.
        progress: called with how many of how many claims are done.

    Raises:
        StoreError: the file is in use, holds something else, or cannot be written. What was tried before is kept.
    """
    from loky.process_executor import BrokenProcessPool

    from evenflow.study.machine import machine, usable_cores, versions

    jobs = jobs or usable_cores()
    failed: dict[str, str] = {}
    with lock(path):
        kept = list(results.read(path))
        have = {one.claim for claim in claims for one in kept if one.answers(claim, settings)}
        waiting = [claim for claim in claims if claim.name not in have]
        done = len(claims) - len(waiting)
        say = progress or _nothing
        say(done, len(claims))

        def ended(claim: Claim, outcome: Callable[[], tuple[Figures, float]]) -> None:
            nonlocal done
            try:
                figures, seconds = outcome()
            except BrokenProcessPool:
                raise  # `side_by_side` names the claims whose process was killed; they are tried again
            except (
                Exception
            ) as error:  # an experiment that cannot be run on this machine is no reason to stop
                failed[claim.name] = f"{type(error).__name__}: {error}"
            else:
                result = Result(
                    claim.name,
                    claim.hash,
                    settings.full,
                    settings.seed,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    round(seconds, 2),
                    machine(),
                    versions(),
                    results.readings(figures),
                )
                kept[:] = [one for one in kept if not _replaces(result, one)] + [result]
                results.write(path, kept)
            done += 1
            say(done, len(claims))

        _run(waiting, settings, jobs, ended)
    found = {one.claim: one for claim in claims for one in kept if one.answers(claim, settings)}
    return Tried(
        tuple(found[claim.name] for claim in claims if claim.name in found),
        tuple(claim.name for claim in waiting),
        failed,
    )


Ended = Callable[[Claim, Callable[[], tuple[Figures, float]]], None]


def _run(waiting: Sequence[Claim], settings: Settings, jobs: int, ended: Ended) -> None:
    together = [claim for claim in waiting if not claim.alone]
    apart = [claim for claim in waiting if claim.alone]
    if min(jobs, len(together)) <= 1:
        apart = [*together, *apart]
    else:
        from evenflow.study.pool import side_by_side

        work = [(claim, (claim.name, settings)) for claim in together]
        killed = side_by_side(experiment, work, jobs, ended, lambda: None)
        apart = [*killed, *apart]
    for claim in apart:
        ended(claim, lambda claim=claim: measured(claim, settings))


def experiment(name: str, settings: Settings) -> tuple[Figures, float]:
    """Figures and processor seconds of the experiment of one claim, in a process of its own."""
    from evenflow.claims.textbook import CLAIMS

    return measured(CLAIMS[name], settings)


def measured(claim: Claim, settings: Settings) -> tuple[Figures, float]:
    """Figures and processor seconds of one experiment, with one thread and PyTorch's state left as it was."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            begun = time.process_time()
            figures = claim.experiment(settings)
            return figures, time.process_time() - begun
    finally:
        torch.set_num_threads(threads)


def _nothing(_done: int, _total: int) -> None:
    pass


def _replaces(new: Result, old: Result) -> bool:
    return (new.claim, new.full, new.seed) == (old.claim, old.full, old.seed)
