"""How long `evenflow --help` and `import evenflow` take beyond a bare interpreter.

Interleaved runs of whole processes; medians with the middle half of the differences.

    python benchmarks/start.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 21
COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import evenflow": ["-c", "import evenflow"],
    "evenflow --help": ["-m", "evenflow", "--help"],
    "evenflow study --help": ["-m", "evenflow", "study", "--help"],
    "baseline: import numpy": ["-c", "import numpy"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one interpreter with these arguments."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for name, arguments in [*COMMANDS.items()] * ROUNDS:
        times[name].append(seconds(arguments))
    bare = times["bare interpreter"]
    print(f"{'':24} {'median s':>9} {'beyond bare':>12}   middle half   ({ROUNDS} interleaved rounds)")
    for name, values in times.items():
        beyond = [mine - base for mine, base in zip(values, bare, strict=True)]
        low, middle, high = statistics.quantiles(beyond, n=4)
        print(f"{name:24} {statistics.median(values):9.3f} {middle:12.3f}   {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
