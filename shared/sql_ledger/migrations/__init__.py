"""The steps from one schema to the next, one file each; a ledger only ever goes forward."""

from __future__ import annotations

from shared.sql_ledger.migrations import m0001_first, m0002_more_fields, m0003_fills_by_side

_BOTH: tuple[tuple[str, ...], ...] = (m0001_first.SQL, m0002_more_fields.SQL)
"""Steps whose statements are the same in both databases, but for the names of types."""
MIGRATIONS: tuple[tuple[str, ...], ...] = (*_BOTH, m0003_fills_by_side.SQLITE)
"""Statements of each step; the schema version of a ledger is how many it has taken."""
POSTGRES_MIGRATIONS: tuple[tuple[str, ...], ...] = (*_BOTH, m0003_fills_by_side.POSTGRES)
"""The same steps in PostgreSQL."""
