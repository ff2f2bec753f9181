"""THE TABLE OF METRICS: every metric of the exporter, its labels, and when it is absent. Pure.

``docs/metrics.md`` is generated from it by ``python -m services.exporter.metrics``. Names are
``arb_<noun>_<unit>[_total]`` in base units. Label values come from closed sets (enums, configured
venues, assets, codes written in the source): never an id, a price, a text or an instrument.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LIMIT_S: Final = 5.0
"""What comes every second (heartbeats, reports, statuses) is told while it is not older."""
BOOKS_LIMIT_S: Final = 15.0
"""Books are looked at every five seconds."""


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Where a figure comes from, and so when it is absent."""

    SELF = "always"
    BEAT = "while the process sends heartbeats (5 s)"
    SEEN = "once seen; kept, because a time does not go stale"
    COUNT = "while Redis is read; counted since the exporter started"
    RISK = "while risk reports (5 s)"
    EXECUTOR = "while the executor reports (5 s)"
    STATUS = "while the venue's feed reports (5 s)"
    BOOKS = "while books are read (15 s)"
    BUS = "while Redis is read (5 s)"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row.

    Attributes:
        name: As it is exposed; a counter's ends in ``_total``.
        kind: Counter, gauge or histogram.
        labels: Names of its labels, in order.
        source: Where it comes from.
        text: What it means, with its unit.
        series_max: Sets of label values that it may have; further ones become ``other`` in a
            counter, are left out of a gauge, and are counted.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    source: Source
    text: str
    series_max: int = 64


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_PROC = ("service", "proc")

UP = Metric("arb_up", _G, (), Source.SELF, "1 while the exporter reads Redis, 0 while it does not")
OVERFLOW = Metric(
    "arb_series_overflow_total", _C, ("metric",), Source.SELF,
    "Samples whose label values found no room within the metric's bound, over all scrapes",
)  # fmt: skip
BUILD = Metric(
    "arb_build_info", _G, ("version", "mode"), Source.SELF,
    "1; the exporter's version, and the executor's mode (unknown while it does not report)",
)  # fmt: skip
READY = Metric("arb_ready", _G, _PROC, Source.BEAT, "1 while the process is ready, else 0")
HEARTBEAT = Metric(
    "arb_heartbeat_timestamp_seconds", _G, _PROC, Source.SEEN,
    "UNIX time of the process's newest heartbeat; forgotten after an hour of silence",
)  # fmt: skip
RESTARTS = Metric(
    "arb_restarts_total", _C, _PROC, Source.COUNT, "Times the process was replaced by a newer one"
)
EVENTS = Metric(
    "arb_events_total", _C, ("service", "proc", "event"), Source.BEAT,
    "What the process counted since it started, where no metric of its own has it",
    series_max=1_200,
)  # fmt: skip

FEED_FRAMES = Metric(
    "arb_feed_frames_total", _C, _PROC, Source.BEAT, "Frames received from venues, by ingestor"
)
FEED_GAPS = Metric(
    "arb_feed_gaps_total", _C, _PROC, Source.BEAT, "Breaks in venues' sequences, by ingestor"
)
FEED_RESYNCS = Metric(
    "arb_feed_resyncs_total", _C, _PROC, Source.BEAT, "Books joined anew to a snapshot, by ingestor"
)
FEED_RECONNECTS = Metric(
    "arb_feed_reconnects_total", _C, _PROC, Source.BEAT, "Connections to venues made again"
)
FEED_UP = Metric(
    "arb_feed_up", _G, ("venue",), Source.STATUS,
    "1 while all connections to the venue's market data are LIVE, else 0",
)  # fmt: skip
BOOKS = Metric(
    "arb_books", _G, ("venue", "state"), Source.BOOKS,
    "Order books by trust state, as the orderbook service publishes them; SILENT: not for 5 s",
    series_max=256,
)  # fmt: skip
BOOK_TIME = Metric(
    "arb_book_oldest_timestamp_seconds", _G, ("venue",), Source.BOOKS,
    "UNIX time at which the least recently changed of the venue's books changed",
)  # fmt: skip

