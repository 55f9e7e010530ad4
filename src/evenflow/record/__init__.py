"""The table: step × site × statistic, in memory and in one SQLite file.

Theory writes it, a probe writes it, a study writes it; everything after that only reads it.
"""

from evenflow.record.lock import lock
from evenflow.record.schema import (
    KINDS,
    MERGES,
    PHASES,
    SOURCES,
    STATISTICS,
    STATUSES,
    Run,
    Site,
    Statistic,
    register_statistic,
)
from evenflow.record.store import Store
from evenflow.record.table import Table

__all__ = [
    "KINDS",
    "MERGES",
    "PHASES",
    "SOURCES",
    "STATISTICS",
    "STATUSES",
    "Run",
    "Site",
    "Statistic",
    "Store",
    "Table",
    "lock",
    "register_statistic",
]
