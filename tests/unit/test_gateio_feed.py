"""Gate spot: the session's answers to what the venue says, and how its orders are found."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from shared.errors import ConfigError, Rejected, Unavailable
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Trade, TradesMissed
from shared.venues.gateio import orders
from shared.venues.gateio.feed import FEED
from shared.venues.gateio.recordings import GateRecordings
from shared.venues.gateio.session import GateSession
from shared.venues.port import (
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
SNAPSHOT = b'{"id":10,"current":2,"update":1619093533012,"asks":[["2","5"]],"bids":[["1","4"]]}'


def update(first: int, last: int, bids: Any = (), asks: Any = ()) -> bytes:
    result = {"t": 1619093532989, "s": "BTC_USDT", "U": first, "u": last, "b": bids, "a": asks}
    return frame("spot.order_book_update", "update", result)


def frame(channel: str, event: str, result: Any, **more: Any) -> bytes:
    body = {"time": 1, "channel": channel, "event": event, "result": result, **more}
    return json.dumps(body).encode()


def opened() -> GateSession:
    session = GateSession("gateio", {"BTC_USDT": "BTC/USDT"})
    session.on_open(NOW)
    return session


def answer(session: GateSession, request: int, **more: Any) -> list:
    ok = {"status": "fail" if more else "success"}
    raw = frame("spot.order_book_update", "subscribe", ok, id=request, **more)
    return list(session.on_frame(raw, NOW))


def live() -> GateSession:
    session = opened()
    answer(session, 1)
    session.on_snapshot("BTC/USDT", SNAPSHOT, NOW)
    return session


def test_every_book_is_asked_for_by_itself_and_its_snapshot_once_it_flows() -> None:
    session = GateSession("gateio", {"BTC_USDT": "BTC/USDT", "ETH_USDT": "ETH/USDT"})
    sent = [json.loads(e.frame) for e in session.on_open(NOW) if isinstance(e, Send)]
    assert [r["payload"] for r in sent if r["channel"] == "spot.order_book_update"] == [
        ["BTC_USDT", "100ms"],
        ["ETH_USDT", "100ms"],
    ]
    [asked] = answer(session, sent[1]["id"])
    assert isinstance(asked, FetchSnapshot)
    assert asked.path == "/api/v4/spot/order_book?currency_pair=ETH_USDT&limit=100&with_id=true"


def test_the_snapshot_joins_what_waited_for_it() -> None:
    session = opened()
    answer(session, 1)
    for first, last in ((5, 8), (9, 12), (13, 13)):
        session.on_frame(update(first, last, [["1", "0"]]), NOW)
    effects = session.on_snapshot("BTC/USDT", SNAPSHOT, NOW)
    kinds = [type(e.message) if isinstance(e, Emit) else type(e) for e in effects]
    assert kinds == [Dropped, BookSnapshot, BookDelta, BookDelta, BookStatus]
    assert effects[1].message.seq == 10
    assert (effects[2].message.seq_prev, effects[2].message.seq) == (10, 12)


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [(11, 14, Emit), (10, 14, Emit), (8, 10, Dropped), (12, 14, Gap)],
)
def test_an_update_is_judged_by_its_numbers(first: int, last: int, kind: type) -> None:
    effects = live().on_frame(update(first, last, None, [["2.5", "1"]]), NOW)
    assert type(effects[0]) is kind
    if kind is Gap:
        assert (effects[0].expected, effects[0].got) == (11, 12)
        assert effects[1].state is BookState.GAP
        assert any(isinstance(effect, FetchSnapshot) for effect in effects)


def test_a_pair_that_the_venue_does_not_have_is_refused_for_good() -> None:
    error = {"code": 2, "message": "unknown currency pair: BTC_USDT"}
    [status] = answer(opened(), 1, error=error)
    assert (status.state, status.refused) == (BookState.DOWN, True)
    assert "unknown currency pair" in status.reason
    [again] = answer(opened(), 1, error={"code": 3, "message": "internal"})
    assert isinstance(again, Reconnect)


def test_silence_is_asked_about_and_then_left() -> None:
    session = live()
    [ping] = session.on_timer(NOW + 6 * SECOND)
    assert json.loads(ping.frame)["channel"] == "spot.ping"
    [left] = session.on_timer(NOW + 12 * SECOND)
    assert isinstance(left, Reconnect)
    session = live()
    session.on_timer(NOW + 6 * SECOND)
    session.on_frame(frame("spot.pong", "", None), NOW + 7 * SECOND)
    assert session.on_timer(NOW + 11 * SECOND) == ()


def test_a_subscription_that_is_not_answered_ends_the_connection() -> None:
    assert opened().on_timer(NOW + 4 * SECOND) == ()
    [left] = opened().on_timer(NOW + 10 * SECOND)
    assert isinstance(left, Reconnect) and "BTC_USDT" in left.reason


def test_trades_have_a_connection_of_their_own() -> None:
    (link,) = FEED.extra_connections("gateio", FeedKind.TRADES, ["BTC/USDT"])
    (request,) = (json.loads(e.frame) for e in link.session.on_open(NOW) if isinstance(e, Send))
    assert (request["channel"], request["payload"]) == ("spot.trades", ["BTC_USDT"])
    ok = frame("spot.trades", "subscribe", {"status": "success"}, id=1)
    [missed] = link.session.on_frame(ok, NOW)
    assert isinstance(missed.message, TradesMissed) and not missed.message.ongoing
    link.session.on_open(NOW)
    error = {"code": 2, "message": "unknown currency pair: BTC_USDT"}
    no = frame("spot.trades", "subscribe", {"status": "fail"}, id=2, error=error)
    [refused] = link.session.on_frame(no, NOW)
    assert isinstance(refused, FeedRefused) and refused.instrument == "BTC/USDT"


def test_trades_come_one_or_many_at_a_time() -> None:
    row = {
        "id": 31,
        "create_time_ms": "1648725035923.457",
        "side": "sell",
        "currency_pair": "BTC_USDT",
        "amount": "0.0116",
        "price": "130.11",
    }
    for result in (row, [row, {**row, "id": 32}]):
        effects = live().on_frame(frame("spot.trades", "update", result), NOW)
        trade = effects[0].message
        assert isinstance(trade, Trade)
        assert (trade.trade_id, trade.side, trade.price) == ("31", Side.SELL, 130.11)
        assert trade.ts_venue_ns == 1_648_725_035_923_457_000
    [bad] = live().on_frame(frame("spot.trades", "update", {**row, "side": "both"}), NOW)
    assert isinstance(bad, Malformed)


def test_other_kinds_of_instruments_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="gateio"):
        FEED.connections("gateio", ["BTC/USDT:USDT"])


def test_rules_are_those_of_the_pair() -> None:
    info = {
        "id": "BTC_USDT",
        "precision": 1,
        "amount_precision": 6,
        "min_base_amount": "0.00001",
        "min_quote_amount": "3",
        "trade_status": "tradable",
    }
    market = {"symbol": "BTC/USDT", "id": "BTC_USDT", "info": info, "taker": 0.002, "maker": 0.002}
    rules = FEED.rules("gateio", market)
    assert (rules.tick_size, rules.lot_size) == (Decimal("0.1"), Decimal("0.000001"))
    assert (rules.qty_min, rules.notional_min) == (Decimal("0.00001"), Decimal(3))
    assert rules.taker_fee_bps == 20 and rules.active
    stopped = FEED.rules("gateio", {**market, "info": {**info, "trade_status": "untradable"}})
    assert not stopped.active


def test_recorded_lines_are_told_by_host_and_channel() -> None:
    reader = GateRecordings()
    assert reader.venue_of_url("wss://api.gateio.ws/ws/v4/") == "gateio"
    assert reader.venue_of_url("wss://fx-ws.gateio.ws/v4/ws/usdt") is None
    book = "https://api.gateio.ws/api/v4/spot/order_book?currency_pair=HAI_ETH&limit=100"
    assert reader.instrument_of_url(book) == "HAI/ETH"
    raw = update(5, 8, [["1", "2"]], [["3", "4"]])
    assert (reader.venue_of_frame(raw), reader.role_of_frame(raw)) == ("gateio", FrameRole.DELTA)
    assert reader.instrument_of_frame(raw) == "BTC/USDT"
    assert reader.time_of_frame(raw) == 1_619_093_532_989_000_000
    assert reader.levels_of_frame(raw) == [("1", "2"), ("3", "4")]
    assert reader.role_of_frame(SNAPSHOT) is FrameRole.REST_BOOK
    assert reader.role_of_frame(frame("spot.trades", "subscribe", {})) is FrameRole.OTHER
    torn = raw[:-20]
    assert (reader.venue_of_frame(torn), reader.instrument_of_frame(torn)) == ("gateio", "BTC/USDT")


class Client:
    """What ``find`` asks of a client: nothing is found by text, two pages of orders ended."""

    def __init__(self, ended: list[str]) -> None:
        self.ended = ended

    def market(self, instrument: str) -> dict[str, str]:
        return {"id": instrument.replace("/", "_")}

    async def fetch_order(self, order_id: str, instrument: str, params: Any) -> Any:
        raise Rejected('gate {"label":"ORDER_NOT_FOUND","message":"Order not found"}')

    async def privateSpotGetOrders(self, params: dict[str, Any]) -> list[dict[str, str]]:
        start = (params["page"] - 1) * params["limit"]
        return [{"text": text} for text in self.ended[start : start + params["limit"]]]

    def parse_order(self, row: Any, market: Any) -> Any:
        return row


async def read(what: str, request: Any) -> Any:
    return await request


async def test_an_order_that_ended_a_while_ago_is_found_among_the_others(monkeypatch) -> None:
    monkeypatch.setattr(orders, "FILLS_PAGE", 3)
    monkeypatch.setattr(orders, "LOOKUP_PAGES_MAX", 5)
    ended = [f"t-other{n}" for n in range(4)] + ["t-abours"]
    found = await orders.find(Client(ended), read, "BTC/USDT", "abours", "")
    assert found == {"text": "t-abours"}
    assert await orders.find(Client(ended[:2]), read, "BTC/USDT", "abours", "") is None
    with pytest.raises(Unavailable):  # none of five pages, and there are more
        await orders.find(Client(["t-other"] * 99), read, "BTC/USDT", "abours", "")


async def test_a_venue_that_gives_no_more_than_it_does_unasked_hides_no_order() -> None:
    class Capped(Client):
        async def privateSpotGetOrders(self, params: dict[str, Any]) -> list[dict[str, str]]:
            return await super().privateSpotGetOrders(
                {**params, "limit": min(params["limit"], 100)}
            )

    ended = [f"t-other{n}" for n in range(130)] + ["t-abours"]
    found = await orders.find(Capped(ended), read, "BTC/USDT", "abours", "")
    assert found == {"text": "t-abours"}
    asked = Capped(ended[:1] * 250 + ["t-abours"])
    assert await orders.find(asked, read, "BTC/USDT", "abours", "") == {"text": "t-abours"}


def test_a_fee_paid_in_another_asset_is_the_fee() -> None:
    base, other = {"currency": "BTC", "cost": "0"}, {"currency": "GT", "cost": "0.3"}
    assert orders.with_fee({"fees": [base, other], "fee": None})["fee"] == other
    assert orders.with_fee({"fees": [base], "fee": None})["fee"] == base
    both = [{"currency": "BTC", "cost": "1"}, other]
    assert orders.with_fee({"fees": both, "fee": None})["fee"] is None
