"""What the page is shown: a system that trades, and one in which nothing has happened yet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.browser.contract_server import Topics, now_ms

VENUES = ("binance", "kraken", "gateio")
PAIRS = {"BTC/USDT": 64_123.4, "ETH/USDT": 3_412.55, "SOL/USDT": 171.213}
STATES = ("LIVE", "LIVE", "LIVE", "LIVE", "STALE", "LIVE", "LIVE", "GAP", "LIVE")
NAMES = [
    "overview",
    "books",
    "depth",
    "spreads",
    "near_misses",
    "opportunities",
    "plans",
    "positions",
    "pnl",
    "funding",
    "health",
    "alerts",
    "log",
    "settings",
    "audit",
    "charts",
]


def known(value: str) -> dict[str, str]:
    return {"value": value, "certainty": "known"}


def estimated(value: str) -> dict[str, str]:
    return {"value": value, "certainty": "estimated"}


UNKNOWN = {"value": None, "certainty": "unknown"}


def rows(*pairs: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"rows": dict(pairs)}


def full(at: int | None = None) -> Topics:
    """Return every topic of a system that trades, as of ``at`` (now)."""
    at = at or now_ms()
    makers: dict[str, Callable[[int], dict[str, Any]]] = {
        "overview": _overview,
        "books": _books,
        "depth": _depth,
        "spreads": _spreads,
        "near_misses": _near_misses,
        "opportunities": _opportunities,
        "plans": _plans,
        "positions": _positions,
        "pnl": _pnl,
        "funding": _funding,
        "health": _health,
        "alerts": _alerts,
        "log": _log,
        "settings": lambda _: SETTINGS,
        "audit": _audit,
        "charts": lambda _: {"rows": {}},
    }
    return {name: make(at) for name, make in makers.items()}


def empty(at: int | None = None) -> Topics:
    """Return every topic of a system that has just begun: most is not known, nothing is 0."""
    at = at or now_ms()
    overview = {
        "state": None,
        "cause": "",
        "mode": "paper",
        "is_bus_read": True,
        "bus_as_of_ms": at,
        "money_as_of_ms": None,
        "result": [],
        "exposure": None,
        "plans_in_flight": None,
        "orders_unsettled": None,
        "venues": [],
        "processes": [],
        "alerts": {"critical": 0, "warning": 0, "info": 0},
        "quiet": {
            "last_opportunity_ms": at - 14 * 60_000,
            "opportunities": 3,
            "best_bps": -1.3,
            "gate": "FEES",
            "near_misses": 345,
        },
        "plans": {"approved": 0, "outcomes": {}},
        "denied": {},
    }
    return {"overview": {"cells": overview}, **{name: {"rows": {}} for name in NAMES[1:]}}


def chart_values() -> dict[str, list[float | None]]:
    """Return series with a hole of a minute, one for each kind of chart."""
    waves: dict[str, list[float | None]] = {}
    for index, (name, level, swing) in enumerate(
        (
            ("price|binance|BTC/USDT", 64_120, 18),
            ("price|kraken|BTC/USDT", 64_124, 17),
            ("price|gateio|BTC/USDT", 64_118, 16),
            ("spread|BTC/USDT", -2.1, 3),
            ("equity|USDT", 12, 3),
            ("today|USDT", 8, 2),
            ("latency|tick_to_order|p50", 1_400, 90),
            ("latency|tick_to_order|p99", 3_100, 500),
        )
    ):
        values: list[float | None] = [
            level + swing * math.sin(i / 47 + index) + swing / 9 * math.sin(i * 1.7 + index)
            for i in range(880)
        ]
        values[300:360] = [None] * 60
        waves[name] = values
    return waves


def _overview(at: int) -> dict[str, Any]:
    venues = [
        _venue(at, "binance", "LIVE", "up", 4),
        _venue(at, "kraken", "LIVE", "up", 3),
        {
            **_venue(at, "gateio", "DOWN", "down", 0),
            "feed_reason": "connection refused",
            "orders_reason": "stood down: 5 refusals in a row",
        },
    ]
    names = ("ingestor-0", "orderbook-0", "scanner-0", "risk-0", "executor-0", "recorder-0")
    processes = [
        {
            "name": name,
            "service": name[:-2],
            "is_ready": name != "recorder-0",
            "reason": "store is full" if name == "recorder-0" else "",
            "as_of_ms": at,
            "is_silent": False,
        }
        for name in names
    ]
    result = {
        "quote": "USDT",
        "equity": estimated("1284.55"),
        "today": known("-12.3405"),
        "realized": known("1301.20"),
        "unrealized": estimated("-16.65"),
        "fees": known("388.12"),
        "funding": known("4.20"),
        "drawdown": known("31.02"),
    }
    cells = {
        "state": "ACTIVE",
        "cause": "OPERATOR: resume by anna",
        "state_since_ms": at - 3_600_000,
        "state_as_of_ms": at,
        "mode": "paper",
        "is_bus_read": True,
        "bus_as_of_ms": at,
        "money_as_of_ms": at,
        "executor_as_of_ms": at,
        "is_executor_ready": True,
        "executor_reason": "",
        "result": [result],
        "exposure": [{"asset": "BTC", "qty": "0.0125"}, {"asset": "ETH", "qty": "-0.4"}],
        "flatten_cost": {
            "totals": [
                {"quote": "USDT", "cost": estimated("3.81"), "spread": "2.2", "fees": "1.61"},
                {"quote": "USDC", "cost": UNKNOWN, "spread": "0", "fees": "0"},
            ],
            "unknown": [
                {
                    "venue": "bybit",
                    "instrument": "ETH/USDC:USDC",
                    "qty": "-0.4",
                    "why": "no LIVE book prices it",
                }
            ],
        },
        "plans_in_flight": 2,
        "orders_unsettled": 1,
        "venues": venues,
        "processes": processes,
        "alerts": {"critical": 1, "warning": 2, "info": 5},
        "quiet": {
            "last_opportunity_ms": at - 4_000,
            "opportunities": 412,
            "best_bps": 3.2,
            "gate": "FEES",
            "near_misses": 28_311,
        },
        "plans": {"approved": 96, "outcomes": {"FILLED": 88, "HEDGED": 5, "UNWOUND": 3}},
        "denied": {"NOTIONAL_MAX": 12, "STALE_BOOK": 3},
    }
    return {"cells": cells}


def _venue(at: int, name: str, feed: str, orders: str, live: int) -> dict[str, Any]:
    told = {"venue": name, "feed": feed, "orders": orders, "feed_reason": "", "orders_reason": ""}
    return {**told, "feed_as_of_ms": at, "books_live": live, "books": 4}


def _books(at: int) -> dict[str, Any]:
    found = {}
    states = iter(STATES)
    for pair, mid in PAIRS.items():
        for index, venue in enumerate(VENUES):
            state = next(states)
            bid = mid * (1 + 0.0002 * index - 0.0001)
            is_known = state != "GAP"
            found[f"{venue}|{pair}"] = {
                "venue": venue,
                "instrument": pair,
                "state": state,
                "reason": "" if state == "LIVE" else "no message for 5 s",
                "bid": f"{bid:.2f}" if is_known else None,
                "bid_qty": "1.2345" if is_known else None,
                "ask": f"{bid * 1.0001:.2f}" if is_known else None,
                "ask_qty": "0.87" if is_known else None,
                "mid": f"{bid:.2f}" if is_known else None,
                "spread_bps": 1.0 if is_known else None,
                "as_of_ms": at - (60_000 if state == "STALE" else 0),
                "changed_ms": at - (60_000 if state == "STALE" else 120),
            }
    return {"rows": found}


def _depth(at: int) -> dict[str, Any]:
    found = {}
    for pair, mid in PAIRS.items():
        for venue in VENUES:
            found[f"{venue}|{pair}"] = {
                "venue": venue,
                "instrument": pair,
                "state": "LIVE",
                "bids": [[f"{mid - i:.2f}", f"{0.3 + i * 0.21:.4f}"] for i in range(20)],
                "asks": [[f"{mid + 1 + i:.2f}", f"{0.5 + i * 0.17:.4f}"] for i in range(20)],
                "as_of_ms": at,
            }
    return {"rows": found}


def _spreads(at: int) -> dict[str, Any]:
    found = {}
    for pair, mid in PAIRS.items():
        for i, buy in enumerate(VENUES):
            for j, sell in enumerate(VENUES):
                if buy == sell:
                    continue
                gross = (j - i) * 9.0
                is_trusted = "gateio" not in (buy, sell) or pair != "BTC/USDT"
                found[f"{pair}|{buy} {pair}|{sell} {pair}"] = {
                    "group": pair,
                    "buy_venue": buy,
                    "buy_instrument": pair,
                    "sell_venue": sell,
                    "sell_instrument": pair,
                    "buy": f"{mid:.2f}",
                    "sell": f"{mid * (1 + gross / 1e4):.2f}",
                    "gross_bps": gross,
                    "fees_bps": 12.6,
                    "net_bps": gross - 12.6,
                    "qty": "0.42",
                    "is_trusted": is_trusted,
                    "why_not": "" if is_trusted else "gateio STALE",
                    "as_of_ms": at,
                }
    return {"rows": found}


def _near_misses(at: int) -> dict[str, Any]:
    miss = {
        "strategy": "cross_venue",
        "gate": "FEES",
        "buy_venue": "binance",
        "buy_instrument": "BTC/USDT",
        "sell_venue": "kraken",
        "sell_instrument": "BTC/USDT",
        "count": 2_310,
        "best_bps": -1.3,
        "needs_bps": 2.0,
        "context": {"gross_bps": "11.3", "fees_bps": "12.6"},
        "ts_ms": at - 400,
    }
    thin = {**miss, "gate": "SIZE", "count": 4, "best_bps": 2.4, "context": {"qty": "0.00001"}}
    return rows(("a", miss), ("b", thin))


def _legs() -> list[dict[str, Any]]:
    leg = {"venue": "binance", "instrument": "BTC/USDT", "side": "BUY", "qty": "0.0125"}
    prices = {"price_avg": "64101.20", "price_limit": "64110.00", "price_expected": "64101.20"}
    buy = {**leg, **prices, "fee_bps": "7.5", "fee": "0.6009"}
    return [buy, {**buy, "venue": "kraken", "side": "SELL", "price_avg": "64260.00"}]


def _opportunities(at: int) -> dict[str, Any]:
    fates = ("planned", "denied", "expired", "waiting", "planned", "denied")
    found = []
    for i, fate in enumerate(fates):
        row = {
            "ts_ms": at - 4_000 * (i + 1),
            "strategy": "cross_venue",
            "detector": "cross",
            "base": "BTC",
            "quote": "USDT",
            "qty": "0.0125",
            "notional": "801.27",
            "gross": "1.98500000",
            "fees": "1.20310000",
            "net": "0.78190000",
            "edge_bps": "9.7",
            "legs": _legs(),
            "fate": fate,
            "denied_reason": "NOTIONAL_MAX" if fate == "denied" else "",
            "denied_context": {"has": "801.27", "limit": "500"} if fate == "denied" else {},
            "plan_id": f"plan-{i}" if fate == "planned" else None,
        }
        found.append((f"opportunity-{i}", row))
    return rows(*found)


def _plans(at: int) -> dict[str, Any]:
    outcomes = (None, "FILLED", "UNWOUND", "HEDGED", "FAILED", "EXPIRED")
    found = []
    for i, outcome in enumerate(outcomes):
        start = at - 9_000 * i - 300
        orders = [
            {
                "id": f"o{n}",
                "leg": n,
                "purpose": "LEG",
                "venue": leg["venue"],
                "instrument": "BTC/USDT",
                "side": leg["side"],
                "qty": "0.0125",
                "price_limit": "64110",
                "status": "FILLED",
                "filled_qty": "0.0125",
                "reason": "",
                "ts_ms": start + 2 + n,
                "venue_order_id": f"v{n}",
            }
            for n, leg in enumerate(_legs())
        ]
        fill = {"order": "o0", "venue": "binance", "side": "BUY", "price": "64101.2"}
        fills = [{**fill, "qty": "0.0125", "fee": None, "fee_asset": "USDT", "ts_ms": start + 21}]
        row = {
            "ts_ms": start,
            "strategy": "cross_venue",
            "base": "BTC",
            "quote": "USDT",
            "policy": "SIMULTANEOUS",
            "intent": "OPEN",
            "legs": _legs(),
            "net_expected": "0.7819",
            "loss_cap": "25",
            "waterfall": []
            if outcome is None
            else [
                {"step": "expected edge", "amount": known("0.7819")},
                {"step": "expected fees", "amount": known("1.2031")},
                {"step": "slippage", "amount": estimated("-0.0819")},
                {"step": "fees", "amount": estimated("-1.2031")},
                {"step": "conversion", "amount": estimated(f"{-i * 0.4:.4f}")},
                {"step": "realized", "amount": estimated(f"{0.7 - i * 0.4:.4f}")},
            ],
            "realized": UNKNOWN if outcome is None else estimated(f"{0.7 - i * 0.4:.4f}"),
            "fees": UNKNOWN if outcome is None else known("1.2031"),
            "outcome": outcome,
            "outcome_reason": "the second leg was refused" if outcome == "UNWOUND" else "",
            "residual": {"BTC": "0"},
            "ended_ms": None if outcome is None else start + 84,
            "orders": orders,
            "fills": fills,
            "opportunity_id": f"opportunity-{i}",
        }
        found.append((f"plan-{i}", row))
    return rows(*found)


def _positions(at: int) -> dict[str, Any]:
    position = {
        "kind": "position",
        "venue": "bybit",
        "instrument": "BTC/USDT:USDT",
        "qty": "-0.25",
        "entry": "64011.5",
        "close_price": None,
        "unrealized": UNKNOWN,
        "as_of_ms": at,
    }
    spot = {**position, "venue": "", "instrument": "BTC/USDT", "qty": "0.2625"}
    spot |= {"close_price": "64120.10", "unrealized": estimated("28.48")}
    balance = {"kind": "balance", "used": "0", "change": "-12.5", "as_of_ms": at}
    exposure = {"kind": "exposure", "asset": "BTC", "qty": "0.0125", "as_of_ms": at}
    carry = {
        "kind": "round",
        "strategy": "funding_carry",
        "round_id": "r1",
        "state": "OPEN",
        "base": "BTC",
        "quote": "USDT",
        "unhedged": "0",
        "legs": [
            {"venue": "binance", "instrument": "BTC/USDT", "qty": "0.25", "entry": "64000"},
            {"venue": "bybit", "instrument": "BTC/USDT:USDT", "qty": "-0.25", "entry": "64011"},
        ],
        "realized": {"USDT": "1.2"},
        "reason": "",
        "as_of_ms": at,
    }
    return rows(
        ("position|bybit|BTC/USDT:USDT", position),
        ("position||BTC/USDT", spot),
        ("exposure|BTC", exposure),
        ("round|funding_carry|r1", carry),
        *(
            (
                f"balance|{venue}|{asset}",
                {**balance, "venue": venue, "asset": asset, "free": "10234.1200"},
            )
            for venue in VENUES
            for asset in ("BTC", "USDT")
        ),
    )


def _pnl(at: int) -> dict[str, Any]:
    parts = {
        "quote": "USDT",
        "realized": known("1301.20"),
        "unrealized": estimated("-16.65"),
        "fees": known("388.12"),
        "funding": known("4.20"),
        "as_of_ms": at,
    }
    waterfall = [
        {"step": "spread", "amount": known("1685.12")},
        {"step": "fees", "amount": known("-388.12")},
        {"step": "funding", "amount": known("4.20")},
        {"step": "realized", "amount": known("1301.20")},
    ]
    total = {
        "kind": "total",
        "strategy": "",
        "today": known("-12.3405"),
        "equity": estimated("1284.55"),
        "drawdown": known("31.02"),
        "waterfall": waterfall,
        "plans": {"count": 96, "expected": "88.12", "realized": estimated("79.4")},
        **parts,
    }
    cross = {"kind": "strategy", "strategy": "cross_venue", **parts}
    carry = {"kind": "strategy", "strategy": "funding_carry", **parts, "unrealized": UNKNOWN}
    return rows(
        ("total|USDT", total),
        ("strategy|cross_venue|USDT", cross),
        ("strategy|funding_carry|USDT", carry),
    )


def _funding(at: int) -> dict[str, Any]:
    row = {
        "venue": "bybit",
        "instrument": "BTC/USDT:USDT",
        "rate": "0.0001",
        "interval_h": 8.0,
        "next_ms": at + 2 * 3_600_000,
        "mark": "64118.2",
        "index": "64101.9",
        "basis_bps": 2.5,
        "annual_pct": 10.95,
        "break_even_h": 61.0,
        "as_of_ms": at,
    }
    old = {**row, "venue": "binance", "rate": "-0.00004", "annual_pct": -4.4, "index": None}
    old |= {"as_of_ms": at - 600_000, "interval_h": None, "break_even_h": None}
    return rows(("bybit|BTC/USDT:USDT", row), ("binance|BTC/USDT:USDT", old))


def _health(at: int) -> dict[str, Any]:
    found: list[tuple[str, dict[str, Any]]] = []
    hops = (("tick_to_depth", 310.0), ("tick_to_opportunity", 640.0), ("tick_to_order", 1_410.0))
    for name, p50 in hops:
        hop = {"kind": "hop", "name": name, "p50_us": p50, "p99_us": p50 * 2.4, "n": 182_331}
        found.append((f"hop|{name}", {**hop, "p999_us": None if p50 > 1_000 else p50 * 6}))
    for number, name in enumerate(("ingestor-0", "orderbook-0", "risk-0", "executor-0")):
        process = {
            "kind": "process",
            "service": name[:-2],
            "name": name,
            "is_ready": True,
            "reason": "",
            "is_silent": name == "executor-0",
            "pid": 4_000 + number,
            "started_ms": at - 7_400_000,
            "restarts": 1 if name == "executor-0" else 0,
            "http_port": 0,
            "as_of_ms": at - (42_000 if name == "executor-0" else 0),
            "notes": {"dead_man": "kraken set for 60 s"} if name == "executor-0" else {},
        }
        found.append((f"process|{name}", process))
    for name, entries in (("md.depth", 9_912), ("exec.plan", 96), ("sys.health", 1_000)):
        stream = {
            "kind": "stream",
            "name": name,
            "entries": entries,
            "entries_max": 10_000,
            "bytes": 4_812_332,
            "bytes_max": 16_000_000,
            "lag_ms": {"risk": 3, "scanner": 1_204},
            "dead_letters": 0 if name == "exec.plan" else None,
            "as_of_ms": at,
        }
        found.append((f"stream|{name}", stream))
    for venue in VENUES:
        feed = {"kind": "feed", "venue": venue, "source": "book", "reason": "", "as_of_ms": at}
        found.append((f"feed|{venue}|book", {**feed, "state": "LIVE"}))
    return rows(*found)


def _alerts(at: int) -> dict[str, Any]:
    alert = {"ts_ms": at - 61_000, "service": "executor", "severity": "critical", "count": 1}
    loss = {**alert, "code": "BALANCE_LOSS", "subject": "kraken", "text": "1,204 USDT less"}
    down = {**loss, "severity": "warning", "code": "VENUE_DOWN", "service": "ingestor"}
    down |= {"subject": "gateio", "text": "connection refused <b>not markup</b>", "count": 14}
    return rows(("1", loss), ("2", down))


def _log(at: int) -> dict[str, Any]:
    levels = ("info", "warning", "critical")
    return rows(
        *(
            (
                f"{at - i * 1_000}-0",
                {
                    "ts_ms": at - i * 1_000,
                    "source": "risk" if i % 2 else "executor",
                    "level": levels[i % 3 if i % 5 == 0 else 0],
                    "event": "plan ended" if i % 2 else "denied",
                    "text": f"plan-{i} FILLED, realized 0.7819 USDT",
                },
            )
            for i in range(60)
        )
    )


SETTINGS = rows(
    ("executor.mode", {"section": "executor", "key": "mode", "value": "paper", "is_default": True}),
    (
        "risk.notional_max",
        {"section": "risk", "key": "notional_max", "value": "500", "is_default": False},
    ),
    (
        "bus.url",
        {"section": "bus", "key": "url", "value": "redis://arb:***@127.0.0.1", "is_default": False},
    ),
)


def _audit(at: int) -> dict[str, Any]:
    entry = {"seq": 1, "ts_ms": at - 90_000, "who": "operator", "address": "127.0.0.1"}
    halt = {**entry, "action": "halt", "arguments": {}, "outcome": "confirmed"}
    refused = {**halt, "seq": 2, "who": "viewer", "action": "flatten", "outcome": "refused"}
    return rows(
        ("1", {**halt, "command_id": "halt-1790000000000000000"}),
        ("2", {**refused, "arguments": {"typed": "FLATTEN"}, "command_id": None}),
    )
