"""Compiled programs kept on disk, so that a study of the same shapes does not compile them again.

JAX keeps and finds them by their content, its version and its flags. It does not ask which instructions the processor
has, so that each kind of processor gets a folder of its own: a home may be shared by many machines.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path

import jax

_MOST_BYTES = 256 * 2**20  # about a thousand shapes of network
_LEAST_SECONDS = 0.1  # of compiling, for a program to be worth a file


def keep_programs() -> None:
    """Keep what this process compiles, and use what is kept, unless JAX was told where, or the disk refuses."""
    if jax.config.jax_compilation_cache_dir is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return
    folder = cache_folder() / "jax" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _bound(folder)
    except OSError:
        return
    # a file that another process is writing, or was killed while writing: the program is compiled
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)


def cache_folder() -> Path:
    """Where the system wants what can be made again: `XDG_CACHE_HOME`, or the user's cache."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "evenflow"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "evenflow"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "evenflow" / "cache"
    return Path.home() / ".cache" / "evenflow"


def _processor() -> str:
    """A name for what the processor can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    facts = (platform.machine(), platform.processor(), *sorted(set(told)))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _bound(folder: Path) -> None:
    """Take the oldest away where there is too much."""
    files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime)
    excess = sum(file.stat().st_size for file in files) - _MOST_BYTES
    for file in files:
        if excess <= 0:
            return
        excess -= file.stat().st_size
        file.unlink(missing_ok=True)
