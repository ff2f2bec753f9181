"""The steps from one schema to the next, one file each; a ledger only ever goes forward."""

from __future__ import annotations

from shared.sql_ledger.migrations import m0001_first, m0002_more_fields

MIGRATIONS: tuple[tuple[str, ...], ...] = (m0001_first.SQL, m0002_more_fields.SQL)
"""Statements of each step; the schema version of a ledger is how many it has taken."""
