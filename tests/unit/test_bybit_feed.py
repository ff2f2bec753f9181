"""Bybit: the session's answers to what the venue says, rules, orders, and a real recording."""

from __future__ import annotations

import json
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.cli.verification import verify_paths
from shared.errors import Cause, ConfigError, OutcomeUnknown, Rejected
from shared.messages.base import BookState, Side
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    FundingSettled,
    Mark,
    Trade,
    TradesMissed,
)
from shared.venues.bybit import orders
from shared.venues.bybit.feed import FEED
from shared.venues.bybit.recordings import BybitRecordings
from shared.venues.bybit.session import BybitSession
from shared.venues.port import (
    Dropped,
    Emit,
    FeedKind,
    FeedRefused,
    FetchFacts,
    FrameRole,
    Gap,
    Malformed,
    Reconnect,
    Send,
)

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
NAME = "BTC/USDT:USDT"


def book(kind: str, update_id: int, bids: Any = (), asks: Any = (), depth: int = 50) -> bytes:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": update_id, "seq": 7}
    topic = f"orderbook.{depth}.BTCUSDT"
    body = {"topic": topic, "type": kind, "ts": 1733011200790, "data": data, "cts": 1733011200782}
    return json.dumps(body, separators=(",", ":")).encode()


def opened(kind: FeedKind = FeedKind.DEPTH) -> BybitSession:
    session = BybitSession("bybit", {"BTCUSDT": NAME}, "linear", kind=kind)
    session.on_open(NOW)
    return session


def answer(session: BybitSession, request: str, text: str = "") -> list:
    body = {"success": not text, "ret_msg": text, "req_id": request, "op": "subscribe"}
    return list(session.on_frame(json.dumps(body).encode(), NOW))


def live(update_id: int = 10) -> BybitSession:
    session = opened()
    answer(session, "1")
    session.on_frame(book("snapshot", update_id, [["1", "4"]], [["2", "5"]]), NOW)
    return session


def sent(effects: Any) -> list[dict[str, Any]]:
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]


def test_every_book_is_asked_for_by_itself() -> None:
    session = BybitSession("bybit", {"BTCUSDT": NAME, "ETHUSDT": "ETH/USDT:USDT"}, "linear")
    assert sent(session.on_open(NOW)) == [
        {"req_id": "1", "op": "subscribe", "args": ["orderbook.50.BTCUSDT"]},
        {"req_id": "2", "op": "subscribe", "args": ["orderbook.50.ETHUSDT"]},
    ]


def test_a_snapshot_makes_the_book_live_and_deltas_continue_it() -> None:
    session = opened()
    [snapshot, status] = session.on_frame(book("snapshot", 10, [["1", "4"]], [["2", "5"]]), NOW)
    assert isinstance(snapshot.message, BookSnapshot)
    assert (snapshot.message.seq, snapshot.message.depth_max) == (10, 50)
    assert snapshot.message.ts_venue_ns == 1733011200782 * 10**6, "when the engine matched"
    assert status.state is BookState.LIVE
    [delta] = session.on_frame(book("delta", 11, [["1", "0"]]), NOW)
    assert isinstance(delta.message, BookDelta)
    assert (delta.message.seq_prev, delta.message.seq) == (10, 11)
    assert delta.message.bids == [(1.0, 0.0)]


@pytest.mark.parametrize(
    ("update_id", "kind"), [(11, Emit), (10, Dropped), (4, Dropped), (12, Gap)]
)
def test_a_delta_is_judged_by_its_number(update_id: int, kind: type) -> None:
    effects = live().on_frame(book("delta", update_id, [], [["2.5", "1"]]), NOW)
    assert type(effects[0]) is kind
    if kind is Gap:
        assert (effects[0].expected, effects[0].got) == (11, 12)
        assert effects[1].state is BookState.GAP
        assert [request["op"] for request in sent(effects)] == ["unsubscribe", "subscribe"]


def test_nothing_is_applied_between_a_gap_and_the_next_snapshot() -> None:
    session = live()
    session.on_frame(book("delta", 12), NOW)
    assert [type(e) for e in session.on_frame(book("delta", 13), NOW)] == [Dropped]
    [snapshot, status] = session.on_frame(book("snapshot", 40, [["1", "1"]]), NOW + 1)
    assert (snapshot.message.seq, status.state) == (40, BookState.LIVE)
    assert type(session.on_frame(book("delta", 13), NOW)[0]) is Dropped, "from before"