OPPORTUNITIES = Metric(
    "arb_opportunities_total", _C, ("detector",), Source.COUNT, "Opportunities found"
)
LAST_OPPORTUNITY = Metric(
    "arb_last_opportunity_timestamp_seconds", _G, (), Source.SEEN,
    "UNIX time of the newest opportunity; absent before the first",
)  # fmt: skip
NEAR_MISSES = Metric(
    "arb_near_misses_total", _C, ("service", "proc", "gate"), Source.BEAT,
    "Comparisons that found nothing to trade, by the gate that stopped them",
    series_max=256,
)  # fmt: skip
DENIALS = Metric(
    "arb_denials_total", _C, ("service", "proc", "reason"), Source.BEAT,
    "Opportunities that risk denied, by code (docs/denials.md)",
    series_max=160,
)  # fmt: skip
APPROVED = Metric("arb_plans_approved_total", _C, _PROC, Source.BEAT, "Plans that risk approved")

PLANS = Metric("arb_plans_total", _C, ("outcome",), Source.COUNT, "Plans that ended")
PLANS_IN_FLIGHT = Metric("arb_plans_in_flight", _G, (), Source.RISK, "Approved plans not ended")
ORDERS = Metric(
    "arb_orders_total", _C, ("venue", "purpose", "status"), Source.COUNT,
    "Orders that reached a status",
    series_max=640,
)  # fmt: skip
FILLS = Metric("arb_fills_total", _C, ("venue",), Source.COUNT, "Fills of our orders")
UNSETTLED = Metric(
    "arb_orders_unsettled", _G, (), Source.EXECUTOR, "Orders whose outcome is not known"
)
ORDERS_UP = Metric(
    "arb_venue_orders_up", _G, ("venue",), Source.EXECUTOR,
    "0 where the executor sends no new orders to the venue, or to one of its instruments, else 1",
)  # fmt: skip

STATE = Metric(
    "arb_trading_state", _G, ("state",), Source.RISK, "1 for the trading state, 0 for the others"
)
HALT_CAUSE = Metric(
    "arb_halt_cause", _G, ("cause",), Source.RISK,
    "1 for the cause of a state that is not ACTIVE (docs/denials.md); absent while it is ACTIVE",
)  # fmt: skip
RISK_TIME = Metric(
    "arb_risk_report_timestamp_seconds", _G, (), Source.SEEN, "UNIX time of risk's newest report"
)
EXPOSURE = Metric(
    "arb_exposure_base", _G, ("asset",), Source.RISK, "Net exposure in units of the asset"
)
POSITION = Metric(
    "arb_position_base", _G, ("asset", "venue"), Source.RISK,
    "Open quantity in units of the asset; spot counts over all venues together, as venue all",
    series_max=256,
)  # fmt: skip
POSITION_VALUE = Metric(
    "arb_position_value_quote", _G, ("asset", "venue", "quote"), Source.RISK,
    "The same at closing prices, in quote units; absent where books would not take it all",
    series_max=256,
)  # fmt: skip
REALIZED = Metric(
    "arb_realized_quote", _G, ("asset",), Source.RISK,
    "Profit of what is closed, after fees, since the ledger began, in quote units",
)  # fmt: skip
UNREALIZED = Metric(
    "arb_unrealized_quote", _G, ("asset",), Source.RISK,
    "Result of open positions if closed now, in quote units; absent where one has no price",
)  # fmt: skip
FEES = Metric("arb_fees_quote", _G, ("asset",), Source.RISK, "Fees paid, in quote units")
TODAY = Metric(
    "arb_today_quote", _G, ("asset",), Source.RISK,
    "The day's result (UTC) with open positions at executable prices, in quote units",
)  # fmt: skip
DRAWDOWN = Metric(
    "arb_drawdown_quote", _G, ("asset",), Source.RISK, "What is lost since the peak, in quote units"
)
FUNDING = Metric(
    "arb_funding_quote", _G, ("asset",), Source.RISK,
    "Funding received, less paid; part of what is realized",
)  # fmt: skip
CERTAINTY = Metric(
    "arb_money_certainty", _G, ("certainty",), Source.RISK,
    "1 for how well the results are known, 0 for the others",
)  # fmt: skip
MONEY_UNKNOWN = Metric(
    "arb_money_unknown", _G, (), Source.RISK,
    "1 while something of the results is unknown (a result, a price, a funding, a fee), else 0",
)  # fmt: skip

