"""Binance sessions, spot and futures: frames in, effects out."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from shared.errors import ConfigError, ParseError
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Funding, Mark, Trade, TradesMissed
from shared.venues.binance import parse
from shared.venues.binance.feed import FEED as SPOT
from shared.venues.binance.sequence import SEQUENCE as SPOT_RULE
from shared.venues.binance.session import ANSWER_TIMEOUT_NS, QUIET_NS
from shared.venues.binance.subscriptions import ACK_TIMEOUT_NS, AGAIN_PAUSE_NS
from shared.venues.binance.symbols import to_instrument, to_symbol
from shared.venues.binanceusdm import symbols as futures_symbols
from shared.venues.binanceusdm.feed import FEED as FUTURES
from shared.venues.binanceusdm.parse import parse_mark
from shared.venues.binanceusdm.sequence import SEQUENCE as FUTURES_RULE
from shared.venues.port import (
    DROPPED_OVERFLOW,
    DROPPED_SNAPSHOT_OLD,
    DROPPED_STALE,
    DROPPED_TRADE,
    BestQuote,
    BookStatus,
    Dropped,
    Emit,
    FeedKind,
    FeedRefused,
    FetchSnapshot,
    Gap,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.rest_join import (
    BACKOFF_MAX_NS,
    BREAK_FORGOTTEN_NS,
    BREAKS_FREE,
    EARLY_DELTAS_MAX,
    Verdict,
    backoff_ns,
)

SECOND = 1_000_000_000


def spot_session(*instruments: str):
    (connection,) = SPOT.connections("binance", instruments or ("BTC/USDT",))
    return connection.session


def depth(first: int, last: int, *, bids=(), asks=(), symbol="BTCUSDT"):
    data = {"e": "depthUpdate", "E": 1723161255208, "s": symbol, "U": first, "u": last}
    data |= {"b": [[str(p), str(q)] for p, q in bids], "a": [[str(p), str(q)] for p, q in asks]}
    stream = f"{symbol.lower()}@depth@100ms"
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()


def rest(last_id: int, bids=((10, 1),), asks=((11, 1),)):
    sides = {
        "bids": [[str(p), str(q)] for p, q in bids],
        "asks": [[str(p), str(q)] for p, q in asks],
    }
    return json.dumps({"lastUpdateId": last_id, **sides}).encode()


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def messages(effects, kind):
    return [e.message for e in effects if isinstance(e, Emit) and isinstance(e.message, kind)]


def live_spot(last_id: int = 100):
    session = spot_session()
    session.on_open(1)
    session.on_snapshot("BTC/USDT", rest(last_id), 2)
    return session


# --- spelling


@pytest.mark.parametrize(
    ("instrument", "symbol"),
    [("BTC/USDT", "BTCUSDT"), ("ETH/BTC", "ETHBTC"), ("BNB/FDUSD", "BNBFDUSD")],
)
def test_spot_spelling_goes_both_ways(instrument, symbol):
    assert to_symbol(instrument) == symbol
    assert to_instrument(symbol) == instrument


@pytest.mark.parametrize(
    ("instrument", "symbol"),
    [("BTC/USDT:USDT", "BTCUSDT"), ("ETH/USDC:USDC", "ETHUSDC")],
)
def test_futures_spelling_goes_both_ways(instrument, symbol):
    assert futures_symbols.to_symbol(instrument) == symbol
    assert futures_symbols.to_instrument(symbol) == instrument


def test_an_instrument_of_the_wrong_kind_is_the_users_mistake():
    with pytest.raises(ConfigError, match="BTC/USDT:USDT"):
        SPOT.connections("binance", ["BTC/USDT:USDT"])
    with pytest.raises(ConfigError, match="like BTC/USDT:USDT"):
        FUTURES.connections("binanceusdm", ["BTC/USDT"])


# --- sequence rules


def update(first, last, prev=-1):
    return parse.DepthUpdate(
        symbol="X", first_id=first, last_id=last, bids=[], asks=[], ts_venue=0, prev_id=prev
    )


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (95, 100, Verdict.DROP),  # contained
        (101, 101, Verdict.APPLY),
        (99, 105, Verdict.APPLY),  # overlaps: quantities are absolute
        (102, 105, Verdict.GAP),
    ],
)
def test_spot_rule(first, last, verdict):
    assert SPOT_RULE.join(100, update(first, last)) is verdict
    assert SPOT_RULE.follow(100, update(first, last)) is verdict


@pytest.mark.parametrize(
    ("prev", "first", "last", "verdict"),
    [
        (80, 90, 99, Verdict.DROP),
        (80, 90, 100, Verdict.APPLY),  # U <= lastUpdateId <= u
        (100, 130, 140, Verdict.APPLY),  # pu is the snapshot
        (98, 102, 140, Verdict.APPLY),  # the snapshot ends on another instrument's id
        (101, 130, 140, Verdict.GAP),
    ],
)
def test_futures_rule_joins_a_snapshot(prev, first, last, verdict):
    assert FUTURES_RULE.join(100, update(first, last, prev)) is verdict


@pytest.mark.parametrize(
    ("prev", "first", "last", "verdict"),
    [
        (100, 107, 109, Verdict.APPLY),  # U jumps, that is normal
        (90, 95, 100, Verdict.DROP),  # a duplicate
        (105, 101, 109, Verdict.GAP),  # U alone would have followed
    ],
)
def test_futures_rule_follows_by_pu(prev, first, last, verdict):
    assert FUTURES_RULE.follow(100, update(first, last, prev)) is verdict


# --- parsing


def test_parsers_read_the_documented_samples():
    trade = parse.parse_trade(
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT",'
        b'"t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
    )
    assert (trade.trade_id, trade.price, trade.qty) == (3735683259, 61837.63, 0.02)
    mark = parse_mark(
        b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1680652701000,'
        b'"s":"BTCUSDT","p":"28147.27373413","P":"28142.15563565","i":"28159.75642857",'
        b'"r":"0.00002754","T":1680652800000}}'
    )
    assert (mark.rate, mark.index_price, mark.ts_funding) == (
        0.00002754,
        28159.75642857,
        1680652800000,
    )


@pytest.mark.parametrize(
    "level",
    ['["nan","1"]', '["-1","1"]', '["0","1"]', '["1","-1"]', '["1","inf"]', '["1"]', '["x","1"]'],
)
def test_numbers_no_market_has_are_parse_errors(level):
    raw = depth(1, 2).replace(b'"b":[]', f'"b":[{level}]'.encode())
    with pytest.raises(ParseError):
        parse.parse_depth(raw)


# --- subscribing


def test_opening_subscribes_within_the_rate_and_resets_books():
    instruments = [f"A{n}/USDT" for n in range(150)]
    connections = SPOT.connections("spot", instruments)
    assert [len(c.instruments) for c in connections] == [150]
    effects = connections[0].session.on_open(5)
    frames = [json.loads(effect.frame) for effect in of(effects, Send)]
    assert len(frames) <= 5
    streams = [name for frame in frames for name in frame["params"]]
    assert len(streams) == len(set(streams)) == 150
    assert set(streams) == {f"a{n}usdt@depth@100ms" for n in range(150)}
    assert {s.state for s in of(effects, BookStatus)} == {BookState.SYNCING}


def test_futures_use_the_routed_sockets():
    names = ["BTC/USDT:USDT"]
    (public,) = FUTURES.connections("binanceusdm", names)
    assert public.path == "/public/stream"
    for kind, stream in (("trades", "aggTrade"), ("funding", "markPrice@1s")):
        (market,) = FUTURES.extra_connections("binanceusdm", FeedKind(kind), names)
        assert (market.path, market.kind, market.name) == ("/market/stream", kind, f"{kind}-0")
        (frame,) = of(market.session.on_open(1), Send)
        assert json.loads(frame.frame)["params"] == [f"btcusdt@{stream}"]
        assert market.session.on_close(2) == []  # it has no books to lose


def test_the_acknowledgement_asks_for_the_snapshot():
    session = spot_session()
    session.on_open(1)
    (fetch,) = session.on_frame(b'{"result":null,"id":1}', 2)
    assert fetch == FetchSnapshot("BTC/USDT", "/api/v3/depth?symbol=BTCUSDT&limit=1000", 50)
    assert session.on_frame(b'{"result":null,"id":1}', 3) == ()


@pytest.mark.parametrize(
    "answer",
    [b'{"code":2,"msg":"Invalid request","id":1}', b'{"error":{"code":2,"msg":"Invalid"},"id":1}'],
)
def test_refused_subscription_of_one_instrument_is_said(answer):
    session = spot_session()
    session.on_open(1)
    (status,) = session.on_frame(answer, 2)
    assert status.state is BookState.DOWN and status.refused and "Invalid" in status.reason


def test_instrument_that_spoils_a_frame_is_found_and_the_others_are_subscribed():
    names = [f"A{n}/USDT" for n in range(9)]
    session = spot_session(*names)
    sent = of(session.on_open(1), Send)
    refused, now = [], 1
    while sent:
        request = json.loads(sent.pop().frame)
        is_bad = any("a5usdt" in stream for stream in request["params"])
        answer = {"code": 2, "msg": "Invalid"} if is_bad else {"result": None}
        effects = session.on_frame(json.dumps({**answer, "id": request["id"]}).encode(), now)
        refused += [s.instrument for s in of(effects, BookStatus) if s.refused]
        subscribed = not is_bad and len(of(effects, FetchSnapshot))
        assert subscribed == (0 if is_bad else len(request["params"]))
        assert not of(effects, Reconnect)
        now += AGAIN_PAUSE_NS
        sent += of(session.on_timer(now), Send)
    assert refused == ["A5/USDT"]


def test_refusal_that_may_pass_reconnects():
    session = spot_session()
    session.on_open(1)
    (reconnect,) = session.on_frame(b'{"code":4,"msg":"Too many requests","id":1}', 2)
    assert isinstance(reconnect, Reconnect)


def test_a_missing_acknowledgement_reconnects():
    session = spot_session()
    session.on_open(0)
    assert not of(session.on_timer(ACK_TIMEOUT_NS - 1), Reconnect)
    (reconnect,) = session.on_timer(ACK_TIMEOUT_NS)
    assert "BTC/USDT" in reconnect.reason


def test_a_quiet_connection_is_asked_and_a_silent_one_left():
    session = spot_session()
    session.on_open(0)
    session.on_frame(b'{"result":null,"id":1}', 0)
    (probe,) = session.on_timer(QUIET_NS)
    assert json.loads(probe.frame)["method"] == "LIST_SUBSCRIPTIONS"
    assert session.on_timer(QUIET_NS + ANSWER_TIMEOUT_NS - 1) == ()
    (reconnect,) = session.on_timer(QUIET_NS + ANSWER_TIMEOUT_NS)
    assert isinstance(reconnect, Reconnect)


def test_any_answer_proves_life():
    session = spot_session()
    session.on_open(0)
    session.on_frame(b'{"result":null,"id":1}', 0)
    (probe,) = session.on_timer(QUIET_NS)
    session.on_frame(f'{{"result":[],"id":{json.loads(probe.frame)["id"]}}}'.encode(), QUIET_NS + 1)
    assert session.on_timer(QUIET_NS + ANSWER_TIMEOUT_NS) == ()


@pytest.mark.parametrize(
    "frame",
    [
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_an_announced_restart_reconnects(frame):
    state, reconnect = live_spot().on_frame(frame, 3)
    assert "restart" in state.reason and isinstance(reconnect, Reconnect)


# --- joining and following


def test_early_deltas_join_the_snapshot_and_keep_their_receive_time():
    session = spot_session()
    session.on_open(10)
    (fetch,) = session.on_frame(depth(95, 100), 11)
    assert isinstance(fetch, FetchSnapshot) and fetch.not_before_ns == 0
    session.on_frame(depth(101, 103, bids=[(9, 2)]), 12)
    session.on_frame(depth(104, 104, asks=[(12, 3)]), 13)
    effects = session.on_snapshot("BTC/USDT", rest(101), 14)
    assert of(effects, Dropped) == [Dropped("BTC/USDT", DROPPED_STALE)]
    (snapshot,) = messages(effects, BookSnapshot)
    deltas = messages(effects, BookDelta)
    assert (snapshot.seq, snapshot.epoch, snapshot.ts_recv_ns) == (101, 10, 14)
    assert [(d.seq_prev, d.seq, d.ts_recv_ns, d.epoch) for d in deltas] == [
        (101, 103, 12, 10),
        (103, 104, 13, 10),
    ]
    assert effects[-1] == BookStatus("BTC/USDT", BookState.LIVE, "snapshot joined", 10)


def test_a_live_delta_is_passed_on_in_the_normal_form():
    (effect,) = live_spot(100).on_frame(depth(101, 105, bids=[(10, 0)]), 7)
    delta = effect.message
    assert (delta.seq_prev, delta.seq, delta.bids, delta.ts_recv_ns) == (100, 105, [(10.0, 0.0)], 7)
    assert delta.ts_venue_ns == 1723161255208 * 1_000_000


def test_a_duplicate_is_dropped_and_is_no_gap():
    session = live_spot(100)
    session.on_frame(depth(101, 105), 3)
    assert session.on_frame(depth(101, 105), 4) == (Dropped("BTC/USDT", DROPPED_STALE),)
    assert messages(session.on_frame(depth(106, 106), 5), BookDelta)


def test_a_gap_is_said_and_a_new_snapshot_asked_for():
    session = live_spot(100)
    effects = session.on_frame(depth(102, 105), 30)
    gap, status, fetch = effects
    assert gap == Gap("BTC/USDT", 101, 102)
    assert (status.state, status.epoch) == (BookState.GAP, 30)
    assert isinstance(fetch, FetchSnapshot)
    assert session.on_frame(depth(106, 107), 31) == []
    joined = session.on_snapshot("BTC/USDT", rest(103), 32)
    assert messages(joined, BookSnapshot)[0].epoch == 30
    assert [d.seq for d in messages(joined, BookDelta)] == [105, 107]


def test_a_snapshot_older_than_the_buffer_is_asked_for_again_later():
    session = spot_session()
    session.on_open(0)
    session.on_frame(depth(200, 210), 1)
    dropped, fetch = session.on_snapshot("BTC/USDT", rest(150), 2)
    assert dropped == Dropped("BTC/USDT", DROPPED_SNAPSHOT_OLD, 151, 200)
    assert fetch.not_before_ns > 2
    assert messages(session.on_snapshot("BTC/USDT", rest(205), 3), BookDelta)


def test_a_hole_in_the_buffer_is_said_and_only_what_follows_joins():
    session = spot_session()
    session.on_open(0)
    session.on_frame(depth(101, 105), 1)
    assert of(session.on_frame(depth(110, 112), 2), Gap) == [Gap("BTC/USDT", 106, 110)]
    assert (
        of(session.on_snapshot("BTC/USDT", rest(102), 3), Dropped)[0].reason == DROPPED_SNAPSHOT_OLD
    )
    joined = session.on_snapshot("BTC/USDT", rest(111), 4)
    assert [d.seq for d in messages(joined, BookDelta)] == [112]


def test_the_buffer_is_bounded_and_counts_what_falls_out():
    session = spot_session()
    session.on_open(0)
    effects = [
        effect
        for n in range(1, EARLY_DELTAS_MAX + 4)
        for effect in session.on_frame(depth(n, n), n)
    ]
    assert of(effects, Dropped) == [Dropped("BTC/USDT", DROPPED_OVERFLOW)] * 3


def test_a_failed_snapshot_is_asked_for_again_not_before_the_venue_allows():
    session = spot_session()
    session.on_open(0)
    session.on_frame(depth(101, 105), 1)
    (fetch,) = session.on_snapshot_failed("BTC/USDT", 30.0, SECOND)
    assert fetch.not_before_ns >= 31 * SECOND


def test_a_bad_snapshot_body_is_malformed_and_asked_for_again():
    session = spot_session()
    session.on_open(0)
    session.on_frame(depth(101, 105), 1)
    malformed, fetch = session.on_snapshot("BTC/USDT", b"<html>", 2)
    assert isinstance(malformed, Malformed) and isinstance(fetch, FetchSnapshot)


def waits_of_gaps(session, count: int, pause_ns: int) -> list[int]:
    """Break a live book so many times, healing it at once; how long each snapshot had to wait."""
    waits, now, last = [], 10, 100
    for _ in range(count):
        fetch = of(session.on_frame(depth(last + 5, last + 6), now), FetchSnapshot)[0]
        waits.append(max(0, fetch.not_before_ns - now))
        last += 6
        session.on_snapshot("BTC/USDT", rest(last), now)
        now += pause_ns
    return waits


def test_breaks_now_and_then_heal_at_once():
    assert waits_of_gaps(live_spot(100), 50, BREAK_FORGOTTEN_NS) == [0] * 50


def test_book_that_breaks_again_and_again_is_slowed():
    waits = waits_of_gaps(live_spot(100), 8, SECOND // 10)
    assert waits[:BREAKS_FREE] == [0] * BREAKS_FREE
    assert waits == sorted(waits) and waits[-1] > 2 * SECOND


def test_snapshot_that_does_not_join_is_asked_for_with_growing_pauses():
    session = spot_session()
    session.on_open(0)
    session.on_frame(depth(101, 105), 1)
    waits = [
        of(session.on_snapshot("BTC/USDT", rest(50), now), FetchSnapshot)[0].not_before_ns - now
        for now in (SECOND, 2 * SECOND, 3 * SECOND)
    ]
    assert 0 < waits[0] < waits[1] < waits[2]


def test_backoff_is_capped_spread_and_repeatable():
    delays = [backoff_ns("BTC/USDT", attempt) for attempt in range(40)]
    assert delays[0] == 0 and max(delays) <= BACKOFF_MAX_NS
    assert delays == [backoff_ns("BTC/USDT", attempt) for attempt in range(40)]
    assert len({backoff_ns(f"A{n}/USDT", 3) for n in range(50)}) > 40


def test_a_reader_may_ask_for_a_new_synchronisation_once_per_epoch():
    session = live_spot(100)
    (delta,) = messages(session.on_frame(depth(101, 101), 3), BookDelta)
    status, fetch = session.on_resync("BTC/USDT", delta.epoch, 50)
    assert (status.state, status.epoch) == (BookState.SYNCING, 50)
    assert isinstance(fetch, FetchSnapshot)
    assert session.on_resync("BTC/USDT", delta.epoch, 51) == []  # already under way
    session.on_snapshot("BTC/USDT", rest(101), 52)
    assert session.on_resync("BTC/USDT", delta.epoch, 53) == []  # that epoch is over


def test_epochs_rise_even_when_the_clock_does_not():
    session = live_spot(100)
    (_, first, _) = session.on_frame(depth(102, 105), 1)
    session.on_snapshot("BTC/USDT", rest(105), 1)
    (_, second, _) = session.on_frame(depth(107, 109), 1)
    assert second.epoch > first.epoch


def test_closing_takes_every_book_down_and_reopening_starts_over():
    session = live_spot(100)
    (status,) = session.on_close(9)
    assert status.state is BookState.DOWN
    effects = session.on_open(20)
    assert of(effects, BookStatus)[0].state is BookState.SYNCING
    assert messages(session.on_frame(depth(101, 101), 21), BookDelta) == []


def test_two_books_on_one_connection_do_not_disturb_each_other():
    session = spot_session("BTC/USDT", "ETH/USDT")
    session.on_open(1)
    session.on_snapshot("BTC/USDT", rest(100), 2)
    session.on_snapshot("ETH/USDT", rest(7), 2)
    assert of(session.on_frame(depth(105, 106), 3), Gap)
    assert messages(session.on_frame(depth(8, 9, symbol="ETHUSDT"), 4), BookDelta)


# --- other frames


def test_trades_carry_the_takers_side():
    (effect,) = live_spot().on_frame(
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":2,"s":"BTCUSDT","t":5,"p":"10.5","q":"2",'
        b'"T":1,"m":true,"M":true}}',
        9,
    )
    trade = effect.message
    assert isinstance(trade, Trade)
    assert (trade.side, trade.price, trade.qty, trade.trade_id) == (Side.SELL, 10.5, 2.0, "5")


def test_spent_trade_ids_are_no_trades():
    session = FUTURES.connections("binanceusdm", ["BTC/USDT:USDT"])[0].session
    frame = (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":2,"T":1,"s":"BTCUSDT","t":5,"p":"0","q":"0",'
        b'"X":"NA","m":true}}'
    )
    assert list(session.on_frame(frame, 9)) == []


def test_mark_prices_become_funding():
    (market,) = FUTURES.extra_connections("binanceusdm", FeedKind.FUNDING, ["BTC/USDT:USDT"])
    mark, effect = market.session.on_frame(
        b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT",'
        b'"p":"28147.2","P":"1","i":"28159.7","r":"0.00002754","T":1680652800000}}',
        9,
    )
    funding = effect.message
    assert isinstance(funding, Funding)
    assert funding.ts_funding_ns == 1680652800000 * 1_000_000
    assert (funding.rate, funding.mark_price) == (0.00002754, 28147.2)
    assert funding.interval_ns is funding.rate_cap is funding.rate_floor is None  # not zero
    assert isinstance(mark.message, Mark)
    assert (mark.message.mark_price, mark.message.index_price) == (28147.2, 28159.7)


def test_a_future_that_does_not_fund_still_has_a_mark():
    (market,) = FUTURES.extra_connections("binanceusdm", FeedKind.FUNDING, ["BTC/USDT:USDT"])
    (effect,) = market.session.on_frame(
        b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT",'
        b'"p":"28147.2","P":"1","i":"0","r":"","T":0}}',
        9,
    )
    assert isinstance(effect.message, Mark) and effect.message.index_price is None


def trade_frame(number: int, kind: str = "MARKET") -> bytes:
    data = {"e": "trade", "E": 2, "T": 1, "s": "BTCUSDT", "t": number, "p": "10", "q": "2"}
    data |= {"X": kind, "m": False}
    return json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":")).encode()


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA"])
def test_what_was_not_traded_in_the_book_is_no_trade_and_no_hole(kind):
    session = live_spot()
    assert messages(session.on_frame(trade_frame(5), 9), Trade)
    assert session.on_frame(trade_frame(6, kind), 10) == []
    (trade,) = messages(session.on_frame(trade_frame(7), 11), Trade)
    assert trade.trade_id == "7"


def test_holes_in_trade_ids_are_said_and_repetitions_dropped():
    session = live_spot()
    session.on_frame(trade_frame(5), 9)
    missed, trade = session.on_frame(trade_frame(9), 10)
    assert missed.message == TradesMissed(
        venue="binance",
        instrument="BTC/USDT",
        ongoing=False,
        ts_recv_ns=10,
        count=3,
        reason="trade ids 6 to 8 did not come",
    )
    assert trade.message.trade_id == "9"
    assert session.on_frame(trade_frame(9), 11) == (Dropped("BTC/USDT", DROPPED_TRADE),)
    session.on_open(12)  # what was traded meanwhile is told by the subscription
    assert len(session.on_frame(trade_frame(20), 13)) == 1


def test_a_venue_that_numbers_its_trades_anew_is_followed():
    session = live_spot()
    session.on_frame(trade_frame(5_000_000), 9)
    assert messages(session.on_frame(trade_frame(1), 10), Trade)


def test_aggregate_trades_say_how_many_they_are():
    (link,) = FUTURES.extra_connections("binanceusdm", FeedKind.TRADES, ["BTC/USDT:USDT"])
    link.session.on_open(1)
    (missed,) = link.session.on_frame(b'{"result":null,"id":1}', 2)
    assert (missed.message.ongoing, missed.message.count) == (False, None)
    (effect,) = link.session.on_frame(
        b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":2,"s":"BTCUSDT","a":7,"p":"10",'
        b'"q":"2","nq":"2","f":41,"l":43,"T":1,"m":true}}',
        9,
    )
    trade = effect.message
    assert (trade.trade_id, trade.trades, trade.side, trade.qty) == ("7", 3, Side.SELL, 2.0)


@pytest.mark.parametrize("feed", [SPOT, FUTURES])
def test_refused_trades_leave_the_book_alone(feed):
    name = "BTC/USDT" if feed is SPOT else "BTC/USDT:USDT"
    (link,) = feed.extra_connections("v", FeedKind.TRADES, [name])
    link.session.on_open(1)
    (refused,) = link.session.on_frame(b'{"code":2,"msg":"Invalid request","id":1}', 2)
    assert isinstance(refused, FeedRefused) and refused.instrument == name


def test_quotes_are_an_oracle_wrapped_or_raw():
    quote = b'{"u":7,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}'
    wrapped = b'{"stream":"btcusdt@bookTicker","data":' + quote + b"}"
    expected = (BestQuote("BTC/USDT", 7, (1.0, 2.0), (3.0, 4.0)),)
    assert live_spot().on_frame(wrapped, 3) == expected
    assert live_spot().on_frame(quote, 3) == expected


def test_raw_and_reordered_frames_are_read_alike():
    wrapped = depth(101, 102, bids=[(9, 1)])
    data = json.loads(wrapped)["data"]
    for frame in (
        json.dumps(data).encode(),
        json.dumps({"data": data, "stream": "btcusdt@depth@100ms"}).encode(),
        json.dumps({"stream": "btcusdt@depth@100ms", "data": data}).encode(),  # spaced
    ):
        assert messages(live_spot(100).on_frame(frame, 3), BookDelta), frame


def test_partial_books_and_unknown_streams_change_nothing():
    session = live_spot(100)
    partial = b'{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":160,"bids":[],"asks":[]}}'
    assert session.on_frame(partial, 3) == ()
    assert session.on_frame(b'{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}', 3) == ()
    assert session.on_frame(depth(1, 2, symbol="XYZUSDT"), 3) == ()


def test_a_damaged_frame_is_malformed_and_the_loss_is_a_gap():
    session = live_spot(100)
    (malformed,) = session.on_frame(depth(101, 105)[:60], 3)
    assert isinstance(malformed, Malformed)
    assert of(session.on_frame(depth(106, 107), 4), Gap) == [Gap("BTC/USDT", 101, 106)]


# --- rules


def binance_market(**changes):
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.00001000", "minQty": "0.00001000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
    ]
    info = {"filters": filters, "pricePrecision": "8"}
    return {
        "symbol": "BTC/USDT",
        "info": info,
        "taker": 0.001,
        "maker": 0.001,
        "active": True,
        **changes,
    }


def test_rules_come_from_filters_not_from_precision():
    rules = SPOT.rules("binance", binance_market())
    assert [str(n) for n in (rules.tick_size, rules.lot_size)] == ["0.01000000", "0.00001000"]
    assert (rules.notional_min, rules.taker_fee_bps) == (5, 10)


def test_futures_spell_the_minimum_notional_otherwise():
    market = binance_market(symbol="BTC/USDT:USDT", taker=0.0005, contractSize=1.0)
    market["info"]["filters"][2] = {"filterType": "MIN_NOTIONAL", "notional": "50"}
    rules = FUTURES.rules("binanceusdm", market)
    assert (rules.notional_min, rules.taker_fee_bps, rules.contract_size) == (50, 5, 1)


def test_a_market_without_filters_is_not_traded():
    rules = SPOT.rules("binance", binance_market(info={}))
    assert not rules.active
    assert rules.reason == "no tick_size; no lot_size; no qty_min"


def with_filters(*filters, **info):
    return binance_market(info={"filters": list(filters), **info})


PRICE = {"filterType": "PRICE_FILTER", "tickSize": "0.01"}
LOT = {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "900"}


@pytest.mark.parametrize(
    "filters, expected",
    [
        (
            [
                {"filterType": "NOTIONAL", "minNotional": "5"},
                {"filterType": "MIN_NOTIONAL", "minNotional": "12.5"},
            ],
            {"notional_min": 12.5},
        ),
        (
            [
                {"filterType": "NOTIONAL", "minNotional": "12.5"},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
            ],
            {"notional_min": 12.5},
        ),
        (
            [{"filterType": "MIN_NOTIONAL", "minNotional": "5", "notional": "7"}],
            {"notional_min": 7},
        ),
        ([{**PRICE, "tickSize": "0.03"}], {"tick_size": Decimal("0.03")}),
        ([{**PRICE, "tickSize": "0.004"}], {"tick_size": Decimal("0.02")}),
        (
            [{**LOT, "stepSize": "0.0015", "minQty": "0.5", "maxQty": "1000"}],
            {"lot_size": Decimal("0.003"), "qty_min": Decimal("0.5"), "qty_max": 900},
        ),
        ([{**LOT, "maxQty": "20"}], {"qty_max": 20}),
        # For market orders only: ours are limit orders.
        ([{**LOT, "filterType": "MARKET_LOT_SIZE", "maxQty": "1"}], {"qty_max": 900}),
    ],
)
def test_of_a_rule_that_is_told_twice_the_stricter_counts(filters, expected):
    for order in (filters, filters[::-1]):
        rules = SPOT.rules("binance", with_filters(PRICE, LOT, *order))
        assert rules.active
        assert {name: getattr(rules, name) for name in expected} == expected


def test_a_disabled_tick_leaves_the_digits_a_price_may_have():
    disabled = {"filterType": "PRICE_FILTER", "tickSize": "0.00000000"}
    rules = SPOT.rules("binance", with_filters(disabled, LOT, quotePrecision=8))
    assert (rules.active, rules.tick_size) == (True, Decimal("1e-8"))
    rules = FUTURES.rules("binanceusdm", with_filters(disabled, LOT, pricePrecision="2"))
    assert (rules.active, rules.tick_size) == (True, Decimal("0.01"))
    rules = SPOT.rules("binance", with_filters(disabled, LOT))
    assert (rules.active, rules.reason) == (False, "no tick_size")


@pytest.mark.parametrize("odd", ["0", "-1", "NaN", "sNaN", "Infinity", "1e400", "x", None, "1e30"])
def test_an_odd_number_takes_one_instrument_out(odd):
    """All that a venue tells: with any of them odd there are rules, and they say why not."""
    for market in (
        with_filters({**PRICE, "tickSize": odd}, LOT),
        with_filters(PRICE, {**LOT, "stepSize": odd}),
        with_filters(PRICE, {**LOT, "minQty": odd}),
        with_filters(PRICE, {**LOT, "maxQty": odd}),
        with_filters(PRICE, LOT, {"filterType": "NOTIONAL", "minNotional": odd}),
        {**with_filters(PRICE, LOT), "taker": odd},
        {**with_filters(PRICE, LOT), "maker": odd},
        {**with_filters(PRICE, LOT), "contractSize": odd},
    ):
        rules = SPOT.rules("binance", market)
        assert rules.active == (not rules.reason)
        if odd not in {"0", None, "-1"}:
            assert not rules.active
    rules = SPOT.rules("binance", with_filters(PRICE, {**LOT, "minQty": "0"}))
    assert (rules.active, rules.qty_min) == (True, 0), "no rule"


def test_a_least_above_the_most_is_not_traded():
    rules = SPOT.rules("binance", with_filters(PRICE, {**LOT, "minQty": "901"}))
    assert rules.reason == "qty_min 901 is above qty_max 900"


def test_a_market_that_is_halted_says_so():
    halted = binance_market(active=False)
    halted["info"]["status"] = "BREAK"
    assert SPOT.rules("binance", halted).reason == "status BREAK"


# --- what a snapshot of a limited number of levels told


def levels(best: float, step: float, count: int):
    return [(round(best + step * n, 2), 1) for n in range(count)]


@pytest.mark.parametrize(
    ("bids", "asks", "told"),
    [
        (1000, 1000, (9.01, 20.99)),
        (999, 1000, (None, 20.99)),
        (1000, 3, (9.01, None)),
        (500, 500, (None, None)),
        (0, 0, (None, None)),
    ],
)
def test_side_with_as_many_levels_as_asked_for_was_cut(bids, asks, told):
    session = spot_session()
    session.on_open(1)
    book = rest(100, levels(19, -0.01, bids), levels(11, 0.01, asks))
    (snapshot,) = messages(session.on_snapshot("BTC/USDT", book, 2), BookSnapshot)
    assert (snapshot.bid_floor, snapshot.ask_ceiling) == told


def test_refresh_starts_a_new_epoch_without_a_break():
    session = live_spot(100)
    (fetch,) = session.on_refresh("BTC/USDT", 1, 10 * SECOND)
    assert isinstance(fetch, FetchSnapshot)
    frames = [depth(101, 105, bids=[(10, 2)]), depth(106, 110, bids=[(9, 3)])]
    for n, frame in enumerate(frames):
        (delta,) = messages(session.on_frame(frame, 11 * SECOND + n), BookDelta)
        assert delta.epoch == 1, "the book goes on while the snapshot is fetched"
    effects = session.on_snapshot("BTC/USDT", rest(105, bids=[(10, 2)]), 12 * SECOND)
    (snapshot,), (delta,) = messages(effects, BookSnapshot), messages(effects, BookDelta)
    assert snapshot.epoch == delta.epoch == 12 * SECOND
    assert (delta.seq_prev, delta.seq, delta.bids) == (105, 110, [(9.0, 3.0)])
    assert [(s.state, s.epoch) for s in of(effects, BookStatus)] == [(BookState.LIVE, 12 * SECOND)]
    (after,) = messages(session.on_frame(depth(111, 111), 13 * SECOND), BookDelta)
    assert (after.epoch, after.seq_prev) == (12 * SECOND, 110)


@pytest.mark.parametrize("last_id", [99, 104])
def test_refresh_older_than_the_book_changes_nothing(last_id):
    session = live_spot(100)
    session.on_frame(depth(101, 104), 3)
    session.on_frame(depth(105, 108), 4)
    session.on_refresh("BTC/USDT", 1, 10 * SECOND)
    session.on_frame(depth(109, 110), 11 * SECOND)
    assert session.on_snapshot("BTC/USDT", rest(last_id), 12 * SECOND) == []
    (after,) = messages(session.on_frame(depth(111, 111), 13 * SECOND), BookDelta)
    assert (after.epoch, after.seq_prev) == (1, 110)


def test_refresh_is_asked_for_once_in_a_while_and_only_of_the_present_live_book():
    session = live_spot(100)
    assert session.on_refresh("BTC/USDT", 0, 10 * SECOND) == []
    assert len(session.on_refresh("BTC/USDT", 1, 10 * SECOND)) == 1
    assert session.on_refresh("BTC/USDT", 1, 11 * SECOND) == []
    session.on_frame(depth(105, 110), 12 * SECOND)  # a gap: it has a snapshot coming anyway
    assert session.on_refresh("BTC/USDT", 1, 20 * SECOND) == []


def test_refresh_that_failed_or_took_too_long_leaves_the_book_live():
    session = spot_session()
    session.on_open(1)
    session.on_snapshot("BTC/USDT", rest(0), 2)
    session.on_refresh("BTC/USDT", 1, 10 * SECOND)
    assert session.on_snapshot_failed("BTC/USDT", 1.0, 11 * SECOND) == []
    session.on_refresh("BTC/USDT", 1, 20 * SECOND)
    for n in range(1, EARLY_DELTAS_MAX + 3):
        session.on_frame(depth(n, n), 21 * SECOND)
    assert session.on_snapshot("BTC/USDT", rest(10), 22 * SECOND) == []
    (after,) = messages(session.on_frame(depth(n + 1, n + 1), 23 * SECOND), BookDelta)
    assert after.epoch == 1
