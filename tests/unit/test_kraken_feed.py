"""Kraken sessions: books proved by checksum, everything else."""

from __future__ import annotations

import json
from decimal import Decimal
from zlib import crc32

import pytest

from shared.errors import ConfigError, ParseError
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Trade
from shared.venues.kraken import parse
from shared.venues.kraken.checksum import book_checksum, digits
from shared.venues.kraken.feed import FEED
from shared.venues.kraken.session import ANSWER_TIMEOUT_NS, QUIET_NS, KrakenSession
from shared.venues.port import (
    DROPPED_STALE,
    DROPPED_UNSYNCED,
    BookStatus,
    Checked,
    Dropped,
    Emit,
    FeedKind,
    FeedRefused,
    Malformed,
    Reconnect,
    Send,
    VenueState,
)
from shared.venues.rest_join import BREAKS_FREE
from shared.venues.stream_book import SNAPSHOT_TIMEOUT_NS

SECOND = 1_000_000_000
SYMBOL = "BTC/USD"


class Venue:
    """What Kraken would hold and send: levels as text."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[Decimal, tuple[str, str]]] = {"bids": {}, "asks": {}}

    def change(self, side: str, price: str, qty: str) -> None:
        levels = self.sides[side]
        if Decimal(qty):
            levels[Decimal(price)] = (price, qty)
        else:
            levels.pop(Decimal(price), None)
        for beyond in self.best(side)[self.depth :]:
            del levels[Decimal(beyond[0])]

    def best(self, side: str) -> list[tuple[str, str]]:
        return [self.sides[side][p] for p in sorted(self.sides[side], reverse=side == "bids")]

    def checksum(self) -> int:
        text = ""
        for side in ("asks", "bids"):
            for level in self.best(side)[:10]:
                text += "".join(number.replace(".", "").lstrip("0") for number in level)
        return crc32(text.encode())

    def frame(
        self, kind: str, bids, asks, symbol: str = SYMBOL, checksum: int | None = None
    ) -> bytes:
        def levels(entries):
            return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in entries)

        value = self.checksum() if checksum is None else checksum
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{levels(bids)}],'
            f'"asks":[{levels(asks)}],"checksum":{value},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}'
        ).encode()

    def snapshot(self) -> bytes:
        return self.frame("snapshot", self.best("bids"), self.best("asks"))

    def update(self, bids=(), asks=()) -> bytes:
        for price, qty in bids:
            self.change("bids", price, qty)
        for price, qty in asks:
            self.change("asks", price, qty)
        return self.frame("update", bids, asks)


def filled(depth: int = 10) -> Venue:
    venue = Venue(depth)
    for n in range(depth):
        venue.change("bids", f"{100 - n}.10", f"0.{n + 1:02}000000")
        venue.change("asks", f"{101 + n}.10", f"1.{n + 1:02}000000")
    return venue


def live(venue: Venue, depth: int = 10) -> KrakenSession:
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, depth)
    session.on_open(0)
    effects = session.on_frame(venue.snapshot(), 1)
    assert of(effects, Checked) == [Checked(SYMBOL, True)]
    return session


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def messages(effects, kind):
    return [e.message for e in effects if isinstance(e, Emit) and isinstance(e.message, kind)]


def requests(effects):
    return [json.loads(effect.frame) for effect in of(effects, Send)]


# --- checksum


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"0.00100000", b"100000"), (b"5000.5", b"50005"), (b"45283.50", b"4528350"), (b"0.0", b"")],
)
def test_digits_drop_the_point_and_leading_zeros_only(text, expected):
    assert digits(text) == expected


def test_asks_come_before_bids():
    assert book_checksum([b"12"], [b"34"]) == crc32(b"1234")


# --- subscribing


def test_opening_subscribes_books_and_resets():
    session = KrakenSession("kraken", {"BTC/USD": "BTC/USD", "ETH/USD": "ETH/USD"}, 100)
    effects = session.on_open(3)
    (book,) = requests(effects)
    assert book["params"] == {
        "channel": "book",
        "symbol": ["BTC/USD", "ETH/USD"],
        "depth": 100,
        "snapshot": True,
    }
    assert [s.state for s in of(effects, BookStatus)] == [BookState.SYNCING] * 2


def trades_session():
    (link,) = FEED.extra_connections("kraken", FeedKind.TRADES, ["BTC/USD"])
    assert (link.path, link.kind) == ("/v2", FeedKind.TRADES)
    return link.session


def test_trades_are_subscribed_on_a_connection_of_their_own():
    session = trades_session()
    (trade,) = requests(session.on_open(1))
    assert trade["params"] == {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}
    (missed,) = session.on_frame(
        b'{"method":"subscribe","req_id":1,"result":{"channel":"trade","symbol":"BTC/USD",'
        b'"snapshot":false},"success":true}',
        2,
    )
    assert (missed.message.instrument, missed.message.ongoing) == ("BTC/USD", False)
    assert session.on_close(3) == []  # it has no book to lose


def test_refused_trades_are_said():
    session = trades_session()
    session.on_open(1)
    (refused,) = session.on_frame(
        b'{"error":"Currency pair not supported BTC/USD","method":"subscribe","req_id":1,'
        b'"success":false,"symbol":"BTC/USD"}',
        2,
    )
    assert isinstance(refused, FeedRefused) and refused.instrument == "BTC/USD"


def test_feed_opens_few_connections():
    connections = FEED.connections("kraken", [f"A{n}/USD" for n in range(60)])
    assert [len(c.instruments) for c in connections] == [50, 10]
    assert {c.path for c in connections} == {"/v2"}
    with pytest.raises(ConfigError):
        FEED.connections("kraken", ["BTC/USD:BTC"])


def test_a_refused_subscription_is_said_once_and_does_not_reconnect():
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 10)
    session.on_open(0)
    (status,) = session.on_frame(
        b'{"error":"Currency pair not supported BTC/USD","method":"subscribe","req_id":1,'
        b'"success":false,"symbol":"BTC/USD"}',
        1,
    )
    assert status.state is BookState.DOWN and "not supported" in status.reason and status.refused
    assert not of(session.on_timer(SNAPSHOT_TIMEOUT_NS + 1), Reconnect)


def test_a_snapshot_that_does_not_come_reconnects():
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 10)
    session.on_open(0)
    session.on_frame(b'{"channel":"heartbeat"}', SNAPSHOT_TIMEOUT_NS - 1)
    assert not of(session.on_timer(SNAPSHOT_TIMEOUT_NS - 1), Reconnect)
    (reconnect,) = session.on_timer(SNAPSHOT_TIMEOUT_NS)
    assert SYMBOL in reconnect.reason


# --- books


def test_updates_continue_the_snapshot_by_a_counter_of_the_session():
    venue = filled()
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 10)
    session.on_open(7)
    (snapshot,) = messages(session.on_frame(venue.snapshot(), 8), BookSnapshot)
    assert (snapshot.epoch, snapshot.depth_max, len(snapshot.bids)) == (7, 10, 10)
    (first,) = messages(
        session.on_frame(venue.update(bids=[("100.20", "2.50000000")]), 9), BookDelta
    )
    (second,) = messages(
        session.on_frame(venue.update(asks=[("101.10", "0.00000000")]), 10), BookDelta
    )
    assert (first.seq_prev, second.seq_prev) == (snapshot.seq, first.seq)
    assert first.bids == [(100.2, 2.5)] and second.asks == [(101.1, 0.0)]
    assert first.ts_venue_ns == 1696613755440295000


def test_levels_that_fall_out_of_the_depth_are_gone_and_come_back_when_sent_again():
    venue = filled()
    session = live(venue)
    for change in (
        {"bids": [("100.50", "1.00000000")]},  # 91.10 falls out on both sides of the wire
        {"bids": [("100.50", "0.00000000"), ("91.10", "0.99000000")]},
    ):
        assert of(session.on_frame(venue.update(**change), 5), Checked) == [Checked(SYMBOL, True)]


def test_the_same_price_twice_in_one_update_counts_in_order():
    venue = filled()
    session = live(venue)
    frame = venue.update(bids=[("100.10", "0.00000000"), ("100.10", "3.00000000")])
    assert of(session.on_frame(frame, 5), Checked) == [Checked(SYMBOL, True)]


def test_trailing_zeros_count():
    venue = filled()
    session = live(venue)
    venue.change("bids", "100.10", "0.5")
    frame = venue.frame("update", [("100.10", "0.50000000")], [])  # the text differs, not the value
    assert Checked(SYMBOL, False) in session.on_frame(frame, 5)


def test_a_mismatch_publishes_nothing_and_subscribes_again():
    venue = filled()
    session = live(venue)
    effects = session.on_frame(venue.frame("update", [("100.10", "9.0")], [], checksum=1), 50)
    assert effects[0] == Checked(SYMBOL, False)
    (status,) = of(effects, BookStatus)
    assert (status.state, status.epoch) == (BookState.GAP, 50)
    assert [r["method"] for r in requests(effects)] == ["unsubscribe", "subscribe"]
    assert not messages(effects, BookDelta)
    waiting = session.on_frame(venue.update(bids=[("100.10", "8.0")]), 51)
    assert waiting == [Checked(SYMBOL, None), Dropped(SYMBOL, DROPPED_UNSYNCED)]
    assert messages(session.on_frame(venue.snapshot(), 52), BookSnapshot)[0].epoch == 50


def test_mismatches_again_and_again_back_off():
    venue = filled()
    session = live(venue)
    bad = venue.frame("update", [("100.10", "9.0")], [], checksum=1)
    for at_ns in range(10, 12 + 2 * BREAKS_FREE, 2):
        asked = [r["method"] for r in requests(session.on_frame(bad, at_ns))]
        assert asked == ["unsubscribe", "subscribe"]
        session.on_frame(venue.snapshot(), at_ns + 1)
    assert [r["method"] for r in requests(session.on_frame(bad, 50))] == ["unsubscribe"]
    assert session.on_frame(venue.snapshot(), 51) == []  # from before the unsubscription
    (again,) = requests(session.on_timer(2 * SECOND))
    assert again["method"] == "subscribe"
    assert messages(session.on_frame(venue.snapshot(), 2 * SECOND), BookSnapshot)


def timed(frame: bytes, second: int) -> bytes:
    return frame.replace(b"17:35:55.440295", b"17:35:%02d.000000" % second)


def test_update_that_was_overtaken_breaks_the_book_once_and_not_again_when_it_comes():
    venue = filled()
    session = live(venue)
    late = timed(venue.update(bids=[("100.10", "7.00000000")]), 57)
    early = timed(venue.update(asks=[("101.10", "5.00000000")]), 58)
    assert Checked(SYMBOL, False) in session.on_frame(early, 10)
    assert messages(session.on_frame(venue.snapshot(), 11), BookSnapshot)
    venue_now = timed(venue.update(bids=[("99.10", "3.00000000")]), 59)
    assert messages(session.on_frame(venue_now, 12), BookDelta)
    dropped = session.on_frame(late, 13)
    assert dropped == [Checked(SYMBOL, None), Dropped(SYMBOL, DROPPED_STALE)]
    after = timed(venue.update(bids=[("98.10", "4.00000000")]), 59)
    assert of(session.on_frame(after, 14), Checked) == [Checked(SYMBOL, True)]


def test_update_with_an_older_time_that_fits_is_applied():
    venue = filled()
    session = live(venue)
    session.on_frame(timed(venue.update(bids=[("100.10", "7.00000000")]), 58), 10)
    older = timed(venue.update(bids=[("100.10", "8.00000000")]), 57)
    assert messages(session.on_frame(older, 11), BookDelta)


def test_a_recording_does_not_back_off_somebody_else_chose_when_to_subscribe():
    venue = filled()
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 1, is_recorded=True)
    session.on_open(0)
    session.on_frame(venue.snapshot(), 1)
    bad = venue.frame("update", [("100.10", "9.0")], [], checksum=1)
    for at_ns in (10, 20, 30):
        assert Checked(SYMBOL, False) in session.on_frame(bad, at_ns)
        assert messages(session.on_frame(venue.snapshot(), at_ns + 1), BookSnapshot)


def test_without_a_checksum_nothing_is_proved_and_nothing_refused():
    venue = filled()
    session = live(venue)
    frame = venue.update(bids=[("100.10", "9.00000000")]).replace(b'"checksum"', b'"other"')
    effects = session.on_frame(frame, 5)
    assert effects[0] == Checked(SYMBOL, None) and messages(effects, BookDelta)


def test_a_granted_depth_counts():
    venue = filled(25)
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 10)
    session.on_open(0)
    session.on_frame(
        b'{"method":"subscribe","req_id":1,"result":{"channel":"book","symbol":"BTC/USD","depth":25,'
        b'"snapshot":true},"success":true,"time_in":"x","time_out":"y"}',
        1,
    )
    (snapshot,) = messages(session.on_frame(venue.snapshot(), 2), BookSnapshot)
    assert snapshot.depth_max == 25


def granted(depth: int) -> bytes:
    return (
        b'{"method":"subscribe","result":{"channel":"book","symbol":"BTC/USD","depth":%d,'
        b'"snapshot":true},"success":true}' % depth
    )


def test_a_smaller_depth_granted_by_a_reconnection_in_a_recording_counts():
    venue = filled(25)
    session = live(venue, 25)
    session.on_frame(granted(10), 5)
    venue.depth = 10
    for side in ("bids", "asks"):
        venue.change(side, "1.10" if side == "bids" else "200.10", "0")  # nothing but truncation
    session.on_frame(venue.snapshot(), 6)
    session.on_frame(venue.update(bids=[("100.50", "1.0")]), 7)  # 91.10 falls out, unsaid
    effects = session.on_frame(venue.update(bids=[("100.50", "0.0"), ("90.10", "2.0")]), 8)
    assert effects[0] == Checked(SYMBOL, True)


def test_a_depth_granted_after_the_snapshot_keeps_its_levels():
    venue = Venue(100)
    for n in range(6):
        venue.change("bids", f"{100 - n}.10", "1.0")
        venue.change("asks", f"{101 + n}.10", "1.0")
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 1)
    session.on_open(0)
    session.on_frame(venue.snapshot(), 1)
    session.on_frame(granted(100), 2)
    for n in range(6, 14):
        session.on_frame(venue.update(bids=[(f"{100 - n}.10", "2.0")]), 3)
    for n in range(6):
        effects = session.on_frame(venue.update(bids=[(f"{100 - n}.10", "0.0")]), 4)
        assert effects[0] == Checked(SYMBOL, True)


def test_a_resync_subscribes_again_once_per_epoch():
    session = live(filled())
    effects = session.on_resync(SYMBOL, 1, 9)
    assert [r["method"] for r in requests(effects)] == ["unsubscribe", "subscribe"]
    assert session.on_resync(SYMBOL, 1, 10) == ()


# --- liveness and the rest


def test_a_quiet_connection_is_pinged_and_a_silent_one_left():
    session = live(filled())
    (ping,) = requests(session.on_timer(1 + QUIET_NS))
    assert ping["method"] == "ping"
    assert not session.on_timer(QUIET_NS + ANSWER_TIMEOUT_NS)
    assert of(session.on_timer(1 + QUIET_NS + ANSWER_TIMEOUT_NS), Reconnect)


def test_a_pong_proves_life():
    session = live(filled())
    session.on_timer(1 + QUIET_NS)
    session.on_frame(b'{"method":"pong","req_id":3,"time_in":"x","time_out":"y"}', 2 + QUIET_NS)
    assert not session.on_timer(1 + QUIET_NS + ANSWER_TIMEOUT_NS - QUIET_NS)


def test_a_venue_that_takes_no_orders_prices_nothing():
    venue = filled()
    session = live(venue)
    status = b'{"channel":"status","type":"update","data":[{"system":"%s","api_version":"v2"}]}'
    for system in (b"maintenance", b"cancel_only", b"post_only"):
        state, down = session.on_frame(status % system, 5)
        assert isinstance(state, VenueState) and system.decode() in state.reason
        assert down.state is BookState.DOWN and system.decode() in down.reason
        assert not down.refused
        assert session.on_frame(status % system, 6) == ()
    assert session.on_frame(venue.snapshot(), 6) == []
    effects = session.on_frame(status % b"online", 7)
    assert effects[0] == VenueState("")
    assert "subscribe" in [r["method"] for r in requests(effects)]


def refusal(error: str) -> bytes:
    answer = {"error": error, "method": "subscribe", "success": False, "symbol": SYMBOL}
    return json.dumps(answer).encode()


def test_subscription_refused_in_maintenance_is_the_venues_state():
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 10)
    session.on_open(0)
    session.on_frame(b'{"channel":"status","type":"update","data":[{"system":"maintenance"}]}', 1)
    (status,) = session.on_frame(refusal("EService:Market in maintenance"), 2)
    assert not status.refused and "maintenance" in status.reason
    effects = session.on_frame(
        b'{"channel":"status","type":"update","data":[{"system":"online"}]}', 3
    )
    assert "subscribe" in [r["method"] for r in requests(effects)]


def test_subscription_that_failed_for_now_is_tried_again():
    session = KrakenSession("kraken", {SYMBOL: SYMBOL}, 10)
    session.on_open(0)
    (status,) = session.on_frame(refusal("EService:Unavailable"), 2)
    assert status.state is BookState.DOWN and not status.refused
    (again,) = requests(session.on_timer(SECOND))
    assert again["method"] == "subscribe"
    assert messages(session.on_frame(filled().snapshot(), SECOND), BookSnapshot)


def test_trades_are_read_and_old_ones_left_out():
    session = live(filled())
    frame = (
        b'{"channel":"trade","type":"%s","data":[{"symbol":"BTC/USD","side":"sell","price":4136.4,'
        b'"qty":0.23374249,"ord_type":"limit","trade_id":4665906,"timestamp":"2023-09-25T07:48:36.925533Z"}]}'
    )
    (trade,) = messages(session.on_frame(frame % b"update", 5), Trade)
    assert (trade.side, trade.qty, trade.trade_id) == (Side.SELL, 0.23374249, "4665906")
    assert session.on_frame(frame % b"snapshot", 5) == ()


@pytest.mark.parametrize("number", ["-1", "1e999", "true", '"1"', "null", "[]", "0"])
def test_prices_no_market_has_are_parse_errors(number):
    frame = filled().frame("update", [(number, "1")], [])
    with pytest.raises(ParseError):
        parse.parse_levels(parse.parse_book(frame).data[0].bids)
    assert isinstance(live(filled()).on_frame(frame, 5)[0], Malformed)


# --- rules


def kraken_market(**changes):
    info = {
        "tick_size": "0.1",
        "pair_decimals": 5,
        "lot_decimals": 8,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "fees": [[0, 0.40], [10000, 0.35]],
        "fees_maker": [[0, 0.25]],
        "status": "online",
        **changes,
    }
    return {"symbol": SYMBOL, "info": info, "taker": 0.0026, "maker": 0.0016}


def test_rules_take_the_tick_and_the_base_tier_of_the_pair():
    rules = FEED.rules("kraken", kraken_market())
    assert (str(rules.tick_size), str(rules.lot_size)) == ("0.1", "1E-8")
    assert (rules.taker_fee_bps, rules.maker_fee_bps) == (40, 25)
    assert (str(rules.qty_min), str(rules.notional_min)) == ("0.00005", "0.5")
    assert rules.active


def test_rules_without_tick_or_fees_fall_back():
    rules = FEED.rules("kraken", kraken_market(tick_size=None, fees=None, status="cancel_only"))
    assert (rules.tick_size, rules.taker_fee_bps, rules.active) == (Decimal("0.00001"), 26, False)


def test_of_tick_and_digits_the_coarser_counts():
    rules = FEED.rules("kraken", kraken_market(tick_size="0.0001", pair_decimals=1))
    assert rules.tick_size == Decimal("0.1")


def test_the_base_tier_is_the_one_without_volume():
    rules = FEED.rules("kraken", kraken_market(fees=[[10000, 0.35], [0, 0.40]]))
    assert rules.taker_fee_bps == 40


@pytest.mark.parametrize("odd", ["0", "-1", "NaN", "x", None, "1e400"])
@pytest.mark.parametrize(
    "name", ["tick_size", "pair_decimals", "lot_decimals", "ordermin", "costmin"]
)
def test_an_odd_number_takes_one_instrument_out(name, odd):
    rules = FEED.rules("kraken", kraken_market(**{name: odd}))
    assert rules.active == (not rules.reason)
    if odd in {"NaN", "x", "1e400"} or (name, odd) == ("tick_size", "0"):
        assert not rules.active


@pytest.mark.parametrize("fees", [[[0, "NaN"]], [[0]], [0], "x", [[0, -1]], [[0, 99]], 5])
def test_an_odd_fee_takes_one_instrument_out(fees):
    assert not FEED.rules("kraken", kraken_market(fees=fees)).active
