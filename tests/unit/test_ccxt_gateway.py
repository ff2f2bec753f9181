"""What a venue account asks for first when there is little left to ask with."""

from __future__ import annotations

import asyncio
from decimal import Decimal, getcontext, localcontext
from itertools import product
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from ccxt.base.decimal_to_precision import decimal_to_precision

from services.executor.working_orders import NOT_FOUND_AFTER_SENT_NS
from shared.accounts import ccxt_requests
from shared.accounts.ccxt_gateway import CcxtGateway, make_client, plain
from shared.accounts.gateway import OrderKey, OrderRequest
from shared.accounts.venue_capabilities import load_quirks
from shared.config import Secret
from shared.errors import Cause, Rejected, Unavailable
from shared.messages.terms import OrderType, TimeInForce
from shared.venues.gateio import orders
from shared.venues.registry import TRADED
from tests.decision_builders import make_terms

SECOND = 1_000_000_000


class Client:
    """Answers at once, with nothing."""

    markets: ClassVar[dict[str, Any]] = {}
    currencies: ClassVar[dict[str, Any]] = {}
    options: ClassVar[dict[str, Any]] = {}

    async def privatePostGetApiKeyInfo(self) -> dict[str, Any]:
        return {"result": {"permissions": [], "ipAllowlist": []}}

    async def fetch(self) -> None:
        raise AssertionError("never called")

    def handle_errors(self) -> None:
        raise AssertionError("never called")

    async def load_markets(self) -> dict[str, Any]:
        return {}

    def nonce(self) -> int:
        return 1

    def sign(self, *_: Any) -> dict[str, Any]:
        raise AssertionError("never called")

    def milliseconds(self) -> int:
        return 1

    async def fetch_time(self) -> int:
        return 1

    async def privatePostBalanceEx(self) -> dict[str, Any]:
        return {"result": {}}

    async def create_order(self, *_: Any) -> None:
        raise AssertionError("never called")

    async def fetch_open_orders(self) -> list[Any]:
        return []

    async def privatePostTradesHistory(self, _: Any) -> dict[str, Any]:
        return {"result": {"trades": {}, "count": 0}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes by sleeping only."""
    clock = SimpleNamespace(ns=0, monotonic_ns=lambda: clock.ns)

    async def sleep(seconds: float) -> None:
        clock.ns += int(seconds * SECOND) + 1

    waiting = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    monkeypatch.setattr(ccxt_requests, "asyncio", waiting)
    return clock


async def test_what_recovery_waits_for_does_not_wait_for_the_reserve(clock) -> None:
    quirks = load_quirks("kraken")
    gateway = CcxtGateway("kraken", Client(), quirks, clock)
    await gateway.start()
    gateway._requests._bucket.drain(
        clock.ns
    )  # as after a refusal: the process before used the counter up
    await gateway.open_orders([])
    await gateway.fills_since([], 0)
    await gateway.balances()
    weights = sum(quirks.WEIGHTS[what] for what in ("open", "fills", "balances"))
    assert clock.ns / SECOND == pytest.approx(weights / quirks.WEIGHT_PER_S, abs=0.01)
    # From then on they leave the reserve to orders.
    await gateway.open_orders([])
    waited = (weights + quirks.WEIGHT_RESERVE + 1) / quirks.WEIGHT_PER_S
    assert clock.ns / SECOND == pytest.approx(waited, abs=0.01)


class ClientOfOrders(Client):
    """Lists one order among the closed ones, and another one among those that work."""

    def market(self, symbol: str) -> str:
        return symbol

    def parse_order(self, row: dict[str, Any], market: str) -> dict[str, Any]:
        return row

    async def privatePostClosedOrders(self, _: Any) -> dict[str, Any]:
        return {"result": {"closed": {"O1": {"cl_ord_id": "abclosed"}}, "count": 1}}

    async def privatePostOpenOrders(self, _: Any) -> dict[str, Any]:
        return {"result": {"open": {"O2": {"cl_ord_id": "abworks"}}}}


@pytest.mark.parametrize(
    "client_order_id, txid, weight", [("abclosed", "O1", 2), ("abworks", "O2", 3), ("ab1", None, 3)]
)
async def test_an_order_in_doubt_is_looked_for_with_the_reserve(
    clock, client_order_id: str, txid: str | None, weight: int
) -> None:
    quirks, client = load_quirks("kraken"), ClientOfOrders()
    requests = CcxtGateway("kraken", client, quirks, clock)._requests
    for what in ("open", "fills", "balances"):
        requests.note_known(what)
    requests._bucket.drain(clock.ns)
    found = await quirks.find(client, requests.ask, "BTC/USDT", client_order_id, "")
    assert (found["id"] if found else None) == txid
    assert clock.ns / SECOND == pytest.approx(weight / quirks.WEIGHT_PER_S, abs=0.01)


class ClientOfFilledOrders(Client):
    """Knows every order, each filled by one execution, and counts calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def market(self, symbol: str) -> str:
        return symbol

    def parse_order(self, row: dict[str, Any], market: str) -> dict[str, Any]:
        order = {"filled": "1", "amount": "1", "status": "closed", "side": "buy"}
        return {**order, "id": row["id"], "info": row}

    def parse_trade(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"id": row["id"], "side": "buy", "price": "1", "amount": "1"}

    async def privatePostQueryOrders(self, params: dict[str, str]) -> dict[str, Any]:
        self.calls.append("QueryOrders")
        return {"result": {name: {"trades": [f"T{name}"]} for name in params["txid"].split(",")}}

    async def privatePostQueryTrades(self, params: dict[str, str]) -> dict[str, Any]:
        self.calls.append("QueryTrades")
        return {"result": {name: {} for name in params["txid"].split(",")}}


async def test_many_orders_become_known_for_few_calls() -> None:
    """One by one, two calls for each, 40 orders took 89 s: each was given up long before."""
    clock = SimpleNamespace(ns=0, monotonic_ns=lambda: clock.ns)
    client = ClientOfFilledOrders()
    gateway = CcxtGateway("kraken", client, load_quirks("kraken"), clock)
    keys = [
        OrderKey(venue="kraken", instrument="ETH/BTC", venue_order_id=f"O{n}") for n in range(40)
    ]
    reports = await asyncio.gather(*(gateway.query(key) for key in keys))
    for key, report in zip(keys, reports, strict=True):
        assert report is not None
        assert report.venue_order_id == key.venue_order_id
        assert [fill.trade_id for fill in report.fills] == [f"T{key.venue_order_id}"]
    assert client.calls == ["QueryOrders", "QueryTrades", "QueryTrades"]


class Sent(Exception):
    """The arguments of ``create_order``."""


class ClientThatSends(Client):
    async def create_order(self, *arguments: Any) -> None:
        raise Sent(*arguments)

    def parse_order(self, *_: Any) -> dict[str, Any]:
        raise AssertionError("never called")


@pytest.mark.parametrize("adapter", TRADED)
async def test_the_request_says_what_the_order_says(clock, adapter: str) -> None:
    gateway = CcxtGateway(adapter, ClientThatSends(), load_quirks(adapter), clock)
    assert TimeInForce.IOC in load_quirks(adapter).TIMES_IN_FORCE
    for order_type, time_in_force in product(OrderType, TimeInForce):
        order = order_of(order_type=order_type, time_in_force=time_in_force)
        can = time_in_force in load_quirks(adapter).TIMES_IN_FORCE
        if order_type is OrderType.LIMIT and can:
            with pytest.raises(Sent) as sent:
                await gateway.submit(order)
            instrument, kind, side, qty, price, params = sent.value.args
            assert (instrument, kind, side, qty, price) == ("BTC/USDT", "limit", "buy", "1", "100")
            if time_in_force is TimeInForce.PO:
                assert params["postOnly"] is True
                assert "timeInForce" not in params
            else:
                assert params["timeInForce"] == time_in_force
        else:
            with pytest.raises(Unavailable, match=f"not sent, {order_type} {time_in_force} orders"):
                await gateway.submit(order)


def order_of(qty: str = "1", price: str = "100", **changes: Any) -> OrderRequest:
    values = {"venue": "kraken", "qty": Decimal(qty), "price_limit": Decimal(price), **changes}
    terms = make_terms(**values)
    return OrderRequest(client_order_id="ab1", terms=terms)


async def test_a_client_rounds_nobody_elses_money(clock) -> None:
    class Rounding(Client):
        async def fetch_open_orders(self) -> list[Any]:
            decimal_to_precision("1.2345", 1, 2)  # as ccxt does with what it parses
            return []

    before = repr(getcontext())
    await CcxtGateway("kraken", Rounding(), load_quirks("kraken"), clock).open_orders([])
    assert repr(getcontext()) == before
    with localcontext() as changed:
        decimal_to_precision("1.2345", 1, 2)
    assert repr(changed) != before, "else this test proves nothing"


@pytest.mark.parametrize("error", [AssertionError("x"), KeyError("x"), TypeError()])
async def test_what_breaks_before_a_request_leaves_is_a_no(clock, error) -> None:
    class Broken(Client):
        async def create_order(self, *_: Any) -> None:
            raise error

    gateway = CcxtGateway("kraken", Broken(), load_quirks("kraken"), clock)
    with pytest.raises(Rejected, match="before it was sent"):
        await gateway.submit(order_of())


@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "kraken"])
def test_a_client_sends_numbers_as_they_are(venue: str) -> None:
    client = make_client(venue, {}, Secret("k"), Secret("s"), 1_000)
    assert client.price_to_precision("NOT/LISTED", "0.00012300") == "0.00012300"
    assert client.amount_to_precision("NOT/LISTED", "1234567.5") == "1234567.5"


