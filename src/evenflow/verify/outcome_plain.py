"""An outcome as plain data and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from evenflow.diagnose.plain import plain
from evenflow.verify.outcome import Outcome, Trials

FORMAT = 1
"""Of the data; a number that grows when they change in a way that breaks readers."""


def to_dict(outcome: Outcome) -> dict[str, object]:
    """Plain data: dictionaries, lists, text and finite numbers."""
    chosen, paired = outcome.chosen, outcome.paired
    found = {
        "format": FORMAT,
        "repaired": outcome.repaired,
        "healthy": outcome.healthy,
        "reason": outcome.reason,
        "chosen": None
        if chosen is None
        else {
            "name": chosen.name,
            "remedy": chosen.remedy,
            "choice": chosen.choice,
            "title": chosen.title,
            "why": chosen.why,
            "sign": chosen.sign,
            "size": chosen.size,
            "inference": chosen.inference,
            "keeps_weights": chosen.keeps_weights,
        },
        "code": outcome.code,
        "diff": outcome.diff,
        "metric": outcome.table.metric,
        "trials": rows(outcome.table),
        "paired": None
        if paired is None
        else {
            "steps": paired.steps,
            "before": [paired.before[seed] for seed in paired.before],
            "after": [paired.after[seed] for seed in paired.before],
            "difference": asdict(paired.difference),
            "seconds_per_step_before": paired.seconds_before,
            "seconds_per_step_after": paired.seconds_after,
            "redrawn": paired.redrawn,
        },
        "reading": None if outcome.reading is None else asdict(outcome.reading),
        "not_tried": dict(outcome.withheld),
        "notes": list(outcome.notes),
        "steps": outcome.steps,
        "examined": outcome.examined,
        "seconds": outcome.seconds,
        "diagnosis": outcome.diagnosis.to_dict(),
    }
    return plain(found)


def to_json(outcome: Outcome) -> str:
    """Indented, in the letters of every language."""
    return json.dumps(to_dict(outcome), indent=2, ensure_ascii=False, allow_nan=False)


def rows(trials: Trials) -> list[dict[str, object]]:
    """The table, a dictionary a row."""
    return [plain(asdict(row)) for row in trials.rows]
