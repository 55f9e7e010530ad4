"""The results that the ledger page is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenflow.claims.results import Result, latest, read
from evenflow.claims.textbook import CLAIMS

_LEDGER = Path(__file__).parents[2] / "docs" / "claims.json"


@pytest.fixture(scope="session")
def ledger_kept() -> tuple[Result, ...]:
    """All that the file holds."""
    return read(_LEDGER)


@pytest.fixture(scope="session")
def ledger_results(ledger_kept) -> dict[str, Result]:
    """Result of every claim by name."""
    return latest(ledger_kept, CLAIMS)
