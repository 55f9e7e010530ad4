"""The costly steps by case, kept in a folder of results so that a run goes on where it stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import torch

from .ours import table_of
from .population import population
from .published import DETECTORS
from .recipe import Case
from .record import record
from .repairs import REPAIRERS
from .scoring import PREFIXES
from .symptoms import symptoms
from .truth import plain, truth

Line = dict[str, object]


def alone() -> None:
    """One thread for every process."""
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def true_of(name: str) -> Line:
    """What experiments say of the case of this name."""
    return plain(truth(_named(name)))


def told_of(name: str) -> Line:
    """Its symptoms, and what the published detectors say of it after so many steps."""
    found = record(_named(name))
    return {
        "name": name,
        "symptoms": symptoms(found),
        "alarms": {
            title: {str(steps): detector(found.until(steps)) for steps in PREFIXES}
            for title, detector in DETECTORS.items()
        },
    }


def examined(name: str, folder: str) -> Line:
    """Its table by Evenflow's doctor, kept in the folder."""
    begun = time.process_time()
    table_of(_named(name), Path(folder))
    return {"name": name, "seconds": time.process_time() - begun}


def repaired_by(name: str, repairer: str, folder: str, budget: float) -> Line:
    """What a repairer makes of it, whose truth the folder holds."""
    return asdict(REPAIRERS[repairer](_named(name), kept(Path(folder) / "truth.jsonl")[name], budget))


def kept(path: Path) -> dict[str, Line]:
    """Lines by case, from a file; without the last one where the process was killed before it was through."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in _whole(path.read_text()).splitlines()]
    return {str(line["name"]): line for line in lines}


def _whole(text: str) -> str:
    return text[: text.rfind("\n") + 1]


def worked(
    cases: Sequence[Case], path: Path, step: Callable[[str], Line], jobs: int, advance: Callable[[], None]
) -> dict[str, Line]:
    """A step on every case that the file does not hold yet; each line is written as soon as it is there."""
    found = kept(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (text := path.read_text()).endswith("\n"):
        path.write_text(_whole(text))
    missing = [one.name for one in cases if one.name not in found]
    for _ in range(len(cases) - len(missing)):
        advance()
    with path.open("a") as file:
        for line in _each(missing, step, jobs):
            found[str(line["name"])] = line
            file.write(json.dumps(line) + "\n")
            file.flush()
            advance()
    return {one.name: found[one.name] for one in cases}


def _each(names: Sequence[str], step: Callable[[str], Line], jobs: int) -> Iterator[Line]:
    if jobs <= 1:
        alone()
        for name in names:
            yield step(name)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=alone) as pool:
        for future in as_completed([pool.submit(step, name) for name in names]):
            yield future.result()


def _named(name: str) -> Case:
    return next(one for one in population() if one.name == name)