@pytest.mark.parametrize(("kind", "update_id"), [("snapshot", 900), ("snapshot", 1), ("delta", 1)])
def test_a_snapshot_in_the_middle_begins_a_new_epoch(kind: str, update_id: int) -> None:
    """``u`` of 1 tells of a restart of the service: what comes with it is the whole book."""
    session = live()
    [snapshot, _] = session.on_frame(book(kind, update_id, [["3", "1"]], [["4", "1"]]), NOW + 5)
    assert snapshot.message.epoch > NOW
    assert snapshot.message.bids == [(3.0, 1.0)]
    [delta] = session.on_frame(book("delta", update_id + 1), NOW + 6)
    assert delta.message.epoch == snapshot.message.epoch


def test_frames_of_another_depth_are_numbered_apart() -> None:
    session = live()
    assert session.on_frame(book("snapshot", 500, depth=200), NOW) == ()
    assert session.on_frame(book("delta", 12, depth=200), NOW) == ()


def test_what_the_venue_does_not_have_is_refused_for_good() -> None:
    for text in ("error:handler not found,topic:orderbook.50.BTCUSDT", "Invalid symbol :[X]"):
        [status] = answer(opened(), "1", text)
        assert (status.state, status.refused) == (BookState.DOWN, True)
        [refused] = answer(opened(FeedKind.TRADES), "1", text)
        assert isinstance(refused, FeedRefused)
    [again] = answer(opened(), "1", "error:internal")
    assert (again.state, again.refused) == (BookState.DOWN, False)
    assert isinstance(answer(opened(FeedKind.TRADES), "1", "error:internal")[0], Reconnect)
    assert isinstance(answer(opened(), "77", "error:internal")[0], Malformed)


def test_the_connection_is_pinged_every_20_s_and_left_when_it_stays_silent() -> None:
    session = live()
    for second in range(1, 20):
        session.on_frame(book("delta", 10 + second), NOW + second * SECOND)
        assert session.on_timer(NOW + second * SECOND) == []
    assert sent(session.on_timer(NOW + 20 * SECOND)) == [{"op": "ping"}]
    [left] = session.on_timer(NOW + 25 * SECOND)
    assert isinstance(left, Reconnect)
    quiet = live()
    assert sent(quiet.on_timer(NOW + 6 * SECOND)) == [{"op": "ping"}]
    quiet.on_frame(b'{"success":true,"ret_msg":"pong","op":"ping"}', NOW + 7 * SECOND)
    assert not quiet.on_timer(NOW + 11 * SECOND)


def test_what_is_not_answered_ends_the_connection() -> None:
    assert opened().on_timer(NOW + 4 * SECOND) == []
    [left] = opened().on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and "BTCUSDT" in left.reason
    session = opened()
    answer(session, "1")
    session.on_frame(b'{"op":"pong"}', NOW + 9 * SECOND)
    [left] = session.on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and "snapshot" in left.reason


def test_trades_are_told_but_those_agreed_elsewhere() -> None:
    session = opened(FeedKind.TRADES)
    [missed] = answer(session, "1")
    assert isinstance(missed.message, TradesMissed)
    row = {"T": 1672304486865, "s": "BTCUSDT", "S": "Sell", "v": "0.001", "p": "16578.50", "i": "a"}
    body = {"topic": "publicTrade.BTCUSDT", "data": [{**row, "BT": True}, {**row, "BT": False}]}
    [told] = session.on_frame(json.dumps(body).encode(), NOW)
    trade = told.message
    assert isinstance(trade, Trade)
    assert (trade.side, trade.price, trade.qty) == (Side.SELL, 16578.5, 0.001)
    assert trade.ts_venue_ns == 1672304486865 * 10**6
    body["data"] = [{**row, "S": "Hold"}]
    assert isinstance(session.on_frame(json.dumps(body).encode(), NOW)[0], Malformed)


def ticker(kind: str, ts: int = 1, **data: str) -> bytes:
    body = {"topic": "tickers.BTCUSDT", "type": kind, "data": {"symbol": "BTCUSDT", **data}}
    return json.dumps({**body, "ts": ts}).encode()


NEXT_MS = 1_700_006_400_000
WHOLE = {
    "markPrice": "100.5",
    "indexPrice": "100",
    "fundingRate": "-0.0002",
    "nextFundingTime": str(NEXT_MS),
}


def messages(effects: Any) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Emit)]


