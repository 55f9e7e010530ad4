"""One way to turn plain data into a name: equal content, equal hash, on every machine."""

from __future__ import annotations

import hashlib

import msgspec


def content_hash(data: object) -> str:
    """The first twelve hex digits of the SHA-256 of `data` as JSON with sorted keys.

    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(msgspec.json.encode(data, order="deterministic")).hexdigest()[:12]
