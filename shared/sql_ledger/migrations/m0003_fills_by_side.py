"""A fill's key has its side: where both sides of a trade were ours, the second one was lost.

SQLite cannot change a key, so the table is made again. In PostgreSQL it stays, and so do the rights
of who reads it.
"""

from __future__ import annotations

_COLUMNS = (
    "venue, instrument, trade_id, entry, ts_ns, plan_id, client_order_id, side, price, qty, fee, "
    "fee_asset, fee_quote, ts_venue_ns, strategy, round_id, report_asset, report_price, "
    "reduced_by, more"
)

MISSING = (
    "where both sides of a trade were ours, only the fill that came first is in it: compare its "
    "fills with the venues' executions if your strategies may have traded with each other"
)
SQLITE: tuple[str, ...] = (
    """CREATE TABLE fills_by_side (
        venue TEXT NOT NULL, instrument TEXT NOT NULL, trade_id TEXT NOT NULL,
        entry TEXT NOT NULL, ts_ns INTEGER NOT NULL, plan_id TEXT NOT NULL,
        client_order_id TEXT NOT NULL, side TEXT NOT NULL, price TEXT NOT NULL, qty TEXT NOT NULL,
        fee TEXT, fee_asset TEXT NOT NULL, fee_quote TEXT, ts_venue_ns INTEGER NOT NULL,
        strategy TEXT NOT NULL, round_id TEXT NOT NULL, report_asset TEXT NOT NULL,
        report_price TEXT NOT NULL, reduced_by TEXT NOT NULL, more TEXT,
        PRIMARY KEY (venue, instrument, trade_id, side)
    ) STRICT""",
    f"INSERT INTO fills_by_side ({_COLUMNS}) SELECT {_COLUMNS} FROM fills",
    "DROP TABLE fills",
    "ALTER TABLE fills_by_side RENAME TO fills",
    "CREATE INDEX fills_by_entry ON fills (entry)",
    "CREATE INDEX fills_by_plan ON fills (plan_id)",
)
POSTGRES: tuple[str, ...] = (
    "ALTER TABLE fills DROP CONSTRAINT fills_pkey",
    "ALTER TABLE fills ADD PRIMARY KEY (venue, instrument, trade_id, side)",
)
