"""Kraken Futures: the session's answers to what the venue says, its rules and its recordings."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from services.cli.verdict import State
from services.cli.verification import verify_paths
from shared.errors import ConfigError
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Funding, Mark, Trade, TradesMissed
from shared.venues.krakenfutures.feed import FEED
from shared.venues.krakenfutures.recordings import KrakenFuturesRecordings
from shared.venues.krakenfutures.session import KrakenFuturesSession
from shared.venues.krakenfutures.symbols import spelled, to_instrument
from shared.venues.port import (
    BookStatus,
    Dropped,
    Emit,
    FeedKind,
    FeedRefused,
    FrameRole,
    Gap,
    Malformed,
    Reconnect,
    Send,
)

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
SYMBOL, NAME = "PF_XBTUSD", "BTC/USD:USD"


def encoded(**body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def snapshot(seq: int, symbol: str = SYMBOL) -> bytes:
    bids, asks = [{"price": 100.5, "qty": 2.0}], [{"price": 101.0, "qty": 3.0}]
    times = {"timestamp": 1612269825817, "tickSize": None}
    return encoded(feed="book_snapshot", product_id=symbol, seq=seq, bids=bids, asks=asks, **times)


def change(seq: int, qty: float = 4.0, side: str = "buy", symbol: str = SYMBOL) -> bytes:
    body = {"product_id": symbol, "side": side, "seq": seq, "price": 100.0, "qty": qty}
    return encoded(feed="book", **body, timestamp=1626994927744)


def trade(seq: int, kind: str = "fill") -> bytes:
    body = {"product_id": SYMBOL, "uid": f"u{seq}", "side": "sell", "type": kind, "seq": seq}
    return encoded(feed="trade", **body, time=1626994929946, qty=0.5, price=119.44)


def subscribed(feed: str = "book") -> bytes:
    return encoded(event="subscribed", feed=feed, product_ids=[SYMBOL])


def opened(kind: FeedKind = FeedKind.DEPTH) -> KrakenFuturesSession:
    session = KrakenFuturesSession("krakenfutures", {SYMBOL: NAME}, kind=kind)
    session.on_open(NOW)
    return session


def live(seq: int = 10) -> KrakenFuturesSession:
    session = opened()
    session.on_frame(subscribed(), NOW)
    session.on_frame(snapshot(seq), NOW)
    return session


def sent(effects: Any) -> list[dict[str, Any]]:
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]


def messages(effects: Any) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Emit)]


def test_every_product_is_asked_for_by_itself_and_the_heartbeat_too() -> None:
    session = KrakenFuturesSession("v", {SYMBOL: NAME, "PI_XBTUSD": "BTC/USD:BTC"})
    assert sent(session.on_open(NOW)) == [
        {"event": "subscribe", "feed": "heartbeat"},
        {"event": "subscribe", "feed": "book", "product_ids": [SYMBOL]},
        {"event": "subscribe", "feed": "book", "product_ids": ["PI_XBTUSD"]},
    ]


def test_a_snapshot_makes_the_book_live_and_a_change_sets_one_level() -> None:
    session = opened()
    emit, status = session.on_frame(snapshot(10), NOW)
    assert isinstance(emit.message, BookSnapshot)
    assert (emit.message.bids, emit.message.asks) == ([(100.5, 2.0)], [(101.0, 3.0)])
    assert (emit.message.seq, emit.message.depth_max) == (10, None)
    assert emit.message.ts_venue_ns == 1612269825817 * 10**6
    assert status.state is BookState.LIVE
    [delta] = messages(session.on_frame(change(11, qty=0.0), NOW))
    assert isinstance(delta, BookDelta)
    assert (delta.seq_prev, delta.seq, delta.bids, delta.asks) == (10, 11, [(100.0, 0.0)], [])
    [delta] = messages(session.on_frame(change(12, side="sell"), NOW))
    assert (delta.bids, delta.asks) == ([], [(100.0, 4.0)])


@pytest.mark.parametrize(("seq", "kind"), [(11, Emit), (10, Dropped), (4, Dropped), (12, Gap)])
def test_a_change_is_judged_by_its_number(seq: int, kind: type) -> None:
    effects = live().on_frame(change(seq), NOW)
    assert type(effects[0]) is kind
    if kind is Gap:
        assert (effects[0].expected, effects[0].got) == (11, 12)
        assert effects[1].state is BookState.GAP
        assert [request["event"] for request in sent(effects)] == ["unsubscribe", "subscribe"]


def test_nothing_is_applied_between_a_gap_and_the_next_snapshot() -> None:
    session = live()
    session.on_frame(change(12), NOW)
    assert [type(e) for e in session.on_frame(change(13), NOW)] == [Dropped]
    emit, status = session.on_frame(snapshot(40), NOW + 1)
    assert (emit.message.seq, status.state) == (40, BookState.LIVE)


def test_products_are_numbered_apart() -> None:
    session = KrakenFuturesSession("v", {SYMBOL: NAME, "PI_XBTUSD": "BTC/USD:BTC"})
    session.on_open(NOW)
    session.on_frame(snapshot(10), NOW)
    session.on_frame(snapshot(700, "PI_XBTUSD"), NOW)
    assert messages(session.on_frame(change(11), NOW))
    assert messages(session.on_frame(change(701, symbol="PI_XBTUSD"), NOW))


@pytest.mark.parametrize(
    "text", [{"event": "error", "message": "Invalid product id"}, {"event": "subscribed_failed"}]
)
def test_what_is_refused_is_told(text: dict[str, str]) -> None:
    [status] = opened().on_frame(encoded(**text), NOW)
    assert isinstance(status, BookStatus) and status.state is BookState.DOWN
    assert status.refused == ("message" in text), "what names no reason is tried again"
    [told] = opened(FeedKind.TRADES).on_frame(encoded(**text), NOW)
    assert isinstance(told, FeedRefused if "message" in text else Reconnect)


def test_an_error_of_nobody_is_malformed_and_a_repeated_subscription_is_none() -> None:
    assert isinstance(live().on_frame(b'{"event":"error","message":"Invalid"}', NOW)[0], Malformed)
    again = encoded(event="alert", message="Already subscribed to feed, re-requesting")
    assert not live().on_frame(again, NOW)


def test_a_silent_connection_is_left_and_a_heartbeat_keeps_it() -> None:
    session = live()
    session.on_frame(b'{"feed":"heartbeat","time":1534262350627}', NOW + 10 * SECOND)
    assert session.on_timer(NOW + 20 * SECOND) == []
    [left] = session.on_timer(NOW + 25 * SECOND)
    assert left == Reconnect("no message for 15 s")


def test_what_is_not_acknowledged_ends_the_connection() -> None:
    [left] = opened().on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and SYMBOL in left.reason


def test_trades_are_numbered_and_missing_ones_are_told() -> None:
    session = opened(FeedKind.TRADES)
    [missed] = messages(session.on_frame(subscribed("trade"), NOW))
    assert isinstance(missed, TradesMissed)
    before = encoded(feed="trade_snapshot", product_id=SYMBOL, trades=[{"seq": 7}, {"seq": 6}])
    assert not session.on_frame(before, NOW)
    [told] = messages(session.on_frame(trade(8), NOW))
    assert isinstance(told, Trade)
    assert (told.side, told.price, told.qty) == (Side.SELL, 119.44, 0.5)
    assert [type(e) for e in session.on_frame(trade(8), NOW)] == [Dropped]
    missed, told = messages(session.on_frame(trade(10), NOW))
    assert isinstance(missed, TradesMissed) and isinstance(told, Trade)
    assert not session.on_frame(trade(11, "block"), NOW), "agreed elsewhere"


def ticker(**more: Any) -> bytes:
    body = {"time": 1680811086487, "product_id": SYMBOL, "funding_rate": 0.5, "index": 28062.14}
    return encoded(feed="ticker", **body, markPrice=28064.5, **more)


NEXT = {"relative_funding_rate": -2.5e-7, "next_funding_rate_time": 1680811200000}


def test_marks_and_the_relative_rate_of_the_hour_are_told() -> None:
    mark, funding = messages(opened(FeedKind.FUNDING).on_frame(ticker(**NEXT), NOW))
    assert isinstance(mark, Mark) and isinstance(funding, Funding)
    assert (mark.mark_price, mark.index_price) == (28064.5, 28062.14)
    assert (funding.rate, funding.interval_ns) == (-2.5e-7, 3600 * SECOND)
    assert funding.ts_funding_ns == 1680811200000 * 10**6


@pytest.mark.parametrize(
    "more",
    [
        {},  # only the absolute rate
        {"relative_funding_rate": 1e-5},
        {**NEXT, "next_funding_rate_time": 1680811086487 + 3_600_001},  # rates are per hour
    ],
)
def test_no_rate_is_guessed(more: dict[str, Any]) -> None:
    [mark] = messages(opened(FeedKind.FUNDING).on_frame(ticker(**more), NOW))
    assert isinstance(mark, Mark)


def market(**info: Any) -> dict[str, Any]:
    usual = {"symbol": SYMBOL, "type": "flexible_futures", "tickSize": 0.5, "contractSize": 1}
    usual |= {"tradeable": True, "contractValueTradePrecision": 4}
    return {"id": SYMBOL, "symbol": NAME, "taker": 0.0005, "maker": 0.0002, "info": usual | info}


def test_rules_are_the_venues() -> None:
    rules = FEED.rules("v", market())
    assert (rules.tick_size, rules.lot_size) == (Decimal("0.5"), Decimal("0.0001"))
    assert (rules.taker_fee_bps, rules.maker_fee_bps) == (5, 2)
    assert rules.active and rules.contract_size == 1
    assert FEED.rules("v", market(contractValueTradePrecision=-3)).lot_size == 1000
    assert FEED.is_streamed_as(market() | {"id": "pf_xbtusd"}) == FEED.to_symbol(NAME)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"tradeable": False}, "not tradeable"),
        ({"contractSize": 10}, "a contract is 10 units"),
        ({"postOnly": True}, "post-only"),
        ({"contractValueTradePrecision": None}, "no lot_size"),
    ],
)
def test_what_cannot_be_traded_says_why(info: dict[str, Any], reason: str) -> None:
    rules = FEED.rules("v", market(**info))
    assert not rules.active and reason in rules.reason


@pytest.mark.parametrize(
    ("symbol", "instrument"),
    [
        (SYMBOL, NAME),
        ("PI_XBTUSD", "BTC/USD:BTC"),
        ("FI_ETHUSD_211231", "ETH/USD:ETH-211231"),
        ("FF_XBTUSD_240329", "BTC/USD:USD-240329"),
    ],
)
def test_every_product_has_a_name(symbol: str, instrument: str) -> None:
    assert (to_instrument(symbol.lower()), spelled(instrument)) == (instrument, symbol)


@pytest.mark.parametrize(
    "instrument", ["BTC/USD", "BTC/USDT:USDT", "XBT/USD:USD", "ETH/USD:ETH-211231"]
)
def test_what_the_venue_cannot_have_is_told(instrument: str) -> None:
    with pytest.raises(ConfigError):
        FEED.connections("v", [instrument])
    assert to_instrument("in_xbtusd") is None


@pytest.mark.parametrize(
    ("raw", "role"),
    [
        (change(1), FrameRole.DELTA),
        (change(1)[:60], FrameRole.DELTA),
        (snapshot(1), FrameRole.SNAPSHOT),
        (trade(1), FrameRole.TRADE),
        (ticker(), FrameRole.FUNDING),
    ],
)
def test_recorded_frames_tell_what_they_are(raw: bytes, role: FrameRole) -> None:
    reader = KrakenFuturesRecordings()
    assert (reader.role_of_frame(raw), reader.instrument_of_frame(raw)) == (role, NAME)


def recording(tmp_path: Any, frames: list[bytes]) -> Any:
    lines = ["wss://futures.kraken.com/ws/v1 <-> 1652459224.5"]
    lines += [f"{1652459225 + n / 10}: {raw.decode()}" for n, raw in enumerate(frames)]
    path = tmp_path / "KRAKEN_FUTURES.ws.1.0"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_recording_is_proved_and_the_line_after_a_lost_one_is_named(tmp_path: Any) -> None:
    frames = [subscribed(), snapshot(10), *(change(seq) for seq in range(11, 19))]
    (found,) = verify_paths([recording(tmp_path, frames)]).books
    assert (found.state, found.gaps_total, found.applied) == (State.LIVE, 0, 8)
    del frames[4]
    (found,) = verify_paths([recording(tmp_path, frames)]).books
    assert found.state is State.GAP
    assert [(gap.line, gap.expected, gap.got) for gap in found.gaps] == [(6, 13, 14)]
