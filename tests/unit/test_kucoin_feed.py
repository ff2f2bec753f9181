"""KuCoin spot: the session's answers to what the venue says, its rules and its recordings."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from services.cli.settings import check
from shared.config import LIVE_TRADING_PHRASE
from shared.errors import ConfigError, ParseError
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Trade, TradesMissed
from shared.venues.kucoin import parse
from shared.venues.kucoin.feed import FEED
from shared.venues.kucoin.recordings import KucoinRecordings, levels_of
from shared.venues.kucoin.session import KucoinSession
from shared.venues.port import (
    BestQuote,
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

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
LIVE = {"ARB_LIVE_TRADING": LIVE_TRADING_PHRASE}
WELCOME = b'{"id":"hQvf8jkno","type":"welcome"}'
SNAPSHOT = (
    b'{"code":"200000","data":{"time":1550653727731,"sequence":"16",'
    b'"asks":[["3988.59","3"],["3988.61","32"],["3988.62","8"]],"bids":[["3988.50","15"]]}}'
)
BULLET = (
    b'{"code":"200000","data":{"token":"2neA==.28m==","instanceServers":[{"endpoint":'
    b'"wss://ws-api-spot.kucoin.com/","encrypt":true,"protocol":"websocket",'
    b'"pingInterval":50000,"pingTimeout":10000}]}}'
)
URL = "wss://ws-api-spot.kucoin.com/?token=2neA%3D%3D.28m%3D%3D&connectId=public"


def update(first: int, last: int, bids: Any = (), asks: Any = (), **more: Any) -> bytes:
    data = {
        "changes": {"asks": asks, "bids": bids},
        "sequenceStart": first,
        "sequenceEnd": last,
        "symbol": "BTC-USDT",
        **more,
    }
    return message("/market/level2:BTC-USDT", "trade.l2update", data)


def message(topic: str, subject: str, data: Any) -> bytes:
    body = {"topic": topic, "type": "message", "subject": subject, "data": data}
    return json.dumps(body).encode()


def opened(kind: FeedKind = FeedKind.DEPTH) -> KucoinSession:
    session = KucoinSession("kucoin", {"BTC-USDT": "BTC/USDT"}, kind=kind)
    session.on_open(NOW)
    session.on_frame(WELCOME, NOW)
    return session


def live() -> KucoinSession:
    session = opened()
    session.on_frame(b'{"id":"1","type":"ack"}', NOW)
    session.on_snapshot("BTC/USDT", SNAPSHOT, NOW)
    return session


def error(code: int, text: str, name: str = "1") -> bytes:
    return json.dumps({"code": code, "data": text, "id": name, "type": "error"}).encode()


def test_where_to_connect_is_what_the_venue_says_with_its_token() -> None:
    session = KucoinSession("kucoin", {"BTC-USDT": "BTC/USDT"})
    assert session.read_address(BULLET, "") == URL
    told = session.read_address(BULLET, "ws://here/kucoin/")
    assert told == URL.replace("wss://ws-api-spot.kucoin.com/", "ws://here/kucoin/")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((b"200000", b"429000"), "code 429000"),
        ((b"wss://ws-api", b"https://ws-api"), "endpoint"),
        ((b'"pingInterval":50000', b'"pingInterval":0'), "pingInterval"),
        ((BULLET[63:-2], b""), "bullet-public"),
    ],
)
def test_an_answer_without_an_address_is_an_error(change: tuple[bytes, bytes], why: str) -> None:
    session = KucoinSession("kucoin", {"BTC-USDT": "BTC/USDT"})
    with pytest.raises(ParseError, match=why):
        session.read_address(BULLET.replace(*change), "")


def test_every_connection_asks_first() -> None:
    names = [f"B{n}/USDT" for n in range(60)]
    links = FEED.connections("kucoin", names)
    links = [*links, *FEED.extra_connections("kucoin", FeedKind.TRADES, names)]
    assert [len(link.instruments) for link in links] == [50, 10, 50, 10]
    asked = [link.address for link in links]
    assert {(a.path, a.weight) for a in asked if a} == {("/api/v1/bullet-public", 10)}
    urls = [a.read(BULLET, "") for a in asked if a]
    assert len(set(urls)) == len(links), "each has a connectId of its own"


def test_nothing_is_subscribed_before_the_greeting() -> None:
    session = KucoinSession("kucoin", {"BTC-USDT": "BTC/USDT", "ETH-USDT": "ETH/USDT"})
    assert {type(effect) for effect in session.on_open(NOW)} == {BookStatus}
    sent = [json.loads(e.frame) for e in session.on_frame(WELCOME, NOW) if isinstance(e, Send)]
    assert [(r["type"], r["topic"], r["response"]) for r in sent] == [
        ("subscribe", "/market/level2:BTC-USDT", True),
        ("subscribe", "/market/level2:ETH-USDT", True),
    ]
    assert session.on_frame(WELCOME, NOW) == ()
    ack = json.dumps({"id": sent[1]["id"], "type": "ack"}).encode()
    [asked] = session.on_frame(ack, NOW)
    assert isinstance(asked, FetchSnapshot)
    assert asked.path == "/api/v1/market/orderbook/level2_100?symbol=ETH-USDT"


def test_a_venue_that_does_not_greet_is_left() -> None:
    session = KucoinSession("kucoin", {"BTC-USDT": "BTC/USDT"})
    session.on_open(NOW)
    assert session.on_timer(NOW + 9 * SECOND) == ()
    [left] = session.on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect)


def test_the_venues_own_example_is_joined_as_it_says() -> None:
    """Changes that the snapshot contains are left out, price 0 only moves the sequence."""
    session = opened()
    bids = [["3988.50", "44", "18"], ["0", "0", "17"]]
    asks = [["3988.59", "9", "16"], ["3988.61", "0", "19"], ["3988.62", "5", "15"]]
    session.on_frame(update(10, 14), NOW)
    session.on_frame(update(15, 19, bids, asks, time=1663747970273), NOW)
    dropped, whole, change, status = session.on_snapshot("BTC/USDT", SNAPSHOT, NOW)
    assert isinstance(dropped, Dropped)
    assert isinstance(whole.message, BookSnapshot) and whole.message.seq == 16
    delta = change.message
    assert (delta.seq_prev, delta.seq) == (16, 19)
    assert (delta.bids, delta.asks) == ([(3988.5, 44.0)], [(3988.61, 0.0)])
    assert delta.ts_venue_ns == 1663747970273 * 1_000_000
    assert status.state is BookState.LIVE


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [(17, 20, Emit), (15, 20, Emit), (12, 16, Dropped), (18, 20, Gap)],
)
def test_an_update_is_judged_by_its_numbers(first: int, last: int, kind: type) -> None:
    effects = live().on_frame(update(first, last, [], [["0", "0", str(last)]]), NOW)
    assert type(effects[0]) is kind
    if kind is Emit:
        assert isinstance(effects[0].message, BookDelta)
        assert (effects[0].message.asks, effects[0].message.ts_venue_ns) == ([], None)
    if kind is Gap:
        assert (effects[0].expected, effects[0].got) == (17, 18)
        assert effects[1].state is BookState.GAP
        assert any(isinstance(effect, FetchSnapshot) for effect in effects)


def test_a_book_that_the_venue_refuses_with_http_200_is_asked_for_again() -> None:
    session = opened()
    session.on_frame(b'{"id":"1","type":"ack"}', NOW)
    said, again = session.on_snapshot("BTC/USDT", b'{"code":"400100","msg":"symbol"}', NOW)
    assert isinstance(said, Malformed) and "400100" in said.reason
    assert isinstance(again, FetchSnapshot) and again.not_before_ns > NOW


def test_a_symbol_that_the_venue_does_not_have_is_refused_for_good() -> None:
    text = "topic /market/level2:BTC-USDT is not found"
    [status] = opened().on_frame(error(404, text), NOW)
    assert (status.state, status.refused) == (BookState.DOWN, True)
    assert text in status.reason
    [refused] = opened(FeedKind.TRADES).on_frame(error(404, text), NOW)
    assert isinstance(refused, FeedRefused) and refused.instrument == "BTC/USDT"


@pytest.mark.parametrize(
    "raw", [error(401, "token is expired", "public"), error(509, "exceed max subscription count")]
)
def test_any_other_error_is_tried_again(raw: bytes) -> None:
    [left] = opened().on_frame(raw, NOW)
    assert isinstance(left, Reconnect) and left.reason.startswith("refused: ")


def test_the_client_pings_as_often_as_the_venue_says() -> None:
    session = KucoinSession("kucoin", {"BTC-USDT": "BTC/USDT"})
    session.read_address(BULLET, "")
    session.on_open(NOW)
    session.on_frame(WELCOME, NOW)
    session.on_frame(b'{"id":"1","type":"ack"}', NOW)
    assert session.on_timer(NOW + 49 * SECOND) == ()
    [ping] = session.on_timer(NOW + 50 * SECOND)
    assert json.loads(ping.frame)["type"] == "ping"
    session.on_frame(b'{"id":"2","type":"pong"}', NOW + 51 * SECOND)
    assert session.on_timer(NOW + 61 * SECOND) == ()
    assert len(session.on_timer(NOW + 100 * SECOND)) == 1
    [left] = session.on_timer(NOW + 110 * SECOND)
    assert isinstance(left, Reconnect) and "pong" in left.reason


def test_a_subscription_that_is_not_answered_ends_the_connection() -> None:
    assert opened().on_timer(NOW + 9 * SECOND) == ()
    [left] = opened().on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and "BTC-USDT" in left.reason


def test_trades_have_a_connection_of_their_own() -> None:
    session = opened(FeedKind.TRADES)
    [missed] = session.on_frame(b'{"id":"1","type":"ack"}', NOW)
    assert isinstance(missed.message, TradesMissed) and not missed.message.ongoing
    data = {
        "makerOrderId": "671b5007389355000701b1d3",
        "price": "67523",
        "sequence": "11067996711960577",
        "side": "buy",
        "size": "0.003",
        "symbol": "BTC-USDT",
        "takerOrderId": "671b50161777ff00074c168d",
        "time": "1729843222921000000",
        "tradeId": "11067996711960577",
        "type": "match",
    }
    [emit] = session.on_frame(message("/market/match:BTC-USDT", "trade.l3match", data), NOW)
    trade = emit.message
    assert isinstance(trade, Trade)
    assert (trade.side, trade.price, trade.qty) == (Side.BUY, 67523.0, 0.003)
    assert (trade.trade_id, trade.ts_venue_ns) == ("11067996711960577", 1729843222921000000)
    [bad] = session.on_frame(message("/market/match:BTC-USDT", "", {**data, "side": "x"}), NOW)
    assert isinstance(bad, Malformed)


def test_a_recorded_quote_is_an_oracle_for_the_book() -> None:
    data = {
        "sequence": "16",
        "bestAsk": "3988.59",
        "bestAskSize": "3",
        "bestBid": "3988.5",
        "bestBidSize": "15",
        "price": "3988.5",
        "size": "1",
        "time": 1619378326323,
    }
    [quote] = live().on_frame(message("/market/ticker:BTC-USDT", "trade.ticker", data), NOW)
    assert quote == BestQuote("BTC/USDT", 16, (3988.5, 15.0), (3988.59, 3.0))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (update(20, 17), "before sequenceStart"),
        (update(17, 20, [["1", "1", "17"]]), "17 to 17"),
        (update(17, 18, [["1", "1", "16"], ["2", "1", "18"]]), "16 to 18"),
        (update(17, 17, [["1", "1", "17"]])[:-40], "frame"),
    ],
)
def test_a_recorded_change_with_other_numbers_than_its_message_is_said(raw, why) -> None:
    session = KucoinRecordings().session("kucoin", "BTC/USDT")
    session.on_open(NOW)
    [said] = session.on_frame(raw, NOW)
    assert isinstance(said, Malformed) and why in said.reason


def test_rules_are_those_of_the_venues_list() -> None:
    info = {
        "symbol": "BTC-USDT",
        "baseMinSize": "0.00001",
        "baseMaxSize": "10000000000",
        "quoteMinSize": "0.2",
        "baseIncrement": "0.00000001",
        "priceIncrement": "0.1",
        "minFunds": "0.1",
        "enableTrading": True,
    }
    market = {"id": "BTC-USDT", "symbol": "BTC/USDT", "info": info, "taker": 0.002, "maker": None}
    rules = FEED.rules("kucoin", market)
    assert (rules.tick_size, rules.lot_size) == (Decimal("0.1"), Decimal("0.00000001"))
    assert (rules.qty_min, rules.notional_min) == (Decimal("0.00001"), Decimal("0.1"))
    assert (rules.taker_fee_bps, rules.maker_fee_bps) == (20, 10)
    assert rules.active
    del info["minFunds"]
    info["enableTrading"] = False
    rules = FEED.rules("kucoin", market)
    assert rules.notional_min == Decimal("0.2")
    assert (rules.active, rules.reason) == (False, "enableTrading False")
    assert FEED.is_streamed_as(market) == FEED.to_symbol("BTC/USDT")


@pytest.mark.parametrize(
    ("more", "is_taken"),
    [
        ('mode = "simulated"', False),
        ('mode = "live"', False),
        ('mode = "paper"', True),
        ('mode = "live"\n[venues.kucoin]\ntrade = false', True),
    ],
)
def test_a_configuration_that_would_send_orders_is_refused(tmp_path, more, is_taken) -> None:
    section = "" if "[venues" in more else "[venues.kucoin]"
    path = tmp_path / "arb.toml"
    instruments = 'instruments = ["BTC/USDT"]'
    path.write_text(f"[executor]\n{more}\n{section}\n{instruments}\n")
    if is_taken:
        assert check(str(path), LIVE).venues["kucoin"].instruments == ["BTC/USDT"]
        return
    why = r"venues\.kucoin: kucoin is .* market data only.* give trade = false"
    with pytest.raises(ConfigError, match=why):
        check(str(path), LIVE)


def test_only_spot_instruments_are_subscribed() -> None:
    with pytest.raises(ConfigError, match="BTC/USDT:USDT"):
        FEED.connections("kucoin", ["BTC/USDT:USDT"])


@pytest.mark.parametrize(
    ("url", "venue", "instrument"),
    [
        ("https://api.kucoin.com/api/v3/market/orderbook/level2?symbol=A-B", "kucoin", "A/B"),
        ("https://api.kucoin.com/api/v1/market/orderbook/level2_100?symbol=A-B", "kucoin", "A/B"),
        ("https://api.kucoin.com/api/v1/symbols", "kucoin", None),
        ("wss://ws-api-spot.kucoin.com/?token=X", "kucoin", None),
        ("https://api-futures.kucoin.com/api/v1/level2/snapshot?symbol=X", None, None),
        ("https://notkucoin.com/", None, None),
    ],
)
def test_recorded_urls_tell_venue_and_book(url, venue, instrument) -> None:
    reader = KucoinRecordings()
    assert (reader.venue_of_url(url), reader.instrument_of_url(url)) == (venue, instrument)


@pytest.mark.parametrize(
    ("raw", "role", "instrument"),
    [
        (update(1, 1), FrameRole.DELTA, "BTC/USDT"),
        (update(1, 1)[:70], FrameRole.DELTA, "BTC/USDT"),
        (b'{"data":{"sequenceStart":1,"symbol":"A-B","chan', FrameRole.DELTA, "A/B"),
        (SNAPSHOT, FrameRole.REST_BOOK, None),
        (WELCOME, FrameRole.OTHER, None),
        (message("/market/match:A-B", "", {"symbol": "A-B"}), FrameRole.TRADE, "A/B"),
        (message("/market/ticker:A-B", "", {}), FrameRole.QUOTE, "A/B"),
        (b"[1]", FrameRole.OTHER, None),
    ],
)
def test_recorded_frames_tell_what_they_are(raw, role, instrument) -> None:
    reader = KucoinRecordings()
    assert (reader.role_of_frame(raw), reader.instrument_of_frame(raw)) == (role, instrument)


def test_levels_are_as_written_without_those_of_price_0() -> None:
    raw = update(1, 2, [["0", "0", "1"]], [["1.50", "2.0", "2"]])
    assert levels_of(raw) == ([], [("1.50", "2.0")])
    assert KucoinRecordings().levels_of_frame(SNAPSHOT)[0] == ("3988.50", "15")
    assert parse.text_of(parse.parse_envelope(WELCOME).data) == ""
