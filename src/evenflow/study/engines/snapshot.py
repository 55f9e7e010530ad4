"""Telling the snapshots of the engines apart."""

from __future__ import annotations

MARK = b"evenflow jax 1\n"


def of_jax(snapshot: bytes) -> bool:
    """Whether the fast engine made it.

    >>> of_jax(MARK), of_jax(b"PK")
    (True, False)
    """
    return snapshot.startswith(MARK)
