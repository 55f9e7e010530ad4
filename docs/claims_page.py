"""Puts the ledger of claims into its page when the documentation is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evenflow.claims.ledger import ledger
from evenflow.claims.results import latest, read
from evenflow.claims.textbook import CLAIMS

_PLACE = "<!-- ledger -->"


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""

    def fill(_app: object, page: str, source: list[str]) -> None:
        if page == "claims":
            results = latest(read(Path(app.srcdir) / "claims.json"), CLAIMS)
            source[0] = source[0].replace(_PLACE, ledger(list(CLAIMS.values()), results))

    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