def test_a_ticker_tells_only_what_has_changed() -> None:
    session = opened(FeedKind.FUNDING)
    assert session.on_frame(ticker("delta", markPrice="99"), NOW) == (), "no snapshot came yet"
    [mark, funding] = messages(session.on_frame(ticker("snapshot", **WHOLE), NOW))
    assert isinstance(mark, Mark) and isinstance(funding, Funding)
    assert (funding.rate, funding.ts_funding_ns) == (-0.0002, NEXT_MS * 10**6)
    assert session.on_frame(ticker("delta", markPrice="101"), NOW + 1) == (), "once a second"
    [mark, funding] = messages(session.on_frame(ticker("delta", lastPrice="7"), NOW + SECOND))
    assert (mark.mark_price, mark.index_price, funding.rate) == (101.0, 100.0, -0.0002)
    later = ticker("delta", nextFundingTime=str(NEXT_MS + 28_800_000))
    [_, funding] = messages(session.on_frame(later, NOW + SECOND + 1))
    assert funding.ts_funding_ns == (NEXT_MS + 28_800_000) * 10**6, "at once"


def test_terms_and_settlements_are_asked_for() -> None:
    session = opened(FeedKind.FUNDING)
    asked = [e for e in session.on_timer(NOW) if isinstance(e, FetchFacts)]
    assert [each.path for each in asked] == [
        "/v5/market/instruments-info?category=linear&limit=1000",
        "/v5/market/funding/history?category=linear&symbol=BTCUSDT&limit=30",
    ]
    terms, history = asked
    row = {"symbol": "BTCUSDT", "fundingInterval": 240, "upperFundingRate": "0.005"}
    body = {"retCode": 0, "result": {"list": [row]}}
    session.on_facts(terms.topic, json.dumps(body).encode(), NOW)
    rows = [
        {"symbol": "BTCUSDT", "fundingRate": rate, "fundingRateTimestamp": str(at_ms)}
        for rate, at_ms in (("0.0003", NEXT_MS), ("0.0001", NEXT_MS - 14_400_000))
    ]
    body = {"retCode": 0, "result": {"list": rows}}
    settled = messages(session.on_facts(history.topic, json.dumps(body).encode(), NOW))
    assert [type(each) for each in settled] == [FundingSettled, FundingSettled]
    assert [each.rate for each in settled] == [0.0001, 0.0003]
    assert settled[1].interval_ns == 4 * 3_600 * SECOND
    [_, funding] = messages(session.on_frame(ticker("snapshot", **WHOLE), NOW))
    assert (funding.interval_ns, funding.rate_cap, funding.rate_floor) == (
        4 * 3_600 * SECOND,
        0.005,
        None,
    )


def test_terms_that_are_not_told_stay_unknown() -> None:
    session = opened(FeedKind.FUNDING)
    terms = next(e for e in session.on_timer(NOW) if isinstance(e, FetchFacts))
    refusal = session.on_facts(terms.topic, b'{"retCode":10006,"result":{"list":[]}}', NOW)
    assert isinstance(refusal[0], Malformed) and "10006" in refusal[0].reason
    session.on_facts(terms.topic, b'{"retCode":0,"result":{"list":[]}}', NOW)
    [_, funding] = messages(session.on_frame(ticker("snapshot", **WHOLE), NOW))
    assert funding.interval_ns is None


def test_only_perpetuals_are_offered() -> None:
    assert FEED.to_symbol("BTC/USDT:USDT") == "BTCUSDT"
    assert FEED.to_symbol("BTC/USDC:USDC") == "BTCPERP"
    assert FEED.to_symbol("BTC/USD:BTC") == "BTCUSD"
    for name in ("BTC/USDT", "BTC/USDT:USDT-261225", "BTC/USD:BTC-261225"):
        with pytest.raises(ConfigError, match="venue bybit: "):
            FEED.connections("bybit", [name])


@pytest.mark.parametrize("kind", [FeedKind.DEPTH, FeedKind.TRADES, FeedKind.FUNDING])
def test_each_category_has_a_path_of_its_own(kind: FeedKind) -> None:
    names = ["ETH/USD:ETH", "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDC:USDC"]
    if kind is FeedKind.DEPTH:
        sockets = FEED.connections("bybit", names)
    else:
        sockets = FEED.extra_connections("bybit", kind, names)
    assert [(socket.path, socket.instruments) for socket in sockets] == [
        ("/v5/public/linear", ("BTC/USDT:USDT", "BTC/USDC:USDC")),
        ("/v5/public/inverse", ("ETH/USD:ETH", "BTC/USD:BTC")),
    ]
    assert len({socket.name for socket in sockets}) == 2


def test_funding_of_inverse_contracts_is_asked_for_in_their_category() -> None:
    (socket,) = FEED.extra_connections("bybit", FeedKind.FUNDING, ["BTC/USD:BTC"])
    socket.session.on_open(NOW)
    paths = [e.path for e in socket.session.on_timer(NOW) if isinstance(e, FetchFacts)]
    assert paths and all("category=inverse" in path for path in paths)


