"""The first schema. Amounts are decimal text, exact; times UNIX ns; lists and tables JSON.

``entry`` is the stream entry that a fact came in (milliseconds, number, place in the entry): it
sorts as text in the order in which facts were told, over all streams.
"""

from __future__ import annotations

SQL: tuple[str, ...] = (
    """CREATE TABLE stream_positions (
        stream TEXT PRIMARY KEY, entry_id TEXT NOT NULL, entries INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE gaps (
        stream TEXT NOT NULL, after_id TEXT NOT NULL, before_id TEXT NOT NULL,
        entries INTEGER, reason TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        PRIMARY KEY (stream, after_id, before_id, reason)
    ) STRICT""",
    """CREATE TABLE opportunities (
        opportunity_id TEXT PRIMARY KEY, entry TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        detector TEXT NOT NULL, base TEXT NOT NULL, quote TEXT NOT NULL, legs TEXT NOT NULL,
        qty TEXT NOT NULL, notional TEXT NOT NULL, gross TEXT NOT NULL, fees TEXT NOT NULL,
        net TEXT NOT NULL, edge_bps TEXT NOT NULL, ts_recv_ns INTEGER NOT NULL,
        ts_depth_ns INTEGER NOT NULL, ts_expire_ns INTEGER NOT NULL, strategy_id TEXT NOT NULL,
        strategy_hash TEXT NOT NULL, intent TEXT NOT NULL, round_id TEXT NOT NULL,
        horizon_ns INTEGER NOT NULL, "values" TEXT NOT NULL, stop_bps TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE denials (
        opportunity_id TEXT NOT NULL, reason TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        entry TEXT NOT NULL, context TEXT NOT NULL, PRIMARY KEY (opportunity_id, reason, ts_ns)
    ) STRICT""",
    "CREATE INDEX denials_by_entry ON denials (entry)",
    """CREATE TABLE plans (
        plan_id TEXT PRIMARY KEY, entry TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        opportunity_id TEXT NOT NULL, base TEXT NOT NULL, quote TEXT NOT NULL,
        legs TEXT NOT NULL, net_expected TEXT NOT NULL, loss_cap TEXT NOT NULL,
        ts_recv_ns INTEGER NOT NULL, ts_depth_ns INTEGER NOT NULL,
        ts_opportunity_ns INTEGER NOT NULL, ts_expire_ns INTEGER NOT NULL,
        strategy TEXT NOT NULL, intent TEXT NOT NULL, round_id TEXT NOT NULL,
        opening TEXT NOT NULL, "values" TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX plans_by_entry ON plans (entry)",
    """CREATE TABLE plan_ends (
        plan_id TEXT NOT NULL, ts_ns INTEGER NOT NULL, entry TEXT NOT NULL, outcome TEXT NOT NULL,
        base TEXT NOT NULL, quote TEXT NOT NULL, realized TEXT NOT NULL, fees TEXT NOT NULL,
        certainty TEXT NOT NULL, residual TEXT NOT NULL, reason TEXT NOT NULL,
        dust TEXT NOT NULL, strategy TEXT NOT NULL, round_id TEXT NOT NULL,
        is_approved INTEGER NOT NULL, PRIMARY KEY (plan_id, ts_ns)
    ) STRICT""",
    """CREATE TABLE order_events (
        client_order_id TEXT NOT NULL, ts_ns INTEGER NOT NULL, status TEXT NOT NULL,
        filled_qty TEXT NOT NULL, entry TEXT NOT NULL, plan_id TEXT NOT NULL,
        leg_index INTEGER NOT NULL, attempt INTEGER NOT NULL, purpose TEXT NOT NULL,
        venue TEXT NOT NULL, instrument TEXT NOT NULL, side TEXT NOT NULL, qty TEXT NOT NULL,
        price_limit TEXT NOT NULL, venue_order_id TEXT NOT NULL, reason TEXT NOT NULL,
        ts_sent_ns INTEGER NOT NULL, ts_recv_ns INTEGER NOT NULL, strategy TEXT NOT NULL,
        order_type TEXT NOT NULL, time_in_force TEXT NOT NULL, reduce_only INTEGER NOT NULL,
        PRIMARY KEY (client_order_id, ts_ns, status, filled_qty)
    ) STRICT""",
    "CREATE INDEX order_events_by_plan ON order_events (plan_id)",
    """CREATE TABLE orders (
        client_order_id TEXT PRIMARY KEY, entry TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        plan_id TEXT NOT NULL, strategy TEXT NOT NULL, leg_index INTEGER NOT NULL,
        attempt INTEGER NOT NULL, purpose TEXT NOT NULL, venue TEXT NOT NULL,
        instrument TEXT NOT NULL, side TEXT NOT NULL, qty TEXT NOT NULL,
        price_limit TEXT NOT NULL, order_type TEXT NOT NULL, time_in_force TEXT NOT NULL,
        reduce_only INTEGER NOT NULL, status TEXT NOT NULL, filled_qty TEXT NOT NULL,
        venue_order_id TEXT NOT NULL, reason TEXT NOT NULL, ts_sent_ns INTEGER NOT NULL,
        entry_last TEXT NOT NULL, ts_last_ns INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX orders_by_entry ON orders (entry)",
    "CREATE INDEX orders_by_plan ON orders (plan_id)",
    """CREATE TABLE fills (
        venue TEXT NOT NULL, instrument TEXT NOT NULL, trade_id TEXT NOT NULL,
        entry TEXT NOT NULL, ts_ns INTEGER NOT NULL, plan_id TEXT NOT NULL,
        client_order_id TEXT NOT NULL, side TEXT NOT NULL, price TEXT NOT NULL, qty TEXT NOT NULL,
        fee TEXT, fee_asset TEXT NOT NULL, fee_quote TEXT, ts_venue_ns INTEGER NOT NULL,
        strategy TEXT NOT NULL, round_id TEXT NOT NULL, report_asset TEXT NOT NULL,
        report_price TEXT NOT NULL, reduced_by TEXT NOT NULL,
        PRIMARY KEY (venue, instrument, trade_id)
    ) STRICT""",
    "CREATE INDEX fills_by_entry ON fills (entry)",
    "CREATE INDEX fills_by_plan ON fills (plan_id)",
    """CREATE TABLE funding_payments (
        venue TEXT NOT NULL, instrument TEXT NOT NULL, payment_id TEXT NOT NULL,
        entry TEXT NOT NULL, ts_ns INTEGER NOT NULL, amount TEXT NOT NULL, asset TEXT NOT NULL,
        ts_funding_ns INTEGER NOT NULL, ts_settled_ns INTEGER NOT NULL,
        PRIMARY KEY (venue, instrument, payment_id)
    ) STRICT""",
    """CREATE TABLE funding_known (
        venue TEXT PRIMARY KEY, entry TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        ts_known_ns INTEGER NOT NULL, reason TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE balance_reports (
        venue TEXT NOT NULL, ts_ns INTEGER NOT NULL, entry TEXT NOT NULL,
        balances TEXT NOT NULL, positions TEXT NOT NULL, PRIMARY KEY (venue, ts_ns)
    ) STRICT""",
    """CREATE TABLE balances (
        venue TEXT NOT NULL, ts_ns INTEGER NOT NULL, asset TEXT NOT NULL, free TEXT NOT NULL,
        used TEXT NOT NULL, PRIMARY KEY (venue, ts_ns, asset)
    ) STRICT""",
    """CREATE TABLE venue_positions (
        venue TEXT NOT NULL, ts_ns INTEGER NOT NULL, instrument TEXT NOT NULL, qty TEXT NOT NULL,
        PRIMARY KEY (venue, ts_ns, instrument)
    ) STRICT""",
    """CREATE TABLE position_reports (
        ts_ns INTEGER PRIMARY KEY, entry TEXT NOT NULL, held TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE positions (
        ts_ns INTEGER NOT NULL, venue TEXT NOT NULL, instrument TEXT NOT NULL, qty TEXT NOT NULL,
        entry_price TEXT NOT NULL, close_price TEXT, unrealized TEXT,
        PRIMARY KEY (ts_ns, venue, instrument)
    ) STRICT""",
    """CREATE TABLE closing_prices (
        venue TEXT NOT NULL, instrument TEXT NOT NULL, entry TEXT NOT NULL,
        ts_ns INTEGER NOT NULL, qty TEXT NOT NULL, price TEXT, PRIMARY KEY (venue, instrument)
    ) STRICT""",
    """CREATE TABLE trading_states (
        ts_since_ns INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
        entry TEXT NOT NULL, PRIMARY KEY (ts_since_ns, state, reason)
    ) STRICT""",
    """CREATE TABLE commands (
        command_id TEXT PRIMARY KEY, entry TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        kind TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE alerts (
        ts_ns INTEGER NOT NULL, service TEXT NOT NULL, code TEXT NOT NULL, subject TEXT NOT NULL,
        entry TEXT NOT NULL, severity TEXT NOT NULL, text TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (ts_ns, service, code, subject)
    ) STRICT""",
    """CREATE TABLE execution_modes (
        mode TEXT PRIMARY KEY, entry TEXT NOT NULL, ts_ns INTEGER NOT NULL
    ) STRICT""",
)
