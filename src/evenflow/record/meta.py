"""JSON values by name in the store's meta table: specification, hash, versions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from evenflow.errors import StoreError
from evenflow.record.connection import translated


class Meta(MutableMapping[str, Any]):
    """A mapping that reads and writes the file; values must be such as JSON can hold.

    `format` and `evenflow` (the version that made the file) are there from the start.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        writing: Callable[[], AbstractContextManager[sqlite3.Connection]],
    ) -> None:
        self._connection = connection
        self._path = path
        self._writing = writing

    def __getitem__(self, key: str) -> Any:
        with translated(self._path):
            row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return json.loads(row[0])

    def __setitem__(self, key: str, value: object) -> None:
        text = encoded(value, f'meta value "{key}"')
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def __delitem__(self, key: str) -> None:
        with self._writing() as connection:
            if not connection.execute("DELETE FROM meta WHERE key = ?", (key,)).rowcount:
                raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        with translated(self._path):
            return iter([row[0] for row in self._connection.execute("SELECT key FROM meta ORDER BY key")])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"Meta({dict(self)})"


def encoded(value: object, what: str) -> str:
    """`value` as JSON; NaN and infinities are written as Python writes them.

    Raises:
        StoreError: JSON cannot hold it; `what` names it in the message.
    """
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{what} cannot be stored: {error}; use numbers, words, lists and dicts") from None


def merged(old: str, new: Mapping[str, object], what: str) -> str:
    """The JSON object `old` with the values of `new` put in."""
    return encoded({**json.loads(old), **new}, what)
