"""The one JSON object that `arb demo` and `arb replay` print. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shared.watch.collector import Collector
from shared.watch.latency import latency_record
from shared.watch.money import (
    Closing,
    VenuePosition,
    balance_changes,
    money_report,
    perpetuals,
)
from shared.watch.usage import Usage


@dataclass(slots=True)
class Ending:
    """What was found when the run ended."""

    seconds: float = 0.0
    books_live: int = 0
    problems: list[str] = field(default_factory=list)
    open_orders: int | None = None
    ledger_equal: bool | None = None
    closing: Closing = field(default_factory=Closing)
    flattened: bool = False
    streams: dict[str, dict[str, int]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


def value_as_reported(collector: Collector, closing: Closing) -> None:
    """Take the accounts' changes and positions from what the executor reported of them."""
    reported = {
        venue: {asset: each.settled for asset, each in report.balances.items()}
        for venue, report in collector.balances.items()
    }
    closing.changes = balance_changes(collector.balances_first, reported)
    closing.positions = [
        VenuePosition(venue, name, qty, collector.books.cost_of(f"{venue}|{name}", qty))
        for venue, report in collector.balances.items()
        for name, qty in perpetuals(report.positions).items()
    ]


def number(value: Decimal) -> int | float:
    """Return money for JSON: exact zero stays the integer zero."""
    return int(value) if value == value.to_integral_value() else float(value)


def build_report(
    collector: Collector, usage: Mapping[str, Usage], ending: Ending
) -> dict[str, Any]:
    """Return the report; ``collector`` must have followed the streams from their start."""
    count = collector.counter
    return {
        "seconds": round(ending.seconds, 1),
        "venue_frames": count("ingestor", "frames"),
        "book_events": count("orderbook", "book_events"),
        "books": {
            "live": ending.books_live,
            "gaps": count("ingestor", "gaps") + count("orderbook", "gaps"),
            "resyncs": count("ingestor", "resyncs"),
        },
        "opportunities": collector.opportunities,
        "near_misses": dict(sorted(collector.near_misses.items())),
        "indications": dict(sorted(collector.indications.items())),
        "plans": {
            "approved": len(collector.plans),
            "denied": dict(sorted(collector.denied.items())),
            "outcomes": {k: n for k, n in sorted(collector.outcomes.items()) if n},
            "in_flight": len(collector.in_flight()),
        },
        "orders": collector.order_counts(),
        "fills": len(collector.fills),
        "fills_unowned": collector.fills_unowned,
        **money_report(
            collector.books, ending.closing, collector.strategies, collector.funding.unknown()
        ),
        "residual_exposure": {
            asset: number(qty) for asset, qty in sorted(collector.books.exposure.items())
        },
        "latency_us": latency_record(collector),
        "services": {
            name: {
                "pid": used.pid,
                "restarts": used.restarts,
                "rss_mb_max": round(used.rss_mb_max, 1),
                "rss_mb_per_h": None if used.rss_mb_per_h is None else round(used.rss_mb_per_h, 2),
                "cpu_s": round(used.cpu_s, 2),
            }
            for name, used in usage.items()
        },
        "trading": {
            "state": collector.state.state if collector.state else "unknown",
            "reason": collector.state.reason if collector.state else "",
        },
        "open_orders": ending.open_orders,
        "ledger_equal": ending.ledger_equal,
        "flattened": ending.flattened,
        "alerts": [f"{a.service}: {a.code}: {a.text}" for a in collector.alerts],
        "streams": ending.streams,
        "problems": ending.problems,
        **ending.extra,
    }
