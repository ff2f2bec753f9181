"""Sessions of user data streams: what venues push, and what is made of it."""

from __future__ import annotations

from decimal import Decimal as D
from random import Random
from typing import Any

import msgspec
import pytest

from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.venues.account_port import FillSeen, Followed, Missed, OrderSeen
from shared.venues.binance.account_stream import SUBSCRIBE, SpotAccount, signed
from shared.venues.binanceusdm.account_stream import FuturesAccount
from shared.venues.kraken.account_stream import KrakenAccount
from shared.venues.port import Malformed, Reconnect, Send
from shared.venues.registry import ADAPTERS, load_account_feed

ORDER_ID = "abplan00000000000"
REPORT = {
    "e": "executionReport",
    "s": "BTCUSDT",
    "c": ORDER_ID,
    "S": "BUY",
    "q": "0.30000000",
    "p": "60000.00000000",
    "C": "",
    "x": "TRADE",
    "X": "PARTIALLY_FILLED",
    "r": "NONE",
    "i": 4_000_000_001,
    "l": "0.10000000",
    "z": "0.20000000",
    "L": "59990.10000000",
    "n": "0.00010000",
    "N": "BTC",
    "T": 1_723_161_255_342,
    "t": 70_000_001,
}
SEEN = OrderSeen(
    instrument="BTC/USDT",
    client_order_id=ORDER_ID,
    venue_order_id="4000000001",
    side=Side.BUY,
    status=OrderStatus.PARTIALLY_FILLED,
    filled_qty=D("0.2"),
    qty=D("0.3"),
    price_limit=D(60_000),
    fill=FillSeen(
        trade_id="70000001",
        price=D("59990.1"),
        qty=D("0.1"),
        fee=D("0.0001"),
        fee_asset="BTC",
        ts_venue_ms=1_723_161_255_342,
    ),
)


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def spot(event: dict[str, Any]) -> list[Any]:
    session = SpotAccount("{}", {"BTCUSDT": "BTC/USDT"})
    return list(session.on_frame(encoded({"subscriptionId": 0, "event": event})))


