"""Figures by seed of every fault with every remedy, from the stores of the studies, and as one small file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenflow.compare.figures import Result
from evenflow.compare.remedies import effects, has_come
from evenflow.compare.summary import by_fields, text_of
from evenflow.record.store import Store
from evenflow.report.remedies import changes_words
from evenflow.spec.content import content_hash
from evenflow.spec.specification import Specification
from evenflow.study.run import run_study

from . import sequences
from .faults import FAULTS, Fault
from .sequences import Sequences

Trial = dict[str, Any]


def definition() -> str:
    """A hash of all that decides the figures: it changes where a fault, a remedy or a setting does."""
    studies = [
        [original.fields, name, changed if isinstance(changed, str) else changed.fields]
        for fault in FAULTS
        for original, name, changed in fault.study.trials()
    ]
    return content_hash([studies, [len(fault.study.seed_list) for fault in FAULTS], sequences.definition()])


def of_fault(fault: Fault, folder: Path, jobs: int, done: Callable[[int], None]) -> list[Trial]:
    """Train what its store does not hold yet, and give its trials."""
    path = folder / fault.name / "study.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    ended = ("finished", "diverged", "failed")
    outcome = run_study(
        fault.study,
        path,
        jobs=jobs,
        progress=lambda runs: done(sum(run.status in ended for run in runs)),
    )
    if outcome.failed:
        raise SystemExit(f"{fault.name}: {next(iter(outcome.failed.values()))}")
    with Store.open(path) as store:
        table = store.table(outcome.keys)
    results = by_fields(table, fault.study.target_accuracy)
    seen = {one.remedy: one for one in effects(table, fault.study)}
    found = []
    for original, name, changed in fault.study.trials():
        trial: Trial = {"fault": fault.name, "remedy": name}
        if not isinstance(changed, Specification):
            found.append(trial | {"why_not": changed})
            continue
        before, after = (results[text_of(one.fields)] for one in (original, changed))
        found.append(
            trial
            | _figures("before", before)
            | _figures("after", after)
            | {"changes": changes_words(seen[name]), "sign": seen[name].sign, "seen": seen[name].seen}
        )
    return found


def of_sequences(one: Sequences, folder: Path, done: Callable[[], None]) -> list[Trial]:
    """Train what the folder does not hold yet, and give its trials."""
    path = folder / f"{one.name}.json"
    key = content_hash([sequences.definition(), one.name])
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if known.get("definition") != key:
        known = {"definition": key}
    for name in ("", *sequences.CHANGES):
        if name not in known:
            measured = sequences.measured(one, name, done)
            known[name] = (
                measured if isinstance(measured, str) else [list(map(written, some)) for some in measured]
            )
            path.write_text(json.dumps(known), encoding="utf-8")
    accuracies, ratios = known[""]
    found = []
    for name in sequences.CHANGES:
        trial: Trial = {"fault": one.name, "remedy": name}
        if isinstance(known[name], str):
            found.append(trial | {"why_not": known[name]})
            continue
        was, now = (_mean_size(some) for some in (ratios, known[name][1]))
        promises = was > 1 and name != "clip_gradients:norm"
        found.append(
            trial
            | {"before": accuracies, "ratio_before": ratios}
            | {"after": known[name][0], "ratio_after": known[name][1], "changes": ""}
            | {"sign": "gradient_ratio", "seen": has_come("gradient_ratio", was, now)}
            if promises
            else trial
            | {"before": accuracies, "ratio_before": ratios}
            | {
                "after": known[name][0],
                "ratio_after": known[name][1],
                "changes": "",
                "sign": "",
                "seen": None,
            }
        )
    return found


def text(trials: Sequence[Trial], facts: Mapping[str, object]) -> str:
    """One trial a line below the facts, as JSON."""
    lines = ",\n".join(f"  {json.dumps(trial, ensure_ascii=False, allow_nan=False)}" for trial in trials)
    head = json.dumps(dict(facts), ensure_ascii=False, indent=1)
    return f'{head.removesuffix("}").rstrip()},\n "trials": [\n{lines}\n ]\n}}\n'


def written(value: float) -> float | str | None:
    """A figure in JSON, which knows no infinity: as a word; null for one that was not measured."""
    if math.isnan(value):
        return None
    return round(value, 4) if math.isfinite(value) else str(value)


def read(value: float | str | None) -> float:
    """The figure again."""
    return math.nan if value is None else float(value)


def _figures(which: str, results: Mapping[int, Result]) -> Trial:
    seeds = sorted(results)
    ratio = "ratio_before" if which == "before" else "ratio_after"
    return {
        which: [written(results[seed].outcome.test_accuracy) for seed in seeds],
        ratio: [written(results[seed].flow.start.log_ratio) for seed in seeds],
    }


def _mean_size(values: Sequence[float | str | None]) -> float:
    sizes = [abs(read(one)) for one in values if one is not None]
    return sum(sizes) / len(sizes) if sizes else math.nan
