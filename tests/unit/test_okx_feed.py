"""OKX spot: the session's answers to what the venue says, and its rules."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from shared.errors import ConfigError
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Trade, TradesMissed
from shared.venues.okx.checksum import book_checksum
from shared.venues.okx.feed import FEED
from shared.venues.okx.session import OkxSession
from shared.venues.port import (
    BookStatus,
    Checked,
    Dropped,
    Effect,
    Emit,
    FeedKind,
    FeedRefused,
    FetchSnapshot,
    Gap,
    Malformed,
    Reconnect,
    Send,
)

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
BIDS, ASKS = [["3366.1", "7", "0", "3"], ["3366", "6", "0", "1"]], [["3366.8", "9", "0", "1"]]
SUBSCRIBED = b'{"id":"1","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}'


def book(
    action: str, bids: Any = (), asks: Any = (), ts: int = 1652459236119, **more: Any
) -> bytes:
    arg = {"channel": "books", "instId": "BTC-USDT"}
    row = {"asks": asks, "bids": bids, "ts": str(ts), **more}
    return json.dumps({"arg": arg, "action": action, "data": [row]}).encode()


def update(prev_seq: int, seq: int, bids: Any = BIDS, asks: Any = (), **more: Any) -> bytes:
    more = {"checksum": 0, **more}
    return book("update", bids, asks, prevSeqId=prev_seq, seqId=seq, **more)


def opened(kind: FeedKind = FeedKind.DEPTH) -> OkxSession:
    session = OkxSession("okx", {"BTC-USDT": "BTC/USDT"}, kind=kind)
    session.on_open(NOW)
    return session


def live() -> OkxSession:
    session = opened()
    session.on_frame(SUBSCRIBED, NOW)
    whole = book("snapshot", BIDS, ASKS, checksum=0, seqId=10, prevSeqId=-1)
    status = session.on_frame(whole, NOW)[-1]
    assert isinstance(status, BookStatus) and status.state is BookState.LIVE
    return session


def kinds(effects: Any) -> list[type[Effect]]:
    return [type(effect) for effect in effects if not isinstance(effect, Checked)]


def test_a_book_is_subscribed_and_begins_with_its_snapshot() -> None:
    session = OkxSession("okx", {"BTC-USDT": "BTC/USDT", "ETH-USDT": "ETH/USDT"})
    sent = [json.loads(e.frame) for e in session.on_open(NOW) if isinstance(e, Send)]
    assert [(r["id"], r["op"], r["args"]) for r in sent] == [
        ("1", "subscribe", [{"channel": "books", "instId": "BTC-USDT"}]),
        ("2", "subscribe", [{"channel": "books", "instId": "ETH-USDT"}]),
    ]
    whole = book("snapshot", BIDS, ASKS, checksum=0, seqId=10, prevSeqId=-1)
    checked, emit, status = session.on_frame(whole, NOW)
    assert checked == Checked("BTC/USDT", None), "0 is no checksum"
    assert isinstance(emit.message, BookSnapshot)
    assert (emit.message.bids, emit.message.depth_max) == ([(3366.1, 7.0), (3366.0, 6.0)], 400)
    assert emit.message.ts_venue_ns == 1652459236119 * 1_000_000
    assert status.state is BookState.LIVE


def rest_book(seq: int) -> bytes:
    row = {"asks": ASKS, "bids": BIDS, "ts": "1629966436396", "seqId": seq}
    return json.dumps({"code": "0", "msg": "", "data": [row]}).encode()


def without_a_snapshot() -> OkxSession:
    session = opened()
    session.on_frame(SUBSCRIBED, NOW)
    for prev_seq, seq in ((10, 12), (12, 15), (15, 16)):
        assert kinds(session.on_frame(update(prev_seq, seq), NOW)) == [Dropped]
    return session


def asked_for(session: OkxSession, now_ns: int) -> list[FetchSnapshot]:
    return [e for e in session.on_timer(now_ns) if isinstance(e, FetchSnapshot)]


@pytest.mark.parametrize(("seq", "deltas"), [(10, 3), (13, 2), (15, 1), (16, 0)])
def test_where_no_snapshot_comes_the_rest_book_is_joined(seq: int, deltas: int) -> None:
    session = without_a_snapshot()
    assert asked_for(session, NOW + SECOND) == []
    [asked] = asked_for(session, NOW + 2 * SECOND)
    assert asked.path == "/api/v5/market/books?instId=BTC-USDT&sz=400"
    effects = session.on_snapshot("BTC/USDT", rest_book(seq), NOW)
    assert kinds(effects) == [Emit] * (1 + deltas) + [BookStatus]
    assert effects[-1].state is BookState.LIVE
    assert kinds(session.on_frame(update(16, 17), NOW)) == [Emit]
    assert kinds(session.on_frame(update(18, 19), NOW))[0] is Gap


@pytest.mark.parametrize("seq", [9, 17])
def test_a_rest_book_that_does_not_join_is_asked_for_again(seq: int) -> None:
    session = without_a_snapshot()
    asked_for(session, NOW + 2 * SECOND)
    assert kinds(session.on_snapshot("BTC/USDT", rest_book(seq), NOW + 3 * SECOND)) == [Dropped]
    assert len(asked_for(session, NOW + 5 * SECOND)) == 1
    refused = b'{"code":"50011","msg":"Too Many Requests","data":[]}'
    assert kinds(session.on_snapshot("BTC/USDT", refused, NOW + 5 * SECOND)) == [Malformed]
    assert len(asked_for(session, NOW + 7 * SECOND)) == 1
    assert session.on_snapshot_failed("BTC/USDT", 2.5, NOW + 7 * SECOND) == ()
    assert asked_for(session, NOW + 9 * SECOND) == []


def test_an_update_that_cannot_be_read_is_no_part_of_what_joins() -> None:
    session = without_a_snapshot()
    [said] = session.on_frame(update(16, 18, bids=[["x", "1", "0", "1"]]), NOW)
    assert isinstance(said, Malformed)
    assert kinds(session.on_snapshot("BTC/USDT", rest_book(13), NOW))[-1] is BookStatus
    assert kinds(session.on_frame(update(18, 19), NOW))[0] is Gap


def test_a_snapshot_that_comes_late_makes_the_rest_book_superfluous() -> None:
    session = without_a_snapshot()
    session.on_frame(book("snapshot", BIDS, ASKS, checksum=0, seqId=20, prevSeqId=-1), NOW)
    assert asked_for(session, NOW + 2 * SECOND) == []
    assert session.on_snapshot("BTC/USDT", rest_book(15), NOW) == []
    assert kinds(session.on_frame(update(20, 21), NOW)) == [Emit]


def test_what_continues_is_applied_and_what_does_not_is_a_gap() -> None:
    session = live()
    [emit] = [e for e in session.on_frame(update(10, 15), NOW) if isinstance(e, Emit)]
    assert isinstance(emit.message, BookDelta)
    gap, status, leave, again = session.on_frame(update(16, 17), NOW)
    assert gap == Gap("BTC/USDT", 15, 16)
    assert status.state is BookState.GAP
    assert [json.loads(request.frame)["op"] for request in (leave, again)] == [
        "unsubscribe",
        "subscribe",
    ]
    assert kinds(session.on_frame(update(17, 18), NOW)) == [Dropped]


def test_a_message_without_changes_is_no_gap_and_no_news() -> None:
    session = live()
    assert kinds(session.on_frame(update(10, 10, bids=[]), NOW)) == []
    assert kinds(session.on_frame(update(10, 12), NOW)) == [Emit]
    assert kinds(session.on_frame(update(11, 11, bids=[]), NOW))[0] is Gap


def test_numbers_may_fall_after_maintenance_where_the_chain_holds() -> None:
    session = live()
    assert kinds(session.on_frame(update(10, 3), NOW)) == [Emit]
    assert kinds(session.on_frame(update(3, 5), NOW)) == [Emit]


def test_a_repeated_message_is_dropped_and_an_unknown_old_one_is_a_gap() -> None:
    session = live()
    session.on_frame(update(10, 15), NOW)
    session.on_frame(update(15, 20), NOW)
    assert kinds(session.on_frame(update(10, 15), NOW)) == [Dropped]
    assert kinds(session.on_frame(update(20, 21), NOW)) == [Emit]
    assert kinds(session.on_frame(update(4, 8), NOW))[0] is Gap, "perhaps the numbers began anew"


def test_messages_of_a_live_book_continue_each_other_whatever_the_venues_numbers_do() -> None:
    session, messages = live(), []
    for prev_seq, seq in pairwise((10, 11, 50, 3, 4)):
        effects = session.on_frame(update(prev_seq, seq), NOW)
        messages += [e.message for e in effects if isinstance(e, Emit)]
    assert len(messages) == 4
    assert all(a.seq == b.seq_prev for a, b in pairwise(messages))


def test_the_checksum_is_the_venues_own_example() -> None:
    """Its text: ``3366.1:7:3366.8:9:3366:6:3368:8``, and one side alone where it is longer."""
    bids, asks = ["3366.1:7", "3366:6"], ["3366.8:9", "3368:8"]
    assert book_checksum(bids, asks) == -1881014294
    assert book_checksum(bids, asks[:1]) != book_checksum(bids, asks)


def checked_book() -> OkxSession:
    session = opened()
    first = book_checksum(["3366.1:7", "3366:6"], ["3366.8:9"])
    effects = session.on_frame(book("snapshot", BIDS, ASKS, checksum=first), NOW)
    assert effects[0] == Checked("BTC/USDT", True)
    return session


def test_a_book_without_numbers_is_proved_by_its_checksum() -> None:
    session = checked_book()
    right = book_checksum(["3366:6"], ["3366.8:9", "3368:8.50"])
    change = [["3366.1", "0", "0", "0"]], [["3368", "8.50", "0", "2"]]
    effects = session.on_frame(book("update", *change, ts=1652459236219, checksum=right), NOW)
    assert effects[0] == Checked("BTC/USDT", True)
    wrong = book("update", [["3365", "1", "0", "1"]], ts=1652459236319, checksum=right)
    checked, status, *_ = session.on_frame(wrong, NOW)
    assert (checked, status.state) == (Checked("BTC/USDT", False), BookState.GAP)


def test_an_older_message_that_does_not_fit_was_overtaken() -> None:
    session = checked_book()
    right = book_checksum(["3366:6"], ["3366.8:9"])
    session.on_frame(
        book("update", [["3366.1", "0", "0", "0"]], ts=1652459236219, checksum=right), NOW
    )
    old = book("update", [["3366.1", "9", "0", "1"]], ts=1652459236169, checksum=5)
    assert kinds(session.on_frame(old, NOW)) == [Dropped]


@pytest.mark.parametrize("more", [{}, {"checksum": 0}])
def test_a_book_that_cannot_be_proved_never_lives(more: dict[str, int]) -> None:
    session = opened()
    [said] = session.on_frame(book("snapshot", BIDS, ASKS, **more), NOW)
    assert isinstance(said, Malformed) and "cannot be proved" in said.reason
    assert isinstance(session.on_timer(NOW + 11 * SECOND)[0], Reconnect)


@pytest.mark.parametrize("code", ["60018", "51001"])
def test_what_the_venue_does_not_have_is_refused_for_good(code: str) -> None:
    raw = json.dumps({"id": "1", "event": "error", "code": code, "msg": "no such"}).encode()
    [status] = opened().on_frame(raw, NOW)
    assert (status.state, status.refused) == (BookState.DOWN, True)
    [refused] = opened(FeedKind.TRADES).on_frame(raw, NOW)
    assert isinstance(refused, FeedRefused)


def test_any_other_error_is_tried_again_later() -> None:
    session = opened()
    raw = b'{"id":"1","event":"error","code":"60014","msg":"Requests too frequent"}'
    [status] = session.on_frame(raw, NOW)
    assert (status.state, status.refused) == (BookState.DOWN, False)
    sent = [e for n in range(120) for e in session.on_timer(NOW + n * SECOND) if type(e) is Send]
    assert any('"subscribe"' in send.frame for send in sent)
    [said] = session.on_frame(b'{"event":"error","code":"60012","msg":"Invalid"}', NOW)
    assert isinstance(said, Malformed)


def test_the_venue_is_left_before_it_ends_the_connection() -> None:
    raw = b'{"event":"notice","code":"64008","msg":"The connection will soon be closed"}'
    [left] = opened().on_frame(raw, NOW)
    assert isinstance(left, Reconnect) and "64008" in left.reason


def test_a_quiet_connection_is_pinged_by_text_and_left_when_it_stays_silent() -> None:
    session = live()
    assert session.on_timer(NOW + 4 * SECOND) == []
    assert session.on_timer(NOW + 5 * SECOND) == [Send("ping")]
    assert session.on_frame(b"pong", NOW + 6 * SECOND) == ()
    assert session.on_timer(NOW + 11 * SECOND) == [Send("ping")]
    [left] = session.on_timer(NOW + 16 * SECOND)
    assert isinstance(left, Reconnect)


def test_a_subscription_that_is_not_answered_ends_the_connection() -> None:
    [left] = opened().on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and "BTC-USDT" in left.reason


def test_trades_have_a_connection_of_their_own() -> None:
    session = opened(FeedKind.TRADES)
    [missed] = session.on_frame(SUBSCRIBED.replace(b"books", b"trades"), NOW)
    assert isinstance(missed.message, TradesMissed)
    row = {
        "instId": "BTC-USDT",
        "tradeId": "130639474",
        "px": "42219.9",
        "sz": "0.12060306",
        "side": "sell",
        "ts": "1630048897897",
        "count": "3",
    }
    frame = {"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [row]}
    [emit] = session.on_frame(json.dumps(frame).encode(), NOW)
    trade = emit.message
    assert isinstance(trade, Trade)
    assert (trade.side, trade.price, trade.qty) == (Side.SELL, 42219.9, 0.12060306)
    assert trade.ts_venue_ns == 1630048897897 * 1_000_000
    row["side"] = "up"
    [said] = session.on_frame(json.dumps(frame).encode(), NOW)
    assert isinstance(said, Malformed)


def test_rules_are_those_of_the_venues_list() -> None:
    info = {
        "instId": "BTC-USDT",
        "tickSz": "0.1",
        "lotSz": "0.00000001",
        "minSz": "0.00001",
        "maxLmtSz": "9999999999",
        "state": "live",
    }
    market = {"id": "BTC-USDT", "symbol": "BTC/USDT", "info": info}
    rules = FEED.rules("okx", market)
    assert (rules.tick_size, rules.lot_size) == (Decimal("0.1"), Decimal("0.00000001"))
    assert (rules.qty_min, rules.notional_min) == (Decimal("0.00001"), 0)
    assert (rules.taker_fee_bps, rules.maker_fee_bps, rules.active) == (15, 10, True)
    info["state"] = "suspend"
    assert FEED.rules("okx", market).reason == "status suspend"
    assert FEED.is_streamed_as(market) == FEED.to_symbol("BTC/USDT")


@pytest.mark.parametrize("instrument", ["BTC/USDT:USDT", "BTC/USD:BTC-220527"])
def test_only_spot_instruments_are_subscribed(instrument: str) -> None:
    with pytest.raises(ConfigError, match="venue okx: BTC/USD"):
        FEED.connections("okx", [instrument])
