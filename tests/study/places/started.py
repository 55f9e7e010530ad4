"""Studies as processes of their own, to be interrupted, and what they have to give in the end."""

import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from evenflow import Store, StoreError, Table, read_study, run_study

LONG = 2000
SPECIFICATION = """
name = "tiny"
seeds = 2
record_every = 5
modules = ["bent.py"]
[network]
depth = 2
width = 8
[data]
name = "digits"
[training]
steps = {steps}
batch = 64
[grid]
activation = ["relu", "bent_of_places"]
"""

MODULE = """
import numpy as np
import evenflow as ef

ef.register_activation("bent_of_places", lambda z: (np.sqrt(z * z + 1) - 1) / 2 + z)
"""

Start = Callable[..., subprocess.Popen]


def write(folder: Path, steps: int) -> Path:
    """The file of a study of so many steps, with an activation of its own beside it."""
    (folder / "bent.py").write_text(MODULE)
    path = folder / f"{steps}.toml"
    path.write_text(SPECIFICATION.format(steps=steps))
    return path


def read(folder: Path) -> Table:
    """The table of a study that was run into a folder."""
    with Store.open(folder / "study.sqlite") as store:
        return store.table()


def whole_table(folder: Path) -> Table:
    """What processes of this machine give without any interruption; computed once."""
    return _whole(folder.parent)


@cache
def _whole(folder: Path) -> Table:
    run_study(read_study(write(folder, LONG)), folder / "whole" / "study.sqlite", jobs=1)
    return read(folder / "whole")


def wait_until_begun(folder: Path) -> None:
    """Until the first network of the study that is run into a folder is in training."""
    for _ in range(1200):
        if (folder / "study.sqlite").exists():
            try:
                with Store.open(folder / "study.sqlite") as store:
                    if any(run.status == "running" for run in store.runs()):
                        return
            except StoreError:  # not yet a store: it is being made
                pass
        time.sleep(0.05)
    raise AssertionError("the study did not begin")
