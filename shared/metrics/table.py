"""THE TABLE OF METRICS: every metric of the exporter, its labels, and when it is absent. Pure.

``docs/metrics.md`` is generated from it (``metrics_page.py``). Names are
``arb_<noun>_<unit>[_total]`` in base units. Label values come from closed sets (enums, configured
venues, assets, codes written in the source): never an id, a price, a text or an instrument.
"""

from __future__ import annotations

from shared.metrics.metric import Kind, Metric, Source

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_PROC = ("service", "proc")

UP = Metric(
    name="arb_up",
    kind=_G,
    source=Source.SELF,
    text="1 while the exporter reads Redis, 0 while it does not",
)
OVERFLOW = Metric(
    name="arb_series_overflow_total",
    kind=_C,
    labels=("metric",),
    source=Source.SELF,
    text="Samples whose label values found no room within the metric's bound, over all scrapes",
)
BUILD = Metric(
    name="arb_build_info",
    kind=_G,
    labels=("version", "mode"),
    source=Source.SELF,
    text="1; the exporter's version, and the executor's mode (unknown while it does not report)",
)
READY = Metric(
    name="arb_ready",
    kind=_G,
    labels=_PROC,
    source=Source.BEAT,
    text="1 while the process is ready, else 0",
)
HEARTBEAT = Metric(
    name="arb_heartbeat_timestamp_seconds",
    kind=_G,
    labels=_PROC,
    source=Source.SEEN,
    text="UNIX time of the process's newest heartbeat; forgotten after an hour of silence",
)
RESTARTS = Metric(
    name="arb_restarts_total",
    kind=_C,
    labels=_PROC,
    source=Source.COUNT,
    text="Times the process was replaced by a newer one",
)
EVENTS = Metric(
    name="arb_events_total",
    kind=_C,
    labels=("service", "proc", "event"),
    source=Source.BEAT,
    text="What the process counted since it started, where no metric of its own has it",
    series_max=1_200,
)

FEED_FRAMES = Metric(
    name="arb_feed_frames_total",
    kind=_C,
    labels=_PROC,
    source=Source.BEAT,
    text="Frames received from venues, by ingestor",
)
FEED_GAPS = Metric(
    name="arb_feed_gaps_total",
    kind=_C,
    labels=_PROC,
    source=Source.BEAT,
    text="Breaks in venues' sequences, by ingestor",
)
FEED_RESYNCS = Metric(
    name="arb_feed_resyncs_total",
    kind=_C,
    labels=_PROC,
    source=Source.BEAT,
    text="Books joined anew to a snapshot, by ingestor",
)
FEED_RECONNECTS = Metric(
    name="arb_feed_reconnects_total",
    kind=_C,
    labels=_PROC,
    source=Source.BEAT,
    text="Connections to venues made again",
)
FEED_UP = Metric(
    name="arb_feed_up",
    kind=_G,
    labels=("venue",),
    source=Source.STATUS,
    text="1 while all connections to the venue's market data are LIVE (of two feeds: one), else 0",
)
BOOKS = Metric(
    name="arb_books",
    kind=_G,
    labels=("venue", "state"),
    source=Source.BOOKS,
    text="Order books by trust state, as the orderbook service publishes them; SILENT: not for 5 s",
    series_max=256,
)
BOOK_TIME = Metric(
    name="arb_book_oldest_timestamp_seconds",
    kind=_G,
    labels=("venue",),
    source=Source.BOOKS,
    text="UNIX time at which the least recently changed of the venue's books changed",
)

OPPORTUNITIES = Metric(
    name="arb_opportunities_total",
    kind=_C,
    labels=("detector",),
    source=Source.COUNT,
    text="Opportunities found",
)
LAST_OPPORTUNITY = Metric(
    name="arb_last_opportunity_timestamp_seconds",
    kind=_G,
    source=Source.SEEN,
    text="UNIX time of the newest opportunity; absent before the first",
)
NEAR_MISSES = Metric(
    name="arb_near_misses_total",
    kind=_C,
    labels=("service", "proc", "gate"),
    source=Source.BEAT,
    text="Comparisons that found nothing to trade, by the gate that stopped them",
    series_max=256,
)
DENIALS = Metric(
    name="arb_denials_total",
    kind=_C,
    labels=("service", "proc", "reason"),
    source=Source.BEAT,
    text="Opportunities that risk denied, by code (docs/denials.md)",
    series_max=160,
)
APPROVED = Metric(
    name="arb_plans_approved_total",
    kind=_C,
    labels=_PROC,
    source=Source.BEAT,
    text="Plans that risk approved",
)
SHRUNK = Metric(
    name="arb_plans_shrunk_total",
    kind=_C,
    labels=_PROC,
    source=Source.BEAT,
    text="Plans that risk approved smaller than offered, to keep to a limit",
)

PLANS = Metric(
    name="arb_plans_total",
    kind=_C,
    labels=("outcome",),
    source=Source.COUNT,
    text="Plans that ended",
)
PLANS_IN_FLIGHT = Metric(
    name="arb_plans_in_flight",
    kind=_G,
    source=Source.RISK,
    text="Approved plans not ended",
)
ORDERS = Metric(
    name="arb_orders_total",
    kind=_C,
    labels=("venue", "purpose", "status"),
    source=Source.COUNT,
    text="Orders that reached a status",
    series_max=640,
)
FILLS = Metric(
    name="arb_fills_total",
    kind=_C,
    labels=("venue",),
    source=Source.COUNT,
    text="Fills of our orders",
)
UNSETTLED = Metric(
    name="arb_orders_unsettled",
    kind=_G,
    source=Source.EXECUTOR,
    text="Orders whose outcome is not known",
)
ORDERS_UP = Metric(
    name="arb_venue_orders_up",
    kind=_G,
    labels=("venue",),
    source=Source.EXECUTOR,
    text="0 where the executor sends no new orders to the venue, or to one of its "
    "instruments, else 1",
)

