"""What a result was measured on: the machine and the versions, as plain data for the store."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("evenflow", "torch", "numpy", "scipy", "scikit-learn")


def machine() -> dict[str, object]:
    """System, processor, cores that this process may use, and memory in GiB."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gib": _memory_gib(),
    }


def usable_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Versions of Python and of every package whose change may change a figure."""
    found = {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
    return found | ({"jax": version("jax")} if find_spec("jax") else {})


def differences(there: dict[str, str], here: dict[str, str]) -> str:
    """Which versions are others on another machine than on this one, in words.

    >>> differences({"torch": "2.12.0", "numpy": "2.4.6"}, {"torch": "2.13.0", "numpy": "2.4.6"})
    'torch 2.12.0 (here 2.13.0)'
    """
    return ", ".join(
        f"{name} {there.get(name, 'not at all')} (here {here.get(name, 'not at all')})"
        for name in dict.fromkeys((*here, *there))
        if there.get(name) != here.get(name)
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
