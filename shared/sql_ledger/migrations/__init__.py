"""The steps from one schema to the next, one file each; a ledger only ever goes forward."""

from __future__ import annotations

from shared.sql_ledger.migrations import (
    m0001_first,
    m0002_more_fields,
    m0003_fills_by_side,
    m0004_balance_moves,
    m0005_audit,
)

_BOTH: tuple[tuple[str, ...], ...] = (m0001_first.SQL, m0002_more_fields.SQL)
_BOTH_AFTER: tuple[tuple[str, ...], ...] = (m0004_balance_moves.SQL, m0005_audit.SQL)
"""Steps whose statements are the same in both databases, but for the names of types."""
MIGRATIONS: tuple[tuple[str, ...], ...] = (*_BOTH, m0003_fills_by_side.SQLITE, *_BOTH_AFTER)
"""Statements of each step; the schema version of a ledger is how many it has taken."""
POSTGRES_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    *_BOTH,
    m0003_fills_by_side.POSTGRES,
    *_BOTH_AFTER,
)
"""The same steps in PostgreSQL."""
MISSING: dict[int, str] = {3: m0003_fills_by_side.MISSING}
"""Schema -> what a ledger lacks that was written before it, and no step can bring back."""


def missing_since(version: int) -> list[str]:
    """Return what a ledger of an older schema lacks; nothing of one that is just made (0)."""
    return [text for since, text in MISSING.items() if 0 < version < since]
