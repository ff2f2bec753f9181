"""Coinbase Exchange: the session's answers to what the venue says, its rules and its recordings."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from services.cli.verdict import State
from services.cli.verification import verify_paths
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Trade, TradesMissed
from shared.venues.coinbaseexchange.feed import FEED
from shared.venues.coinbaseexchange.recordings import CoinbaseRecordings
from shared.venues.coinbaseexchange.session import CoinbaseSession
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
SYMBOL, NAME = "BTC-USD", "BTC/USD"


def encoded(**body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def at(microsecond: int) -> str:
    return f"2021-04-17T16:43:37.{microsecond:06d}Z"


def snapshot() -> bytes:
    sides = {"asks": [["101", "3"]], "bids": [["100.5", "2"]]}
    return encoded(type="snapshot", product_id=SYMBOL, **sides)


def update(microsecond: int, qty: str = "4", side: str = "buy") -> bytes:
    changes = [[side, "100", qty]]
    return encoded(type="l2update", product_id=SYMBOL, changes=changes, time=at(microsecond))


def match(trade_id: int, kind: str = "match") -> bytes:
    body = {"side": "sell", "size": "985", "price": "0.5", "product_id": SYMBOL, "sequence": 9}
    return encoded(type=kind, trade_id=trade_id, **body, time=at(5))


def subscriptions(*names: str) -> bytes:
    rows = [{"name": name, "product_ids": [SYMBOL]} for name in names]
    return encoded(type="subscriptions", channels=rows)


def opened(kind: FeedKind = FeedKind.DEPTH) -> CoinbaseSession:
    session = CoinbaseSession("v", {SYMBOL: NAME}, kind=kind)
    session.on_open(NOW)
    return session


def followed() -> CoinbaseSession:
    session = opened()
    session.on_frame(subscriptions("level2_batch", "heartbeat"), NOW)
    session.on_frame(snapshot(), NOW)
    return session


def sent(effects: Any) -> list[dict[str, Any]]:
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]


def messages(effects: Any) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Emit)]


def test_products_are_asked_for_one_after_the_other() -> None:
    session = CoinbaseSession("v", {SYMBOL: NAME, "ETH-USD": "ETH/USD"})
    channels = ["level2_batch", "heartbeat"]
    first = {"type": "subscribe", "product_ids": [SYMBOL], "channels": channels}
    assert sent(session.on_open(NOW)) == [first]
    assert sent(session.on_frame(subscriptions("heartbeat"), NOW)) == []
    asked = sent(session.on_frame(subscriptions(*channels), NOW))
    assert asked == [{**first, "product_ids": ["ETH-USD"]}]


def test_a_snapshot_makes_the_book_unproved_and_updates_continue_it() -> None:
    emit, status = opened().on_frame(snapshot(), NOW)
    assert isinstance(emit.message, BookSnapshot)
    assert (emit.message.bids, emit.message.asks) == ([(100.5, 2.0)], [(101.0, 3.0)])
    assert status.state is BookState.UNPROVED
    assert emit.message.unproved == status.reason != ""
    session = followed()
    [delta] = messages(session.on_frame(update(5, qty="0"), NOW))
    assert isinstance(delta, BookDelta)
    assert (delta.bids, delta.asks, delta.seq) == ([(100.0, 0.0)], [], delta.seq_prev + 1)
    [delta] = messages(session.on_frame(update(5, side="sell"), NOW))
    assert delta.asks == [(100.0, 4.0)], "two updates may have the same time"


def test_the_same_update_again_is_dropped_and_one_from_before_is_out_of_order() -> None:
    session = followed()
    session.on_frame(update(5), NOW)
    assert [type(e) for e in session.on_frame(update(5), NOW)] == [Dropped]
    effects = session.on_frame(update(4), NOW)
    assert isinstance(effects[0], Gap)
    assert [request["type"] for request in sent(effects)] == ["unsubscribe", "subscribe"]
    assert [type(e) for e in session.on_frame(update(6), NOW)] == [Dropped]
    assert session.on_frame(snapshot(), NOW + 1)[-1].state is BookState.UNPROVED


def test_an_unreadable_update_starts_its_book_over() -> None:
    malformed, status, *asked = followed().on_frame(update(5)[:70], NOW)
    assert isinstance(malformed, Malformed)
    assert status.state is BookState.GAP
    assert [request["type"] for request in sent(asked)] == ["unsubscribe", "subscribe"]


def test_a_reader_that_lost_the_book_gets_it_again() -> None:
    session = followed()
    asked = sent(session.on_resync(NAME, NOW, NOW + SECOND))
    assert [request["type"] for request in asked] == ["unsubscribe", "subscribe"]


@pytest.mark.parametrize(("reason", "is_final"), [("X is not a valid product", True), ("", False)])
def test_what_is_refused_is_told(reason: str, is_final: bool) -> None:
    error = encoded(type="error", message="Failed to subscribe", reason=reason)
    [status] = opened().on_frame(error, NOW)
    assert isinstance(status, BookStatus) and status.refused == is_final
    [told] = opened(FeedKind.TRADES).on_frame(error, NOW)
    assert isinstance(told, FeedRefused if is_final else Reconnect)
    assert isinstance(followed().on_frame(error, NOW)[0], Malformed)


def test_silence_and_a_missing_answer_end_the_connection() -> None:
    [left] = opened().on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and SYMBOL in left.reason
    assert followed().on_timer(NOW + 14 * SECOND) == []
    [left] = followed().on_timer(NOW + 15 * SECOND)
    assert left == Reconnect("no message for 15 s")


def test_trades_have_the_takers_side_and_missing_ones_are_told() -> None:
    session = opened(FeedKind.TRADES)
    [missed] = messages(session.on_frame(subscriptions("matches", "heartbeat"), NOW))
    assert isinstance(missed, TradesMissed)
    assert not session.on_frame(match(7, "last_match"), NOW)
    [trade] = messages(session.on_frame(match(8), NOW))
    assert isinstance(trade, Trade) and trade.side is Side.BUY, "the venue tells the maker's"
    assert [type(e) for e in session.on_frame(match(8), NOW)] == [Dropped]
    missed, trade = messages(session.on_frame(match(10), NOW))
    assert isinstance(missed, TradesMissed) and isinstance(trade, Trade)
    beat = {"type": "heartbeat", "sequence": 90, "product_id": SYMBOL}
    assert not session.on_frame(encoded(**beat, last_trade_id=10), NOW)
    [missed] = messages(session.on_frame(encoded(**beat, last_trade_id=11), NOW))
    assert isinstance(missed, TradesMissed)


def market(**info: Any) -> dict[str, Any]:
    usual = {"base_increment": "0.00000001", "quote_increment": "0.01", "min_market_funds": "1"}
    return {"id": SYMBOL, "symbol": NAME, "info": {**usual, "status": "online", **info}}


def test_rules_are_the_venues() -> None:
    rules = FEED.rules("v", market())
    assert (rules.tick_size, rules.lot_size) == (Decimal("0.01"), Decimal("1e-8"))
    assert (rules.notional_min, rules.taker_fee_bps, rules.active) == (1, 60, True)
    for info in ({"status": "delisted"}, {"trading_disabled": True}, {"limit_only": True}):
        assert not FEED.rules("v", market(**info)).active


@pytest.mark.parametrize(
    ("raw", "role"),
    [
        (update(1), FrameRole.DELTA),
        (update(1)[:60], FrameRole.DELTA),
        (snapshot(), FrameRole.SNAPSHOT),
        (match(1), FrameRole.TRADE),
        (match(1, "last_match"), FrameRole.OTHER),
    ],
)
def test_recorded_frames_tell_what_they_are(raw: bytes, role: FrameRole) -> None:
    reader = CoinbaseRecordings()
    assert (reader.role_of_frame(raw), reader.instrument_of_frame(raw)) == (role, NAME)


def recording(tmp_path: Any, frames: list[bytes]) -> Any:
    lines = ["wss://ws-feed.pro.coinbase.com <-> 1652459224.5"]
    lines += [f"{1652459225 + n / 10}: {raw.decode()}" for n, raw in enumerate(frames)]
    path = tmp_path / "COINBASE.ws.1.0"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_recording_is_never_proved_and_a_wrong_order_is_named(tmp_path: Any) -> None:
    frames = [subscriptions("level2"), snapshot(), *(update(n, str(n)) for n in range(1, 9))]
    (found,) = verify_paths([recording(tmp_path, frames)]).books
    assert (found.state, found.gaps_total, found.applied) == (State.UNPROVED, 0, 8)
    frames[4], frames[5] = frames[5], frames[4]
    (found,) = verify_paths([recording(tmp_path, frames)]).books
    assert [gap.line for gap in found.gaps] == [7]