def test_an_order_at_gate_expires_before_no_such_order_counts() -> None:
    """The venue itself takes what was signed up to a minute ago."""
    client = make_client("gate", {"timeDifference": 500}, Secret("k"), Secret("s"), 1_000)
    client.milliseconds = lambda: 1_700_000_000_500
    orders.prepare(client)
    spot = ["private", "spot"]
    headers = client.sign("orders", spot, "POST", {"text": "t-ab1"})["headers"]
    assert headers["X-Gate-Exptime"] == str(1_700_000_000_000 + orders.VALIDITY_MS)
    assert orders.VALIDITY_MS * 1_000_000 < NOT_FOUND_AFTER_SENT_NS
    for method, path in (("GET", "orders"), ("DELETE", "orders/{order_id}")):
        asked = client.sign(path, spot, method, {"order_id": "1"})
        assert "X-Gate-Exptime" not in asked["headers"]


@pytest.mark.parametrize(
    "value, text", [("1E+2", "100"), ("0.10000000", "0.1"), ("1E-8", "0.00000001"), ("5", "5")]
)
def test_numbers_are_written_without_exponents(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


async def test_an_order_that_cannot_be_sent_soon_is_not_sent(clock) -> None:
    quirks = load_quirks("kraken")
    gateway = CcxtGateway("kraken", Client(), quirks, clock)
    await gateway._requests._turn.acquire()  # somebody else's turn does not end
    with pytest.raises(Unavailable, match="not sent") as refused:
        await gateway.submit(order_of())
    assert refused.value.cause is Cause.RATE
