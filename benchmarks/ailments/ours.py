"""Evenflow's own findings: the doctor's table of a case, kept, and the rules' findings on it.

`ef.doctor` is an examination, which trains, and a diagnosis of its table; the two halves are called one by one so
that the rules can be judged anew, and on the first steps alone, without training again. What the doctor may
take is counted in seconds of the processor: on a machine that is busy with other things it finds the same.
"""

from __future__ import annotations

import pickle
import time
import warnings
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from .recipe import Case
from .trial import built

STEPS = 200


def table_of(case: Case, folder: Path | None = None) -> object:
    """What the doctor records of a case, from the folder where it is there."""
    path = folder / f"{case.name}.pickle" if folder else None
    if path and path.exists():
        return pickle.loads(path.read_bytes())
    from evenflow.doctor.examine import examine

    training = built(case)
    with warnings.catch_warnings(), patch("time.perf_counter", time.process_time):
        warnings.simplefilter("ignore")
        table = examine(
            training.model,
            training.batches,
            training.loss,
            training.optimiser,
            steps=STEPS,
            scheduler=training.scheduler,
            clip_norm=training.clip_norm,
        )
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_bytes(pickle.dumps(table))
        path.with_suffix(".part").rename(path)
    return table


def findings(table: object, steps: int = STEPS) -> list[dict[str, object]]:
    """All findings on the first steps, the first one first."""
    from evenflow.diagnose.engine import diagnose

    diagnosis = diagnose(table if steps >= STEPS else shortened(table, steps))  # type: ignore[arg-type]
    return [
        {
            "rule": one.rule,
            "severity": one.severity,
            "confidence": one.confidence,
            "root": one.root,
            "sites": list(one.sites[:3]),
            "message": one.message,
        }
        for one in diagnosis.findings
    ]


def shortened(table: object, steps: int) -> object:
    """The table as it would be after so many steps: later rows dropped, twins cut, what shows later forgotten."""
    from evenflow.record.table import Table
    from evenflow.spec.setting import NAN, Setting

    assert isinstance(table, Table)
    rows = table.index["step"] < steps
    index = {name: values[rows] for name, values in table.index.items()}
    figures = {name: values[rows] for name, values in table.figures.items()}
    runs = []
    for run in table.runs:
        setting = Setting.from_facts(dict(run.facts))
        twins = tuple(
            replace_struct(one, loss=one.loss[:steps], score=NAN, later_loss=(), later_score=NAN)
            if len(one.loss) > steps
            else one
            for one in setting.twins
        )
        late = setting.origin_step >= steps
        setting = replace_struct(
            setting,
            twins=twins,
            origin="" if late else setting.origin,
            origin_step=-1 if late else setting.origin_step,
        )
        runs.append(replace(run, facts={**dict(run.facts), **setting.to_facts()}))
    return Table(tuple(runs), table.sites, index, figures)


def replace_struct(struct: object, **changes: object) -> object:
    """Another frozen struct with these fields changed."""
    import msgspec

    return msgspec.structs.replace(struct, **changes)  # type: ignore[type-var]


def alarms(found: list[dict[str, object]], cause: str = "") -> list[str]:
    """Rules of the faults, the first one first.

    A loss that stands still for reasons beyond the gradient's is at most a risk, by design: in a case of that cause
    the risk counts as an alarm.
    """
    return [
        str(one["rule"])
        for one in found
        if one["severity"] == "fault"
        or (one["severity"] == "risk" and one["rule"] == cause == "loss_plateau")
    ]