TICK_TO_DEPTH = Metric(
    "arb_tick_to_depth_seconds", _H, _PROC, Source.BEAT, "From a frame's arrival to its depth view"
)
TICK_TO_OPPORTUNITY = Metric(
    "arb_tick_to_opportunity_seconds", _H, _PROC, Source.BEAT,
    "From a frame's arrival to the opportunity",
)  # fmt: skip
TICK_TO_PLAN = Metric(
    "arb_tick_to_plan_seconds", _H, _PROC, Source.BEAT, "From a frame's arrival to the plan"
)
TICK_TO_ORDER = Metric(
    "arb_tick_to_order_seconds", _H, _PROC, Source.BEAT, "From a frame's arrival to the order"
)
STREAM_ENTRIES = Metric(
    "arb_stream_entries", _G, ("stream",), Source.BUS, "Entries of the stream, over all its shards"
)
STREAM_BYTES = Metric(
    "arb_stream_bytes", _G, ("stream",), Source.BUS, "Bytes it occupies, over all its shards"
)
STREAM_BYTES_MAX = Metric(
    "arb_stream_bytes_max", _G, ("stream",), Source.SELF, "Bytes it may occupy, over all its shards"
)
STREAM_LAG = Metric(
    "arb_stream_lag_seconds", _G, ("stream", "consumer"), Source.BUS,
    "How much older the last entry that the service handled is than the newest; the slowest shard",
)  # fmt: skip
DEAD_LETTERS = Metric(
    "arb_dead_letters_total", _C, ("stream",), Source.BUS, "Entries ever put aside as dead letters"
)
ALERTS = Metric(
    "arb_alerts_total", _C, ("service", "severity", "code"), Source.COUNT,
    "Alerts raised, those held back by their rate included",
    series_max=128,
)  # fmt: skip

GROUPS: Final[dict[str, tuple[Metric, ...]]] = {
    "Processes": (UP, BUILD, READY, HEARTBEAT, RESTARTS, EVENTS, OVERFLOW),
    "Market data": (
        FEED_FRAMES, FEED_GAPS, FEED_RESYNCS, FEED_RECONNECTS, FEED_UP, BOOKS, BOOK_TIME,
    ),
    "Decisions": (OPPORTUNITIES, LAST_OPPORTUNITY, NEAR_MISSES, DENIALS, APPROVED),
    "Execution": (PLANS, PLANS_IN_FLIGHT, ORDERS, FILLS, UNSETTLED, ORDERS_UP),
    "Money": (
        STATE, HALT_CAUSE, RISK_TIME, EXPOSURE, POSITION, POSITION_VALUE, REALIZED, UNREALIZED,
        FEES, TODAY, DRAWDOWN, FUNDING, CERTAINTY, MONEY_UNKNOWN,
    ),
    "Latency and bus": (
        TICK_TO_DEPTH, TICK_TO_OPPORTUNITY, TICK_TO_PLAN, TICK_TO_ORDER, STREAM_ENTRIES,
        STREAM_BYTES, STREAM_BYTES_MAX, STREAM_LAG, DEAD_LETTERS, ALERTS,
    ),
}  # fmt: skip
ALL: Final[tuple[Metric, ...]] = tuple(row for rows in GROUPS.values() for row in rows)
COMMAND: Final = "python -m services.exporter.metrics > docs/metrics.md"

_HEAD = f"""# Metrics

Generated from `services/exporter/metrics.py` by `{COMMAND}`;
a test keeps it current. One service, the exporter, reads Redis and answers for all of them:
`http://127.0.0.1:9465/metrics` (`[exporter]`), OpenMetrics or the older text, as the scraper asks.
It is the only target to scrape, with `honor_labels: true`; rules to alert on are in
[alerts](alerts.md):

```yaml
scrape_configs:
  - job_name: arbstream
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:9465"]}}]
```

A figure older than its limit is absent, and so is one that is not known: absent is never 0. Without
Redis the exporter answers with `arb_up 0`, and within seconds with no figure but times. `proc` is a
slot like `risk-0`: a process that is started again takes the place of the one before.
`arb_money_certainty` says how well the results are known. Histograms have buckets from 10 us to
5 s, and sums from the middles of finer buckets, within 1.6 %. Label values come from closed sets,
never from ids, prices, texts or instruments; `arb_series_overflow_total` counts what finds no room.
"""


def render_markdown() -> str:
    """Return the document."""
    lines = [_HEAD]
    for title, rows in GROUPS.items():
        lines += [f"## {title}", "", "| metric | labels | type | meaning | exposed | series |"]
        lines.append("|---|---|---|---|---|---|")
        for row in rows:
            labels = ", ".join(f"`{name}`" for name in row.labels) or "-"
            bound = row.series_max if row.labels else 1
            lines.append(
                f"| `{row.name}` | {labels} | {row.kind} | {row.text} | {row.source} | {bound} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(render_markdown())
