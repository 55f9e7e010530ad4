"""The textbooks' solutions, measured: fault × remedy → effect, for the documentation's chapter on remedies.

Fully connected networks with one fault each, and recurrent networks on sequences of several lengths, are trained as
they are and with every remedy, from equal seeds on equal batches. All is kept in the folder of results; the command
goes on where it stopped. The figures by seed go into one small file, from which the pages are made.

    python benchmarks/remedies.py --results runs/textbook                            about 12 minutes on one core
    python benchmarks/remedies.py --results runs/textbook --only deep_sigmoid        one fault, nothing written
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from overhead.progress import bar
from rich.console import Console
from textbook.faults import FAULTS
from textbook.results import definition, of_fault, of_sequences, text
from textbook.sequences import CHANGES, SEQUENCES
from textbook.sequences import SEEDS as SEQUENCE_SEEDS

from evenflow.study.machine import machine, versions

COMMAND = "python benchmarks/remedies.py --results runs/textbook"
OUT = Path(__file__).parents[1] / "docs" / "remedies" / "measured.json"


def main() -> None:
    """Read the command line, train, and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="folder for all that is trained")
    parser.add_argument("--out", type=Path, default=OUT, help="file of the figures; default: %(default)s")
    parser.add_argument("--only", metavar="NAME", default="", help="one fault alone; no file is written")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    given = parser.parse_args()
    if given.jobs < 1:
        parser.error("--jobs needs 1 at least")
    names = [one.name for one in (*FAULTS, *SEQUENCES)]
    if given.only and given.only not in names:
        parser.error(f'--only: no fault "{given.only}"; known: {", ".join(names)}')
    given.results.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    trials = []
    for fault in FAULTS:
        if given.only in ("", fault.name):
            total = len(fault.study.cells()) + len(fault.study.remedied_cells())
            with bar(console, f"trainings of {fault.name}", total) as (_, at):
                trials += of_fault(fault, given.results, given.jobs, at)
            console.print(f"{fault.name}: {total} trainings")
    for one in SEQUENCES:
        if given.only in ("", one.name):
            with bar(console, f"trainings of {one.name}", (len(CHANGES) + 1) * SEQUENCE_SEEDS) as (more, _):
                trials += of_sequences(one, given.results, more)
            console.print(f"{one.name}: done")
    if given.only:
        return
    facts = {
        "command": COMMAND,
        "date": date.today().isoformat(),
        "definition": definition(),
        "machine": machine(),
        "versions": versions(),
        "seeds": {"fully connected": len(FAULTS[0].study.seed_list), "recurrent": SEQUENCE_SEEDS},
        "titles": {one.name: one.title for one in (*FAULTS, *SEQUENCES)},
        "faults": {one.name: one.what for one in (*FAULTS, *SEQUENCES)},
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text(trials, facts), encoding="utf-8")
    console.print(f"figures: {given.out}")


if __name__ == "__main__":
    main()
