"""Milliseconds per recorded step of 50 sites × 10 statistics, and the time to read 200,000 rows × 20 columns.

    python benchmarks/store.py [--rounds N]

The baseline for writing is what one would write first: long rows (run, step, site, statistic, value) in plain
SQLite, one transaction a step, with the same WAL settings. For reading it is the same wide rows fetched at once
and turned into one NumPy array, without runs, sites and phases. All designs take turns within one run, so that
a busy machine slows each alike; the ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evenflow.record import STATISTICS, Site, Statistic, Store, register_statistic

SITES = 50
STEPS_A_ROUND = 20
NAMES = [name for name in STATISTICS if name not in ("loss", "accuracy", "recall")][:10]


def figures(count: int, names: list[str]) -> list[list[tuple[Site, str, dict[str, float]]]]:
    """Rows of `count` steps; the figures differ, as real ones do."""
    draws = np.random.default_rng(0).normal(size=(count, SITES, len(names)))
    sites = [Site(f"hidden_{layer}.weight", "weight", layer, 128) for layer in range(1, SITES + 1)]
    return [
        [
            (site, "accumulated", dict(zip(names, row, strict=True)))
            for site, row in zip(sites, step.tolist(), strict=True)
        ]
        for step in draws
    ]


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def write(folder: Path, rounds: int) -> None:
    long = sqlite3.connect(folder / "long.db", isolation_level=None)
    long.execute("PRAGMA journal_mode = WAL")
    long.execute("PRAGMA synchronous = NORMAL")
    long.execute(
        "CREATE TABLE record (run INTEGER, step INTEGER, site TEXT, statistic TEXT, value REAL, "
        "PRIMARY KEY (run, step, site, statistic))"
    )

    def long_rows(step: int, rows: list[tuple[Site, str, dict[str, float]]]) -> None:
        long.execute("BEGIN IMMEDIATE")
        long.executemany(
            "INSERT OR REPLACE INTO record VALUES (0, ?, ?, ?, ?)",
            [(step, site.name, name, value) for site, _, row in rows for name, value in row.items()],
        )
        long.execute("COMMIT")

    times: dict[str, list[float]] = {"evenflow store": [], "plain long rows": []}
    with Store.open(folder / "wide.db", "a") as store:
        run = store.begin("benchmark", 0, {})
        for round_ in range(rounds):
            for offset, rows in enumerate(figures(STEPS_A_ROUND, NAMES)):
                step = round_ * STEPS_A_ROUND + offset
                times["evenflow store"].append(milliseconds(lambda s=step, r=rows: store.append(run, s, r)))
                times["plain long rows"].append(milliseconds(lambda s=step, r=rows: long_rows(s, r)))
    long.close()
    print(f"write one step of {SITES} sites x {len(NAMES)} statistics ({rounds * STEPS_A_ROUND} steps)")
    report(times, "plain long rows")


def read(folder: Path, rounds: int) -> None:
    names = list(STATISTICS)
    for number in range(20 - len(names)):
        extra = f"extra_{number}"
        register_statistic(Statistic(extra, "stands for one more column", "x", "1", "sum", "nothing"))
        names.append(extra)
    path = folder / "read.db"
    with Store.open(path, "a") as store:
        steps = figures(100, names)
        for run in range(40):
            number = store.begin(f"run {run}", run, {"activation": "relu"})
            for step, rows in enumerate(steps):
                store.append(number, step, rows)

    def plain() -> None:
        connection = sqlite3.connect(path)
        np.array(connection.execute("SELECT * FROM record").fetchall(), dtype=np.float64)
        connection.close()

    def ours() -> None:
        with Store.open(path) as store:
            store.table()

    times: dict[str, list[float]] = {"evenflow store": [], "plain fetchall": []}
    for _ in range(rounds):
        times["evenflow store"].append(milliseconds(ours))
        times["plain fetchall"].append(milliseconds(plain))
    print(f"read 200,000 rows x {len(names)} statistics ({rounds} rounds)")
    report(times, "plain fetchall")


def report(times: dict[str, list[float]], baseline: str) -> None:
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, times[baseline], strict=True))
        print(f"  {name:16} median {statistics.median(values):9.3f} ms   x {ratio:.2f} of {baseline}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=50, help="rounds of 20 steps; reading takes a tenth of them"
    )
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rounds)
        read(Path(folder), max(3, rounds // 10))


if __name__ == "__main__":
    main()
