"""Where the source of a model is, so that a finding can be shown beside it."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from torch import nn

_LIBRARIES = ("site-packages", "dist-packages")


def source_of(model: nn.Module) -> tuple[str, int]:
    """File and line of the model's class, or of the first part whose class is in the working folder; ("", 0) of none.

    The path is relative to the working folder, with slashes, as programs that show findings beside code take it.
    """
    for kind in dict.fromkeys(type(module) for module in model.modules()):
        if not kind.__module__.startswith("torch."):
            place = place_of(kind)
            if place[0]:
                return place
    return "", 0


def place_of(what: object) -> tuple[str, int]:
    """File and line of a class or function, if its file is in the working folder and no library's; else ("", 0)."""
    try:
        file = inspect.getsourcefile(what)  # pyright: ignore[reportArgumentType]
        relative = Path(file or "").resolve().relative_to(Path.cwd())
        if file is None or any(part in _LIBRARIES for part in relative.parts) or _in_environment(relative):
            return "", 0
        return relative.as_posix(), inspect.getsourcelines(what)[1] or 1  # pyright: ignore[reportArgumentType]
    except (OSError, TypeError, ValueError, IndexError, SyntaxError):
        return "", 0


def _in_environment(relative: Path) -> bool:
    return (Path.cwd() / relative).is_relative_to(
        Path(sys.prefix).resolve()
    ) and sys.prefix != sys.base_prefix
