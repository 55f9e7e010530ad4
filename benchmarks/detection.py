"""How well trainings are diagnosed: Evenflow's rules and five published detectors on one population.

Nearly 1300 small trainings are drawn from factors (family, depth, width, activation, initialisation, normalisation,
optimiser, rate, data); most are changed by one of 140 mechanisms, faults and harmless oddities. What is true of
each is found by experiment: a fault counts if the twin without it does 10 points better (`ailments/truth.py`). Every
detector sees the first 200 steps. There are three draws. On the first, the calibration half, rules were made and
thresholds and confidences chosen. The half that is held back was drawn after that, of other recipes at other doses,
and with 24 mechanisms that the first does not have: it says how good the rules are, as long as nobody mends them by its
cases. Once rules have been mended by what its tables tell, its figures are no longer those of cases that nobody knows:
the third draw, made as the second was from seeds of its own, is for that. Of the second and the third, look at the
tables alone.

    python benchmarks/detection.py --results measured --quick     one case of each plan: about a third of the time
    python benchmarks/detection.py --results measured             all: about 90 minutes on one core; goes on
                                                                  where it stopped
    python benchmarks/detection.py --results measured --half calibration --errors errors.txt --fresh
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ailments import ours, tables
from ailments.mistakes import write_errors
from ailments.population import UNSEEN, half, population
from ailments.published import DETECTORS
from ailments.recipe import Case
from ailments.scoring import PREFIXES, Outcome, Score, score
from ailments.work import Line, examined, told_of, true_of, worked
from overhead.progress import bar
from rich.console import Console

from evenflow.diagnose.rules import RULES
from evenflow.study.machine import machine, versions

HALVES = ("calibration", "held back", "drawn afresh")
CHOICES = {name.replace(" ", "-"): name for name in HALVES}
OURS = "Evenflow"


def main() -> None:
    """Read the command line, experiment, judge, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="folder for all that is found")
    parser.add_argument("--half", choices=[*CHOICES, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="the first case of each plan alone")
    parser.add_argument("--only", metavar="WORD", default="", help="cases with this word in their name")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--fresh", action="store_true", help="let the doctor examine every case anew")
    parser.add_argument("--baselines", action="store_true", help="the published detectors alone, not ours")
    parser.add_argument("--errors", type=Path, metavar="FILE", help="write every wrong diagnosis here")
    given = parser.parse_args()
    if given.jobs < 1:
        parser.error("--jobs needs 1 at least")
    halves = HALVES if given.half == "all" else (CHOICES[given.half],)
    cases = [one for one in population() if half(one) in halves and given.only in one.name]
    if given.quick:
        cases = [one for one in cases if one.name == first_of_plan(one)]
    if not cases:
        parser.error(f'--only: no case has "{given.only}" in its name')
    console = Console()
    console.width = max(console.width, 140)  # the tables are wide, and are read from files
    if given.fresh:
        shutil.rmtree(given.results / "tables", ignore_errors=True)
        (given.results / "examined.jsonl").unlink(missing_ok=True)
    truths, outcomes = found(cases, given.results, given.jobs, console, with_ours=not given.baselines)
    counted = {
        word: sum(one["verdict"] == word for one in truths.values())
        for word in ("fault", "sound", "left out")
    }
    console.print(
        f"{len(cases)} trainings: " + ", ".join(f"{count} {word}" for word, count in counted.items())
    )
    report: dict[str, object] = {"counted": counted, "machine": machine(), "versions": versions()}
    for name, chosen in groups(cases).items():
        scores = [
            score(detector, [one for one in some if one.case in chosen], [*RULES])
            for detector, some in outcomes.items()
        ]
        report[name] = [asdict(one) for one in scores]
        show(scores, name, console, by_rule=name in HALVES)
        if name in HALVES:
            (given.results / f"{name.replace(' ', '-')}.md").write_text(tables.markdown(scores, name))
    (given.results / "scores.json").write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"every figure: {given.results / 'scores.json'}")
    if given.errors and not given.baselines:
        write_errors(given.errors, outcomes[OURS], truths, given.results)


def found(
    cases: Sequence[Case],
    results: Path,
    jobs: int,
    console: Console,
    *,
    with_ours: bool = True,
    prefixes: Sequence[int] = PREFIXES,
) -> tuple[dict[str, Line], dict[str, list[Outcome]]]:
    """Truths, and outcomes by detector."""
    with bar(console, "cases", (2 + with_ours) * len(cases)) as (advance, _):
        truths = worked(cases, results / "truth.jsonl", true_of, jobs, advance)
        judged = [one for one in cases if truths[one.name]["verdict"] != "left out"]
        told = worked(judged, results / "told.jsonl", told_of, jobs, advance)
        if with_ours:
            step = functools.partial(examined, folder=str(results / "tables"))
            worked(judged, results / "examined.jsonl", step, jobs, advance)
    outcomes: dict[str, list[Outcome]] = {detector: [] for detector in DETECTORS}
    if with_ours:
        outcomes = {OURS: [], **outcomes}
    for case in judged:
        line = told[case.name]
        for detector, alarms in line["alarms"].items():  # type: ignore[union-attr]
            by_steps = {int(steps): some for steps, some in alarms.items()}
            outcomes[detector].append(outcome(case, truths[case.name], line, by_steps))
        if with_ours:
            table = ours.table_of(case, results / "tables")
            cause = str(truths[case.name]["cause"])
            by_steps = {steps: ours.alarms(ours.findings(table, steps), cause) for steps in prefixes}
            outcomes[OURS].append(outcome(case, truths[case.name], line, by_steps))
    return truths, outcomes


def outcome(case: Case, true: Line, told: Line, alarms: dict[int, list[str]]) -> Outcome:
    """What is true of a case beside what a detector said of it."""
    if true["verdict"] == "sound":
        return Outcome(case.name, True, alarms=alarms)
    mechanism = case.mechanism
    assert mechanism is not None  # a case without one is sound or left out
    symptoms = {*mechanism.leads_to, *told["symptoms"]}  # type: ignore[misc]
    return Outcome(case.name, False, mechanism.cause, mechanism.names, tuple(sorted(symptoms)), alarms)


def groups(cases: Sequence[Case]) -> dict[str, set[str]]:
    """Names of the cases of each draw, and of those of mechanisms that the calibration half does not have."""
    found = {name: {one.name for one in cases if half(one) == name} for name in HALVES}
    new = {one.name for one in cases if one.mechanism and one.mechanism.name in UNSEEN}
    for name in HALVES[1:]:
        found[f"new mechanisms, {name}"] = new & found[name]
    return {name: some for name, some in found.items() if some}


def show(scores: Sequence[Score], name: str, console: Console, *, by_rule: bool = True) -> None:
    """The tables of one group of cases; by rule where there are enough."""
    console.print(tables.detectors(scores, f"{name}: share of faults and of sound trainings, 95 % intervals"))
    console.print(
        tables.steps(scores, f"{name}: share of faults whose cause is named first, after so many steps")
    )
    if not by_rule:
        return
    console.print(tables.rules(scores[0], f"{name}: {scores[0].detector} by rule"))
    console.print(tables.compared(scores, f"{name}: F1 by rule"))


def first_of_plan(case: Case) -> str:
    """Name of the first case of the same plan."""
    index = case.name.split("-")[1]
    return next(
        one.name for one in population() if one.name.split("-")[1] == index and half(one) == half(case)
    )


if __name__ == "__main__":
    main()
