"""What moved balances beside trading, fees and funding, as the executor told it."""

from __future__ import annotations

SQL: tuple[str, ...] = (
    """CREATE TABLE balance_moves (
        venue TEXT NOT NULL, asset TEXT NOT NULL, ts_ns INTEGER NOT NULL, entry TEXT NOT NULL,
        amount TEXT NOT NULL, ts_since_ns INTEGER NOT NULL, more TEXT,
        PRIMARY KEY (venue, asset, ts_ns)
    ) STRICT""",
)
