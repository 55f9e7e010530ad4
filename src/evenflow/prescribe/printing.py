"""Lines of code for people: classes and functions of this package as they are written, to be pasted."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_REMARK = re.compile(r"\s*# pyright: ignore\[[^\]]*\]")


def source_of(*things: type | Callable[..., Any]) -> str:
    """The source of classes and functions, without what only a type checker reads.

    >>> source_of(shortened).splitlines()[0]
    'def shortened(text: str, most: int = 60) -> str:'
    """
    return "\n\n".join(_REMARK.sub("", inspect.getsource(one)) for one in things)


def shortened(text: str, most: int = 60) -> str:
    """A text that is no longer than so many characters.

    >>> shortened("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"
