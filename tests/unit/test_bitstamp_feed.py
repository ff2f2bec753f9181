"""Bitstamp spot: the session's answers to what the venue says, its rules and its recordings."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from shared.errors import ConfigError
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Trade, TradesMissed
from shared.venues.bitstamp.feed import FEED
from shared.venues.bitstamp.recordings import BitstampRecordings
from shared.venues.bitstamp.session import BitstampSession
from shared.venues.bitstamp.symbols import to_instrument
from shared.venues.port import (
    DROPPED_SNAPSHOT_OLD,
    DROPPED_STALE,
    BookStatus,
    Dropped,
    Emit,
    FeedKind,
    FeedRefused,
    FetchSnapshot,
    FrameRole,
    Gap,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.unproved_book import TIMES_ONLY

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
START = 1_641_343_691_000_000
SYMBOLS = {"btcusd": "BTC/USD", "ethusd": "ETH/USD"}


def frame(event: str, channel: str, data: Any) -> bytes:
    return json.dumps({"data": data, "channel": channel, "event": event}).encode()


def book(at: int, bids: Any = (), asks: Any = ()) -> dict[str, Any]:
    micros = START + at
    return {
        "timestamp": str(micros // 1_000_000),
        "microtimestamp": str(micros),
        "bids": bids,
        "asks": asks,
    }


def change(at: int, bids: Any = (), asks: Any = (), symbol: str = "btcusd") -> bytes:
    return frame("data", f"diff_order_book_{symbol}", book(at, bids, asks))


def rest(at: int) -> bytes:
    return json.dumps(book(at, [["100.0", "1.0"]], [["101.0", "2.0"]])).encode()


def acked(symbol: str, prefix: str = "diff_order_book_") -> bytes:
    return frame("bts:subscription_succeeded", prefix + symbol, {})


def opened(kind: FeedKind = FeedKind.DEPTH) -> BitstampSession:
    session = BitstampSession("bitstamp", {"btcusd": "BTC/USD"}, kind=kind)
    session.on_open(NOW)
    return session


def followed() -> BitstampSession:
    session = opened()
    session.on_frame(acked("btcusd"), NOW)
    session.on_frame(change(1), NOW)
    session.on_snapshot("BTC/USD", rest(2), NOW)
    return session


def sent(effects: Any) -> list[dict[str, Any]]:
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]


def test_channels_are_subscribed_one_after_the_other() -> None:
    session = BitstampSession("bitstamp", SYMBOLS)
    [first] = sent(session.on_open(NOW))
    assert first == {"event": "bts:subscribe", "data": {"channel": "diff_order_book_btcusd"}}
    effects = session.on_frame(acked("btcusd"), NOW)
    assert [request["data"]["channel"] for request in sent(effects)] == ["diff_order_book_ethusd"]
    asked = next(effect for effect in effects if isinstance(effect, FetchSnapshot))
    assert asked.path == "/api/v2/order_book/btcusd/"


def test_a_joined_book_is_unproved_and_says_why() -> None:
    session = opened()
    session.on_frame(acked("btcusd"), NOW)
    for at in (1, 2, 5):
        session.on_frame(change(at, [["99.0", "0.0"]]), NOW)
    effects = session.on_snapshot("BTC/USD", rest(2), NOW)
    dropped = [effect for effect in effects if isinstance(effect, Dropped)]
    assert [effect.reason for effect in dropped] == [DROPPED_STALE, DROPPED_STALE]
    whole, delta = (effect.message for effect in effects if isinstance(effect, Emit))
    assert isinstance(whole, BookSnapshot) and isinstance(delta, BookDelta)
    assert (whole.unproved, whole.bid_floor, whole.ask_ceiling) == (TIMES_ONLY, None, None)
    assert (delta.seq_prev, delta.seq) == (START + 2, START + 5)
    assert delta.ts_venue_ns == (START + 5) * 1_000
    status = effects[-1]
    assert isinstance(status, BookStatus)
    assert (status.state, status.reason) == (BookState.UNPROVED, TIMES_ONLY)


def test_a_book_from_before_the_stream_is_not_joined() -> None:
    """What changed between the two is not known."""
    session = opened()
    session.on_frame(acked("btcusd"), NOW)
    session.on_frame(change(10), NOW)
    old, again = session.on_snapshot("BTC/USD", rest(9), NOW)
    assert isinstance(old, Dropped) and old.reason == DROPPED_SNAPSHOT_OLD
    assert (old.expected, old.got) == (START + 10, START + 9)
    assert isinstance(again, FetchSnapshot) and again.not_before_ns > NOW
    assert session.on_snapshot("BTC/USD", rest(10), NOW)[-1].state is BookState.UNPROVED


@pytest.mark.parametrize(("at", "kind"), [(3, Emit), (2, Dropped), (1, Dropped)])
def test_a_change_is_judged_by_its_time(at: int, kind: type) -> None:
    [effect] = followed().on_frame(change(at, [["99.0", "1"]]), NOW)
    assert type(effect) is kind


def test_a_change_of_before_the_last_one_is_out_of_order() -> None:
    session = followed()
    session.on_frame(change(7), NOW)
    assert type(session.on_frame(change(7), NOW)[0]) is Dropped
    gap, status, *_ = session.on_frame(change(6), NOW)
    assert isinstance(gap, Gap) and (gap.expected, gap.got) == (START + 8, START + 6)
    assert status.state is BookState.GAP


@pytest.mark.parametrize(
    "raw", [change(9)[:60], frame("data", "diff_order_book_btcusd", {"microtimestamp": "x"})]
)
def test_a_change_that_cannot_be_read_is_a_lost_one(raw: bytes) -> None:
    """No number of the next one would show it."""
    said, status, again = followed().on_frame(raw, NOW)
    assert isinstance(said, Malformed)
    assert isinstance(status, BookStatus) and status.state is BookState.GAP
    assert isinstance(again, FetchSnapshot)
    waiting = opened()
    waiting.on_frame(acked("btcusd"), NOW)
    waiting.on_frame(change(1), NOW)
    assert [type(effect) for effect in waiting.on_frame(raw, NOW)] == [Malformed]
    waiting.on_frame(change(5), NOW)
    old, *_ = waiting.on_snapshot("BTC/USD", rest(3), NOW)
    assert isinstance(old, Dropped) and old.reason == DROPPED_SNAPSHOT_OLD


def test_a_recorded_change_of_two_times_is_said() -> None:
    session = BitstampRecordings().session("bitstamp", "BTC/USD")
    session.on_open(NOW)
    raw = change(1).replace(b'"timestamp": "1641343691"', b'"timestamp": "1641343690"')
    [said] = session.on_frame(raw, NOW)
    assert isinstance(said, Malformed) and "1641343690" in said.reason


def test_an_error_is_about_the_channel_that_was_asked_for() -> None:
    session = BitstampSession("bitstamp", SYMBOLS)
    session.on_open(NOW)
    bad = frame("bts:error", "", {"code": None, "message": "Bad subscription string."})
    status, *rest_of = session.on_frame(bad, NOW)
    assert isinstance(status, BookStatus)
    assert (status.instrument, status.state, status.refused) == ("BTC/USD", BookState.DOWN, True)
    assert [request["data"]["channel"] for request in sent(rest_of)] == ["diff_order_book_ethusd"]
    [refused] = opened(FeedKind.TRADES).on_frame(bad, NOW)
    assert isinstance(refused, FeedRefused) and refused.instrument == "BTC/USD"
    other = frame("bts:error", "", {"code": 4, "message": "Too many connections."})
    [left] = opened().on_frame(other, NOW)
    assert isinstance(left, Reconnect) and "Too many" in left.reason


def test_the_venue_may_ask_for_a_new_connection() -> None:
    [left] = followed().on_frame(frame("bts:request_reconnect", "", ""), NOW)
    assert isinstance(left, Reconnect)


def test_silence_is_asked_about_and_then_left() -> None:
    session = followed()
    [ping] = session.on_timer(NOW + 5 * SECOND)
    assert json.loads(ping.frame) == {"event": "bts:heartbeat"}
    session.on_frame(frame("bts:heartbeat", "", {"status": "success"}), NOW + 6 * SECOND)
    assert session.on_timer(NOW + 10 * SECOND) == ()
    assert len(session.on_timer(NOW + 11 * SECOND)) == 1
    [left] = session.on_timer(NOW + 16 * SECOND)
    assert isinstance(left, Reconnect)


def test_a_subscription_that_is_not_answered_ends_the_connection() -> None:
    session = opened()
    session.on_timer(NOW + 9 * SECOND)
    [left] = session.on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and "btcusd" in left.reason


def test_trades_have_a_connection_of_their_own() -> None:
    session = opened(FeedKind.TRADES)
    [missed] = session.on_frame(acked("btcusd", "live_trades_"), NOW)
    assert isinstance(missed.message, TradesMissed) and not missed.message.ongoing
    data = {
        "buy_order_id": 1207733769326592,
        "amount_str": "0.14406384",
        "timestamp": "1583691851",
        "microtimestamp": "1583691851934000",
        "id": 106833903,
        "amount": 0.14406384,
        "sell_order_id": 1207733765476352,
        "price_str": "8302.92",
        "type": 1,
        "price": 8302.92,
    }
    [emit] = session.on_frame(frame("trade", "live_trades_btcusd", data), NOW)
    trade = emit.message
    assert isinstance(trade, Trade)
    assert (trade.side, trade.price, trade.qty) == (Side.SELL, 8302.92, 0.14406384)
    assert (trade.trade_id, trade.ts_venue_ns) == ("106833903", 1583691851934000000)
    [bad] = session.on_frame(frame("trade", "live_trades_btcusd", {**data, "type": 2}), NOW)
    assert isinstance(bad, Malformed)


def test_rules_are_those_of_the_venues_list() -> None:
    info = {
        "name": "BTC/USD",
        "market_symbol": "btcusd",
        "base_decimals": 8,
        "counter_decimals": 0,
        "minimum_order_value": "10",
        "trading": "Enabled",
    }
    market = {"id": "btcusd", "symbol": "BTC/USD", "info": info}
    rules = FEED.rules("bitstamp", market)
    assert (rules.tick_size, rules.lot_size) == (Decimal(1), Decimal("1e-8"))
    assert (rules.notional_min, rules.taker_fee_bps) == (Decimal(10), Decimal(40))
    assert rules.active
    info["trading"] = "Disabled"
    rules = FEED.rules("bitstamp", market)
    assert (rules.active, rules.reason) == (False, "trading Disabled")
    assert FEED.is_streamed_as(market) == FEED.to_symbol("BTC/USD")


def test_only_spot_instruments_are_subscribed() -> None:
    with pytest.raises(ConfigError, match="BTC/USD:USD"):
        FEED.connections("bitstamp", ["BTC/USD:USD"])


@pytest.mark.parametrize(
    ("symbol", "instrument"),
    [
        ("btcusd", "BTC/USD"),
        ("usdtusd", "USDT/USD"),
        ("btcusdt", "BTC/USDT"),
        ("batbtc", "BAT/BTC"),
        ("usd", None),
        ("btc-usd", None),
    ],
)
def test_a_symbol_is_split_at_its_quote(symbol: str, instrument: str | None) -> None:
    assert to_instrument(symbol) == instrument


def test_a_recorded_list_tells_symbols_apart() -> None:
    reader = BitstampRecordings()
    listed = b'[{"name":"AB/CUSD","url_symbol":"abcusd"},{"name":"X/Y","market_symbol":"xy"}]'
    assert reader.learn("https://www.bitstamp.net/api/v2/trading-pairs-info/", listed)
    assert not reader.learn("https://www.bitstamp.net/api/v2/trading-pairs-info/", listed)
    url = "https://www.bitstamp.net/api/v2/order_book/abcusd"
    assert (reader.venue_of_url(url), reader.instrument_of_url(url)) == ("bitstamp", "AB/CUSD")
    assert reader.instrument_of_frame(change(1, symbol="xy")) == "X/Y"
    assert reader.venue_of_url("https://notbitstamp.net/") is None


@pytest.mark.parametrize(
    ("raw", "role", "instrument"),
    [
        (change(1), FrameRole.DELTA, "BTC/USD"),
        (b'{"channel":"diff_order_book_btcusd","da', FrameRole.DELTA, "BTC/USD"),
        (frame("trade", "live_trades_btcusd", {}), FrameRole.TRADE, "BTC/USD"),
        (acked("btcusd"), FrameRole.OTHER, None),
        (rest(1), FrameRole.REST_BOOK, None),
        (b"[1]", FrameRole.OTHER, None),
    ],
)
def test_recorded_frames_tell_what_they_are(raw, role, instrument) -> None:
    reader = BitstampRecordings()
    assert (reader.role_of_frame(raw), reader.instrument_of_frame(raw)) == (role, instrument)
