"""What watching a training costs: the step with a probe against the bare step, beside other ways to watch.

Every contender has its own copy of the same model, optimiser and data. In each round every one of a group makes
the same number of steps, in a random order, in one process with one thread on one core; the ratio of its CPU time
to the bare copy's is taken round by round. Told are the median of the ratios with a bootstrap 90 % interval, the
ratio of the totals, and the median ratio of wall times. A second bare copy shows the noise: a ratio within its
interval is no cost that can be seen. At most three contenders run beside the two bare copies; each such group has
a fresh process.

    python benchmarks/probe_overhead.py --workload W1 --rounds 60           about 4 minutes, most of them the peers
    python benchmarks/probe_overhead.py --only probe --json overhead.json
    python benchmarks/probe_overhead.py --memory                            bytes held instead of times

The other tools are no dependencies. Those that are installed are measured:

    pip install -c constraints.txt wandb tensorboard traintools torch-module-monitor monitorch delve lightning
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from overhead.comparison import compare
from overhead.jobs import SELECTABLE, Options
from overhead.remembrance import remember
from overhead.workloads import WORKLOADS
from rich.console import Console

from evenflow.errors import suggest
from evenflow.study.machine import machine, versions


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", nargs="+", choices=[*WORKLOADS], default=[*WORKLOADS])
    parser.add_argument("--rounds", type=int, default=60, help="of every group, after the warm-up")
    parser.add_argument("--warm-up", type=int, default=5, help="rounds that are dropped")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help=f"of: {', '.join(SELECTABLE)}")
    parser.add_argument("--only", metavar="WORD", default="", help="contenders with this word in their name")
    parser.add_argument("--base-width", type=int, default=16, help="channels of W2's first stage")
    parser.add_argument("--core", type=int, default=_last_core(), help="the core to run on")
    parser.add_argument("--memory", action="store_true", help="bytes held after a forward pass, not times")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    given = parser.parse_args()
    if given.rounds < 1 or given.warm_up < 0:
        parser.error("--rounds needs 1 at least, --warm-up 0 at least")
    chosen = given.contenders or [*SELECTABLE]
    for name in chosen:
        if name not in SELECTABLE:
            parser.error(f'--contenders: "{name}" is not known{suggest(name, SELECTABLE)}')
    contenders = [SELECTABLE[name] for name in chosen if given.only.lower() in name.lower()]
    if not contenders:
        parser.error(f'--only: none has "{given.only}" in its name; there are {", ".join(chosen)}')

    options = Options(given.rounds, given.warm_up, given.base_width, given.core)
    workloads = [WORKLOADS[name] for name in given.workload]
    console = Console()
    console.width = max(console.width, 132)  # the tables are wide, and are read from files
    figures = (remember if given.memory else compare)(workloads, contenders, options, console)
    if given.json:
        setting = {**asdict(options), "machine": machine(), "versions": versions()}
        given.json.write_text(json.dumps({**setting, "workloads": figures}) + "\n")
        console.print(f"every figure: {given.json}")


def _last_core() -> int:
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


if __name__ == "__main__":
    main()
