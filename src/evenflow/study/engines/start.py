"""Make a process ready for JAX before it is imported: one thread, whatever the number of cores."""

from __future__ import annotations

import os
import sys

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def one_thread() -> None:
    """Keep JAX to one thread, so that sums have one order whatever the number of cores.

    It has to be called before JAX is first used in the process; later it changes nothing.
    """
    if "jax" in sys.modules:
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if _ONE_THREAD not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_ONE_THREAD}".strip()
    os.environ["NPROC"] = "1"  # XLA's own name for the size of its pool
