"""A diagnosis as plain data and as JSON, and back, figure for figure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.errors import SpecError

FORMAT = 1
"""Of the data; a number that grows when they change in a way that breaks readers."""

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_dict(diagnosis: Diagnosis) -> dict[str, object]:
    """Plain data: dictionaries, lists, text and finite numbers."""
    return {"format": FORMAT, "healthy": diagnosis.healthy, **plain(asdict(diagnosis))}


def to_json(diagnosis: Diagnosis) -> str:
    """Indented, in the letters of every language."""
    return json.dumps(to_dict(diagnosis), indent=2, ensure_ascii=False, allow_nan=False)


def from_dict(data: Mapping[str, object]) -> Diagnosis:
    """From `to_dict`.

    Raises:
        SpecError: it is something else.
    """
    if data.get("format") != FORMAT:
        raise SpecError(
            f"these data are no diagnosis: their format is {data.get('format')!r}, not {FORMAT}; "
            "Diagnosis.to_dict() makes them"
        )
    content = {name: value for name, value in data.items() if name not in ("format", "healthy")}
    try:
        return msgspec.convert(_read(content), Diagnosis)
    except (msgspec.ValidationError, AttributeError, TypeError) as error:
        raise SpecError(f"these data are no diagnosis: {error}; Diagnosis.to_dict() makes them") from None


def from_json(text: str) -> Diagnosis:
    """From `to_json`.

    Raises:
        SpecError: it is something else.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SpecError(f"this text is no diagnosis: {error}; Diagnosis.to_json() makes it") from None
    if not isinstance(data, dict):
        raise SpecError(
            f"this text is no diagnosis but a {type(data).__name__}; Diagnosis.to_json() makes it"
        )
    return from_dict(data)


def plain(value: Any) -> Any:
    """Nested mappings and lists as JSON can hold them: a figure that is not finite is one of "nan", "inf", "-inf"."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _read(content: Mapping[str, Any]) -> dict[str, Any]:
    found = [
        {
            **one,
            "confidence": _figure(one.get("confidence")),
            "evidence": {name: _figure(value) for name, value in one.get("evidence", {}).items()},
        }
        for one in content.get("findings", ())
    ]
    return {**content, "findings": found}


def _figure(value: object) -> object:
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value
