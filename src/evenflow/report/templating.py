"""Pages from templates: what every page that holds its own data and script has in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """The templates, with escaping on and an error for every name that is missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["steady"] = steady
    return found


def steady(text: str) -> str:
    """Text in which no line breaks inside a number.

    >>> steady("1.2 × 10⁻⁶ of 31 %") == "1.2\u00a0×\u00a010⁻⁶ of 31\u00a0%"
    True
    """
    return text.replace(" × 10", "\u00a0×\u00a010").replace(" %", "\u00a0%")


def plain_json(data: Any) -> str:
    """JSON that may stand inside a `script` element, and a NumPy array as a list."""
    text = json.dumps(data, default=_listed, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _listed(value: Any) -> Any:
    from evenflow.report.figures.picture import plain

    if hasattr(value, "tolist"):
        return plain(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain data")