STATE = Metric(
    name="arb_trading_state",
    kind=_G,
    labels=("state",),
    source=Source.RISK,
    text="1 for the trading state, 0 for the others",
)
HALT_CAUSE = Metric(
    name="arb_halt_cause",
    kind=_G,
    labels=("cause",),
    source=Source.RISK,
    text="1 for the cause of a state that is not ACTIVE (docs/denials.md); absent while "
    "it is ACTIVE",
)
RISK_TIME = Metric(
    name="arb_risk_report_timestamp_seconds",
    kind=_G,
    source=Source.SEEN,
    text="UNIX time of risk's newest report",
)
EXPOSURE = Metric(
    name="arb_exposure_base",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="Net exposure in units of the asset",
)
POSITION = Metric(
    name="arb_position_base",
    kind=_G,
    labels=("asset", "venue"),
    source=Source.RISK,
    text="Open quantity in units of the asset; spot counts over all venues together, as venue all",
    series_max=256,
)
POSITION_VALUE = Metric(
    name="arb_position_value_quote",
    kind=_G,
    labels=("asset", "venue", "quote"),
    source=Source.RISK,
    text="The same at closing prices, in quote units; absent where books would not take it all",
    series_max=256,
)
REALIZED = Metric(
    name="arb_realized_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="Profit of what is closed, after fees, since the ledger began, in quote units",
)
UNREALIZED = Metric(
    name="arb_unrealized_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="Result of open positions if closed now, in quote units; absent where one has no price",
)
FEES = Metric(
    name="arb_fees_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="Fees paid, in quote units",
)
TODAY = Metric(
    name="arb_today_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="The day's result (UTC) with open positions at executable prices, in quote units",
)
EQUITY = Metric(
    name="arb_equity_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="Result since the ledger began, open positions at executable prices, in quote units",
)
EQUITY_PEAK = Metric(
    name="arb_equity_peak_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="The most that it was, since RESUME after a drawdown; the drawdown is counted from it",
)
DRAWDOWN = Metric(
    name="arb_drawdown_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="What is lost since the peak, in quote units",
)
DRAWDOWN_MAX = Metric(
    name="arb_drawdown_max_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="The drawdown at which trading halts (risk.drawdown_max); absent where there is none",
)
FUNDING = Metric(
    name="arb_funding_quote",
    kind=_G,
    labels=("asset",),
    source=Source.RISK,
    text="Funding received, less paid; part of what is realized",
)
CERTAINTY = Metric(
    name="arb_money_certainty",
    kind=_G,
    labels=("certainty",),
    source=Source.RISK,
    text="1 for how well the results are known, 0 for the others",
)
MONEY_UNKNOWN = Metric(
    name="arb_money_unknown",
    kind=_G,
    source=Source.RISK,
    text="1 while something of the results is unknown (a result, a price, a funding, a "
    "fee), else 0",
)

TICK_TO_DEPTH = Metric(
    name="arb_tick_to_depth_seconds",
    kind=_H,
    labels=_PROC,
    source=Source.BEAT,
    text="From a frame's arrival to its depth view",
)
TICK_TO_OPPORTUNITY = Metric(
    name="arb_tick_to_opportunity_seconds",
    kind=_H,
    labels=_PROC,
    source=Source.BEAT,
    text="From a frame's arrival to the opportunity",
)
TICK_TO_PLAN = Metric(
    name="arb_tick_to_plan_seconds",
    kind=_H,
    labels=_PROC,
    source=Source.BEAT,
    text="From a frame's arrival to the plan",
)
TICK_TO_ORDER = Metric(
    name="arb_tick_to_order_seconds",
    kind=_H,
    labels=_PROC,
    source=Source.BEAT,
    text="From a frame's arrival to the order",
)
STREAM_ENTRIES = Metric(
    name="arb_stream_entries",
    kind=_G,
    labels=("stream",),
    source=Source.BUS,
    text="Entries of the stream, over all its shards",
)
STREAM_BYTES = Metric(
    name="arb_stream_bytes",
    kind=_G,
    labels=("stream",),
    source=Source.BUS,
    text="Bytes it occupies, over all its shards",
)
STREAM_BYTES_MAX = Metric(
    name="arb_stream_bytes_max",
    kind=_G,
    labels=("stream",),
    source=Source.SELF,
    text="Bytes it may occupy, over all its shards",
)
STREAM_LAG = Metric(
    name="arb_stream_lag_seconds",
    kind=_G,
    labels=("stream", "consumer"),
    source=Source.BUS,
    text="How long the oldest entry that the service has not handled has waited; the slowest shard",
)
DEAD_LETTERS = Metric(
    name="arb_dead_letters_total",
    kind=_C,
    labels=("stream",),
    source=Source.BUS,
    text="Entries ever put aside as dead letters",
)
ALERTS = Metric(
    name="arb_alerts_total",
    kind=_C,
    labels=("service", "severity", "code"),
    source=Source.KEPT,
    text="Alerts raised, those held back by their rate included",
    series_max=128,
)