INFO: dict[str, Any] = {
    "status": "Trading",
    "priceFilter": {"tickSize": "0.10"},
    "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "maxOrderQty": "1190.000"},
}


def market(**changes: Any) -> dict[str, Any]:
    info = {**INFO, **changes}
    return {"id": "BTCUSDT", "symbol": NAME, "taker": 0.0006, "info": info}


def test_rules_are_those_of_the_list() -> None:
    rules = FEED.rules("bybit", market())
    assert (rules.tick_size, rules.lot_size) == (Decimal("0.1"), Decimal("0.001"))
    assert (rules.qty_max, rules.notional_min) == (Decimal(1190), Decimal(0))
    assert (rules.taker_fee_bps, rules.active) == (Decimal("5.5"), True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "PreLaunch"}, "status PreLaunch"),
        ({"status": "Settling"}, "status Settling"),
        ({"status": "Closed"}, "status Closed"),
        ({"preListingInfo": {"curAuctionPhase": "CallAuction"}}, "pre-market phase CallAuction"),
    ],
)
def test_what_takes_no_orders_as_usual_is_not_active(changes: Any, reason: str) -> None:
    rules = FEED.rules("bybit", market(**changes))
    assert (rules.active, rules.reason) == (False, reason)
    traded = {"preListingInfo": {"curAuctionPhase": "ContinuousTrading"}}
    assert FEED.rules("bybit", market(**traded)).active


def test_recordings_are_known_by_host_path_and_topic() -> None:
    reader = BybitRecordings()
    assert reader.venue_of_url("wss://stream.bybit.com/v5/public/linear") == "bybit"
    assert reader.venue_of_url("wss://stream.bybit.com/v5/public/inverse") == "bybit"
    assert reader.venue_of_url("wss://stream.bybit.com/v5/public/spot") is None
    assert reader.venue_of_url("wss://stream.bybit.com.evil.org/v5/public/linear") is None
    raw = book("delta", 3)
    assert (reader.venue_of_frame(raw), reader.role_of_frame(raw)) == ("bybit", FrameRole.DELTA)
    assert reader.instrument_of_frame(raw) == NAME
    assert reader.time_of_frame(raw) == 1733011200782 * 10**6
    assert reader.role_of_frame(book("snapshot", 3, depth=1)) is FrameRole.QUOTE
    inverse = raw.replace(b"BTCUSDT", b"BTCUSD")
    assert (reader.venue_of_frame(inverse), reader.instrument_of_frame(inverse)) == (
        "bybit",
        "BTC/USD:BTC",
    )
    torn = raw[:60]
    assert (reader.venue_of_frame(torn), reader.role_of_frame(torn)) == ("bybit", FrameRole.DELTA)
    dated = raw.replace(b"BTCUSDT", b"BTC-26DEC25")
    assert reader.venue_of_frame(dated) is None
    assert reader.venue_of_frame(b'{"topic":"book","x":1}') is None


def test_what_an_error_means() -> None:
    meaning = orders.meaning("InvalidOrder", '{"retCode":110072,"retMsg":"duplicate"}', 200)
    assert meaning.outcome is OutcomeUnknown, "an order of ours may be there"
    meaning = orders.meaning(
        "BadRequest", '{"retCode":10001,"retMsg":"position idx not match position mode"}', 200
    )
    assert (meaning.outcome, meaning.cause) == (Rejected, Cause.ACCOUNT)
    assert orders.is_canceled('{"retCode":110001}') and not orders.is_canceled('{"retCode":10001}')
    assert orders.forced_by("CreateByAdl_PassThrough") == "auto-deleveraging"
    assert orders.forced_by("abc") == ""


def unpacked(recorded: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(recorded / "nautilus" / "xrpusdt-ob500.data.zip") as archive:
        (name,) = archive.namelist()
        return Path(archive.extract(name, tmp_path))


@pytest.mark.recorded
def test_the_recorded_book_has_no_gap(recorded: Path, tmp_path: Path) -> None:
    path = unpacked(recorded, tmp_path)
    report = verify_paths([path])
    [found] = report.books
    assert (found.venue, found.instrument) == ("bybit", "XRP/USDT:USDT")
    assert (found.snapshots, found.deltas, found.gaps_total) == (1, 49, 0)
    assert found.state == "LIVE"


@pytest.mark.recorded
@pytest.mark.parametrize("line", [2, 25, 49])
def test_a_delta_that_is_missing_is_found_by_its_line(
    recorded: Path, tmp_path: Path, line: int
) -> None:
    path = unpacked(recorded, tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: line - 1] + lines[line:]))
    [found] = verify_paths([path]).books
    assert found.gaps_total == 1
    assert [gap.line for gap in found.gaps] == [line]