def futures(event: dict[str, Any]) -> list[Any]:
    session = FuturesAccount({"BTCUSDT": "BTC/USDT:USDT"})
    body = {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": event}
    return list(session.on_frame(encoded(body)))


def test_spot_subscribes_with_a_signature_over_sorted_parameters() -> None:
    """The example of the venue's documentation has these parameters sorted by name."""
    text = signed(SUBSCRIBE, "key", "secret", 1_700_000_000_000)
    assert SpotAccount(text, {}).on_open() == (Send(text),)
    request = msgspec.json.decode(text)
    assert request["method"] == "userDataStream.subscribe.signature"
    assert set(request["params"]) == {"apiKey", "recvWindow", "timestamp", "signature"}
    session = SpotAccount(text, {})
    answer = {"id": 1, "status": 200, "result": {"subscriptionId": 0}}
    assert session.on_frame(encoded(answer)) == (Followed(),)
    no = {"id": 1, "status": 400, "error": {"code": -1022, "msg": "Signature is not valid."}}
    (refused,) = session.on_frame(encoded(no))
    assert isinstance(refused, Reconnect)
    assert "-1022" in refused.reason


def test_spot_and_futures_tell_an_execution() -> None:
    assert spot(REPORT) == [SEEN]
    assert futures(REPORT) == [msgspec.structs.replace(SEEN, instrument="BTC/USDT:USDT")]


@pytest.mark.parametrize(
    ("changes", "status", "client_id"),
    [
        ({"x": "NEW", "X": "NEW", "t": -1}, OrderStatus.ACCEPTED, ORDER_ID),
        ({"x": "EXPIRED", "X": "EXPIRED", "t": -1}, OrderStatus.CANCELED, ORDER_ID),
        (
            {"x": "CANCELED", "X": "CANCELED", "c": "cancel-1", "C": ORDER_ID, "t": -1},
            OrderStatus.CANCELED,
            ORDER_ID,
        ),
        ({"x": "REJECTED", "X": "REJECTED", "t": -1}, OrderStatus.REJECTED, ORDER_ID),
        ({"x": "EXPIRED", "X": "EXPIRED_IN_MATCH", "t": -1}, OrderStatus.CANCELED, ORDER_ID),
    ],
)
def test_binance_states(changes: dict[str, Any], status: OrderStatus, client_id: str) -> None:
    (seen,) = spot(REPORT | changes)
    assert (seen.status, seen.client_order_id, seen.fill) == (status, client_id, None)


@pytest.mark.parametrize(
    "changes",
    [{"X": "SOMETHING"}, {"S": "BOTH"}, {"z": "NaN"}, {"l": "-1e99"}, {"i": "x"}, {"q": None}],
)
def test_what_is_not_documented_is_malformed(changes: dict[str, Any]) -> None:
    for effects in (spot(REPORT | changes), futures(REPORT | changes)):
        assert len(effects) == 1
        assert isinstance(effects[0], Malformed)


def test_other_symbols_and_events_are_left_alone() -> None:
    assert spot(REPORT | {"s": "ETHUSDT"}) == futures(REPORT | {"s": "ETHUSDT"}) == []
    assert spot({"e": "outboundAccountPosition", "B": []}) == []
    lite = encoded({"e": "TRADE_LITE", "s": "BTCUSDT"})
    assert list(FuturesAccount({}).on_frame(lite)) == []


@pytest.mark.parametrize("event", ["eventStreamTerminated", "serverShutdown"])
def test_an_ended_stream_is_opened_again(event: str) -> None:
    assert isinstance(spot({"e": event})[0], Reconnect)
    ended = FuturesAccount({}).on_frame(encoded({"e": "listenKeyExpired"}))
    assert isinstance(ended[0], Reconnect)


ROW: dict[str, Any] = {
    "order_id": "OAAAAA-BBBBB-CCCCCC",
    "cl_ord_id": ORDER_ID,
    "exec_type": "trade",
    "order_status": "partially_filled",
    "symbol": "BTC/USD",
    "side": "sell",
    "order_qty": 0.3,
    "limit_price": 60000.1,
    "cum_qty": 0.1,
    "exec_id": "TAAAAA-BBBBB-CCCCCC",
    "trade_id": 70_000_001,
    "last_qty": 0.1,
    "last_price": 60000.2,
    "fees": [{"asset": "USD", "qty": 15.00005}],
    "timestamp": "2026-11-20T10:00:00.123456Z",
}


def executions(sequence: int, *rows: dict[str, Any], kind: str = "update") -> bytes:
    body = {"channel": "executions", "type": kind, "data": list(rows), "sequence": sequence}
    return encoded(body)


def kraken() -> KrakenAccount:
    session = KrakenAccount("token", {"BTC/USD": "BTC/USD"})
    (sent,) = session.on_open()
    assert isinstance(sent, Send)
    params = msgspec.json.decode(sent.frame)["params"]
    assert (params["channel"], params["token"], params["snap_orders"]) == (
        "executions",
        "token",
        True,
    )
    assert session.on_frame(executions(1, kind="snapshot")) == [Followed()]
    return session


def test_kraken_tells_an_execution_in_exact_decimals() -> None:
    (seen,) = kraken().on_frame(executions(2, ROW))
    assert isinstance(seen, OrderSeen)
    assert (seen.filled_qty, seen.status) == (D("0.1"), OrderStatus.PARTIALLY_FILLED)
    assert seen.fill == FillSeen(
        trade_id="TAAAAA-BBBBB-CCCCCC",
        price=D("60000.2"),
        qty=D("0.1"),
        fee=D("15.00005"),
        fee_asset="USD",
        ts_venue_ms=1_795_168_800_123,
    )


def test_kraken_leaves_out_of_later_messages_what_earlier_ones_said() -> None:
    session = kraken()
    session.on_frame(executions(2, ROW))
    short = {"order_id": ROW["order_id"], "exec_type": "canceled", "order_status": "canceled"}
    (seen,) = session.on_frame(executions(3, {**short, "reason": "Order expired"}))
    assert isinstance(seen, OrderSeen)
    assert (seen.instrument, seen.client_order_id, seen.side) == ("BTC/USD", ORDER_ID, Side.SELL)
    assert (seen.status, seen.filled_qty, seen.fill) == (OrderStatus.CANCELED, D("0.1"), None)
    unknown = {**short, "order_id": "ONEVER-SEEN"}
    assert session.on_frame(executions(4, unknown)) == []


def test_a_hole_in_krakens_numbers_is_told_and_what_came_is_taken() -> None:
    missed, seen = kraken().on_frame(executions(4, ROW))
    assert isinstance(missed, Missed)
    assert "2" in missed.reason
    assert isinstance(seen, OrderSeen)


def test_krakens_refusal_and_nonsense() -> None:
    session = kraken()
    no = encoded({"method": "subscribe", "success": False, "error": "EAPI:Invalid token"})
    assert isinstance(session.on_frame(no)[0], Reconnect)
    for raw in (b"", b"nonsense", executions(2, ROW | {"order_status": "odd"}), b"[]"):
        assert isinstance(session.on_frame(raw)[0], Malformed)


def test_who_can_be_followed() -> None:
    followed = {adapter for adapter in ADAPTERS if load_account_feed(adapter) is not None}
    assert followed == {"binance", "binanceusdm", "kraken"}


FRAMES = (
    encoded({"subscriptionId": 0, "event": REPORT}),
    encoded({"e": "ORDER_TRADE_UPDATE", "o": REPORT}),
    executions(2, ROW),
    encoded({"id": 1, "status": 200}),
)


@pytest.mark.parametrize("seed", range(20))
def test_broken_frames_are_malformed_and_end_nothing(seed: int) -> None:
    """Bytes changed, left out and put in, so that text is no text and numbers are no numbers."""
    draw = Random(seed)
    for _ in range(200):
        raw = bytearray(draw.choice(FRAMES))
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(raw))
            raw[at : at + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 2))
        for session in (
            SpotAccount("{}", {"BTCUSDT": "BTC/USDT"}),
            FuturesAccount({"BTCUSDT": "BTC/USDT:USDT"}),
            KrakenAccount("token", {"BTC/USD": "BTC/USD"}),
        ):
            session.on_frame(bytes(raw) or b"?")


def test_absurd_amounts_are_malformed() -> None:
    for amount in ("1e999999999", "-1e19", "Infinity"):
        assert isinstance(spot(REPORT | {"z": amount})[0], Malformed)
