"""Who did what at the dashboard and on terminals."""

from __future__ import annotations

SQL: tuple[str, ...] = (
    """CREATE TABLE audit (
        hash TEXT PRIMARY KEY, entry TEXT NOT NULL, ts_ns INTEGER NOT NULL, trail TEXT NOT NULL,
        seq INTEGER NOT NULL, who TEXT NOT NULL, address TEXT NOT NULL, action TEXT NOT NULL,
        outcome TEXT NOT NULL, arguments TEXT NOT NULL, command_id TEXT NOT NULL,
        before TEXT NOT NULL, more TEXT
    ) STRICT""",
    "CREATE INDEX audit_by_time ON audit (ts_ns)",
)
