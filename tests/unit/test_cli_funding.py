"""The board of fundings: what is known of each perpetual, and what is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from services.cli.commands_funding import COLUMNS, cells
from services.cli.funding import Seen, records
from shared.messages.market import Funding, FundingSettled
from tests.decision_builders import make_info, make_view

S = 1_000_000_000
HOUR_NS = 3_600 * S
NOW_NS = 1_700_000_000 * S
PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"


def told(rate: float = 0.0002, interval_ns: int | None = 8 * HOUR_NS, **more: Any) -> Funding:
    fields: dict[str, Any] = {
        "venue": "perps",
        "instrument": PERP,
        "mark_price": 100.0,
        "index_price": 100.0,
        "ts_funding_ns": NOW_NS + HOUR_NS + 3 * S,
        "ts_recv_ns": NOW_NS - S,
        "ts_venue_ns": NOW_NS + 2 * S,  # its clock is ahead of ours
    }
    return Funding(**{**fields, **more}, rate=rate, interval_ns=interval_ns)


def settled(at_ns: int, rate: float, interval_ns: int | None = 8 * HOUR_NS) -> FundingSettled:
    return FundingSettled(
        venue="perps",
        instrument=PERP,
        rate=rate,
        ts_funding_ns=at_ns,
        ts_recv_ns=NOW_NS,
        interval_ns=interval_ns,
    )


def markets(*spots: str) -> list:
    found: list = [make_info("perps", PERP), make_view("perps", PERP)]
    for venue in spots:
        found += [make_info(venue, SPOT), make_view(venue, SPOT)]
    return found


def row_of(*messages: Any, hold_hours: int = 240) -> dict[str, Any]:
    seen = Seen()
    seen.take(messages)
    (row,) = records(seen, Decimal(hold_hours), NOW_NS)
    return row


def test_without_books_cost_and_yield_are_unknown() -> None:
    row = row_of(told())
    assert (row["rate"], row["interval_h"]) == (Decimal("0.0002"), 8)
    assert row["rate_per_hour"] == Decimal("0.000025")
    names = ("spot", "cost_bps", "break_even", "apr_gross", "apr_net", "settled_mean")
    assert [row[name] for name in names] == [None] * 6
    assert cells(row)[5:] == ["-"] * 4


def test_what_a_round_costs_says_when_it_is_earned() -> None:
    row = row_of(*markets("a"), told())
    view, fee = make_view("a", SPOT), make_info("a", SPOT).rules.taker_fee_bps
    bid, ask = Decimal(repr(view.bids[0][0])), Decimal(repr(view.asks[0][0]))
    spread = (ask - bid) / ((ask + bid) / 2) * 10_000
    cost = 4 * fee + 2 * spread
    assert (row["spot"], row["cost_bps"]) == ("a", cost)
    assert row["break_even"] == -(-cost // 2)
    assert row["apr_gross"] == Decimal("0.000025") * 8_760
    assert row["apr_net"] == row["apr_gross"] - cost / 10_000 * 8_760 / 240


def test_a_rate_that_the_short_pays_earns_never() -> None:
    row = row_of(*markets("a"), told(-0.0001))
    assert row["break_even"] is None and row["apr_gross"] < 0
    assert cells(row)[COLUMNS.index("n*")] == "never"


def test_an_unknown_interval_is_not_eight_hours() -> None:
    row = row_of(*markets("a"), told(interval_ns=None))
    assert row["interval_h"] is row["rate_per_hour"] is row["apr_net"] is None
    assert row["break_even"] is not None, "counted in settlements"


def test_the_next_settlement_is_by_the_venues_clock() -> None:
    assert row_of(told())["next_settlement_s"] == 3_600.0
    assert row_of(told(ts_venue_ns=None))["next_settlement_s"] is None


def test_settlements_count_once_with_the_time_they_were_for() -> None:
    start = NOW_NS - 20 * HOUR_NS
    rows = [
        settled(start, 0.0003, None),
        settled(start + 8 * HOUR_NS, 0.0001),
        settled(start + 8 * HOUR_NS, 0.0001),
        settled(start + 12 * HOUR_NS, 0.0002, 4 * HOUR_NS),
    ]
    row = row_of(told(), *rows)
    assert (row["settled"], row["settled_mean"]) == (3, Decimal("0.0002"))
    assert row["settled_per_hour"] == Decimal("0.0003") / 12


def test_the_best_is_first_and_what_is_unknown_last() -> None:
    seen = Seen()
    other = told(0.001, instrument="ETH/USDT:USDT")
    seen.take([*markets("a", "b"), other, told()])
    rows = records(seen, Decimal(240), NOW_NS)
    assert [row["instrument"] for row in rows] == [PERP, "ETH/USDT:USDT"]
