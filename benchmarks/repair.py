"""How many faulty trainings are repaired: Evenflow's `fix` and AUTOTRAINER's fixed order of solutions, side by side.

Over the faults of the detection benchmark's population (`detection.py`), whose truth is known by experiment: each is
repaired, and what is recommended is trained from the start for 400 steps. It counts as repaired if it comes within 2
points (of accuracy, or of the explained share of the variance) of the twin without the fault. Both repairers see the
first 200 steps, have the same batches and the same seconds of the processor. AUTOTRAINER is told the score to reach,
which Evenflow is not; its rules read accuracies, so regressions are beyond it. Over the sound trainings the question
is how often nothing is said to need a change, and whether any of them is made worse.

Faults that are no matter of the training (targets of other samples, inputs without content: cause "loss_plateau")
are told apart: no change to the training puts into the data what is not in them. Weight decay and dropout beyond
what the loss can bear, which have that cause as well, are among the others.

    python benchmarks/repair.py --results measured --quick              one case of each plan
    python benchmarks/repair.py --results measured --half calibration   about an hour on one core; goes on where
                                                                        it stopped
"""

from __future__ import annotations

import argparse
import functools
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ailments.population import half, population
from ailments.recipe import Case
from ailments.repair_tables import causes, markdown, repairers, sound
from ailments.repairs import REPAIRERS
from ailments.result import Result, results
from ailments.work import Line, kept, repaired_by, true_of, worked
from detection import first_of_plan
from overhead.progress import bar
from rich.console import Console

from evenflow.study.machine import machine, versions

HALVES = {"calibration": "calibration", "held-back": "held back"}


def main() -> None:
    """Read the command line, repair, count, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results", type=Path, required=True, help="folder for all that is found, that of detection.py"
    )
    parser.add_argument("--half", choices=[*HALVES, "both"], default="both")
    parser.add_argument("--quick", action="store_true", help="the first case of each plan alone")
    parser.add_argument("--only", metavar="WORD", default="", help="cases with this word in their name")
    parser.add_argument("--by", choices=[*REPAIRERS, "both"], default="both", help="who repairs")
    parser.add_argument(
        "--of", choices=["fault", "sound", "both"], default="both", help="which cases, by their truth"
    )
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of the processor for one repair")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--fresh", action="store_true", help="repair every case anew")
    parser.add_argument(
        "--so-far", action="store_true", help="repair nothing, and count what the folder holds"
    )
    given = parser.parse_args()
    if given.jobs < 1:
        parser.error("--jobs needs 1 at least")
    if not given.budget > 0:
        parser.error("--budget needs more than 0 seconds")
    halves = [*HALVES.values()] if given.half == "both" else [HALVES[given.half]]
    cases = [one for one in population() if half(one) in halves and given.only in one.name]
    if given.quick:
        cases = [one for one in cases if one.name == first_of_plan(one)]
    random.Random(0).shuffle(cases)  # what a run has done that is cut short is a fair sample
    if not cases:
        parser.error(f'--only: no case has "{given.only}" in its name')
    console = Console()
    console.width = max(console.width, 140)  # the tables are wide, and are read from files
    chosen = [*REPAIRERS] if given.by == "both" else [given.by]
    if given.fresh:
        for one in chosen:
            lines_of(given.results, one).unlink(missing_ok=True)
    if given.so_far:
        truths = kept(given.results / "truth.jsonl")
        lines = {one: kept(lines_of(given.results, one)) for one in chosen}
    else:
        truths, lines = found(cases, given.results, chosen, given.of, given.budget, given.jobs, console)
    report: dict[str, object] = {"machine": machine(), "versions": versions(), "budget": given.budget}
    for name in halves:
        some = {
            repairer: results([one for one in cases if half(one) == name], truths, lines[repairer])
            for repairer in chosen
        }
        if any(some.values()):
            show(some, name, console)
            report[name] = {repairer: [asdict(one) for one in each] for repairer, each in some.items()}
            (given.results / f"repair-{name.replace(' ', '-')}.md").write_text(markdown(some, name))
    (given.results / "repair.json").write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"every figure: {given.results / 'repair.json'}")


def found(
    cases: Sequence[Case],
    folder: Path,
    repairers: Sequence[str],
    verdict: str,
    budget: float,
    jobs: int,
    console: Console,
) -> tuple[dict[str, Line], dict[str, dict[str, Line]]]:
    """Truths, and repairs by repairer and case; the published one is not let loose on sound trainings."""
    with bar(console, "cases", (1 + len(repairers)) * len(cases)) as (advance, _):
        truths = worked(cases, folder / "truth.jsonl", true_of, jobs, advance)
        wanted = ("fault", "sound") if verdict == "both" else (verdict,)
        lines = {}
        for repairer in repairers:
            asked = wanted if repairer == "Evenflow" else [one for one in wanted if one == "fault"]
            some = [one for one in cases if truths[one.name]["verdict"] in asked]
            step = functools.partial(repaired_by, repairer=repairer, folder=str(folder), budget=budget)
            lines[repairer] = worked(some, lines_of(folder, repairer), step, jobs, advance)
    return truths, lines


def lines_of(folder: Path, repairer: str) -> Path:
    """Where the repairs of one repairer are kept."""
    return folder / f"repaired-{repairer.lower()}.jsonl"


def show(some: dict[str, list[Result]], name: str, console: Console) -> None:
    """The tables of one half."""
    console.print(repairers(some, f"{name}: faulty trainings, 95 % intervals"))
    console.print(causes(some, f"{name}: share repaired, by cause"))
    for repairer, each in some.items():
        if any(one.verdict == "sound" for one in each):
            console.print(sound(each, f"{name}: sound trainings, {repairer}"))


if __name__ == "__main__":
    main()
