"""Orders in batches and changes of orders, asked for by unmodified ccxt clients.

Each order of a batch has an answer of its own; a change of an order that has ended, or never was,
is refused and leaves all as it is.
"""

from __future__ import annotations

import json
from typing import Any

import ccxt
import pytest

from services.venuesim.app import Options
from tests.integration.venuesim_clients import SYMBOLS, client, simulation, within


@pytest.fixture
async def sim():
    async with simulation(Options(seed=5, more_venues=True)) as running:
        yield running


class Trader:
    """A client of one venue, and where its market is."""

    def __init__(self, exchange: Any, symbol: str, price: float) -> None:
        self.exchange, self.symbol, self.price = exchange, symbol, price

    def order(self, amount: float = 0.01, price: float = 0, **params: Any) -> dict[str, Any]:
        """Return an order to buy, far below the market, as ``create_orders`` takes it."""
        return {
            "symbol": self.symbol,
            "type": "limit",
            "side": "buy",
            "amount": amount,
            "price": price or self.price,
            "params": params,
        }

    async def rest(self, amount: float = 0.01) -> str:
        """Place an order that rests; return its id."""
        made = await self.exchange.create_order(self.symbol, "limit", "buy", amount, self.price)
        return str(made["id"])

    async def edit(self, order_id: str, amount: float | None, price: float | None) -> Any:
        edit = self.exchange.edit_order(order_id, self.symbol, "limit", "buy", amount, price)
        return await within(edit)

    async def working(self) -> dict[str, tuple[float, float]]:
        """Return id -> price and amount of the orders that work."""
        found = await within(self.exchange.fetch_open_orders(self.symbol))
        return {order["id"]: (order["price"], order["amount"]) for order in found}


def statuses(orders: list[dict[str, Any]]) -> list[str]:
    """Return what became of them; ccxt sorts orders by a time that a refused one lacks."""
    return sorted(str(order["status"]) for order in orders)


async def trader(exchange: Any, venue: str) -> Trader:
    symbol = SYMBOLS[venue]
    await exchange.load_markets()
    book = await within(exchange.fetch_order_book(symbol, 5))
    return Trader(exchange, symbol, float(round(book["bids"][0][0] * 0.9)))


async def test_usdm_answers_each_order_of_a_batch_by_itself(sim) -> None:
    async with client(sim[0], "binanceusdm") as exchange:
        me = await trader(exchange, "binanceusdm")
        made = await within(exchange.create_orders([me.order(), me.order(5_000), me.order()]))
        assert statuses(made) == ["open", "open", "rejected"]
        assert len(await me.working()) == 2
        with pytest.raises(ccxt.ExchangeError, match="-4082"):
            await within(exchange.create_orders([me.order()] * 6))
        some, other = await me.working()
        market = exchange.market(me.symbol)["id"]
        asked = {"symbol": market, "orderidlist": [some, "77", other]}
        told = await within(exchange.fapiPrivateDeleteBatchOrders(asked))
        assert [str(row.get("status", row.get("code"))) for row in told] == [
            "CANCELED",
            "-2011",
            "CANCELED",
        ]
        assert await me.working() == {}
        named = await within(exchange.create_orders([me.order(clientOrderId="mine")]))
        params = {"clientOrderIds": ["mine"]}
        (ended,) = await within(exchange.cancel_orders([], me.symbol, params))
        assert (ended["id"], ended["status"]) == (named[0]["id"], "canceled")


async def test_usdm_changes_an_open_limit_order_and_no_other(sim) -> None:
    async with client(sim[0], "binanceusdm") as exchange:
        me = await trader(exchange, "binanceusdm")
        one = await me.rest()
        changed = await me.edit(one, 0.02, me.price - 10)
        assert (changed["id"], changed["status"]) == (one, "open")
        assert await me.working() == {one: (me.price - 10, 0.02)}
        with pytest.raises(ccxt.ExchangeError, match="-5027"):
            await me.edit(one, 0.02, me.price - 10)
        with pytest.raises(ccxt.ExchangeError, match="-4014"):
            await within(
                exchange.fapiPrivatePutOrder(
                    {"symbol": "BTCUSDT", "orderId": one, "side": "BUY"}
                    | {"quantity": "0.02", "price": "100.001"}
                )
            )
        with pytest.raises(ccxt.OrderNotFound):
            await me.edit("77", 0.02, me.price)
        assert await me.working() == {one: (me.price - 10, 0.02)}
        filled = await me.edit(one, 0.02, me.price * 2)  # it reaches the market
        assert (filled["id"], filled["status"], filled["filled"]) == (one, "closed", 0.02)
        with pytest.raises(ccxt.OrderNotFound):
            await me.edit(one, 0.03, me.price)


async def test_usdm_cancels_a_post_only_order_that_would_take_at_its_new_price(sim) -> None:
    async with client(sim[0], "binanceusdm") as exchange:
        me = await trader(exchange, "binanceusdm")
        params = {"postOnly": True}
        made = await exchange.create_order(me.symbol, "limit", "buy", 0.01, me.price, params)
        assert (await me.edit(made["id"], 0.01, me.price * 2))["status"] == "canceled"
        many = [await me.rest(), await me.rest()]
        both = [{**me.order(0.03), "id": name} for name in (*many, "77")]
        changed = await within(exchange.edit_orders(both))
        assert statuses(changed) == ["open", "open", "rejected"]
        assert {amount for _, amount in (await me.working()).values()} == {0.03}


async def test_binance_replaces_an_order_by_another(sim) -> None:
    async with client(sim[0], "binance") as exchange:
        me = await trader(exchange, "binance")
        one = await me.rest()
        two = await me.edit(one, 0.02, me.price - 10)
        assert two["id"] != one
        assert await me.working() == {two["id"]: (me.price - 10, 0.02)}
        with pytest.raises(ccxt.ExchangeError, match="-2022"):
            await me.edit(one, 0.02, me.price)  # it is canceled already
        with pytest.raises(ccxt.ExchangeError, match="-1013"):
            await me.edit(two["id"], 0.00001, me.price)  # the filters come first
        assert list(await me.working()) == [two["id"]]
        with pytest.raises(ccxt.ExchangeError, match="-2021"):
            await me.edit(two["id"], 5_000, me.price)  # canceled, and no funds for the other
        assert await me.working() == {}
        anyway = {"cancelReplaceMode": "ALLOW_FAILURE"}
        edit = exchange.edit_order(one, me.symbol, "limit", "buy", 0.01, me.price, anyway)
        with pytest.raises(ccxt.ExchangeError, match="-2021") as told:
            await within(edit)
        assert '"newOrderResult":"SUCCESS"' in str(told.value)
        assert len(await me.working()) == 1


async def test_binance_makes_an_order_smaller_under_a_new_client_order_id(sim) -> None:
    async with client(sim[0], "binance") as exchange:
        me = await trader(exchange, "binance")
        params = {"clientOrderId": "mine"}
        one = await exchange.create_order(me.symbol, "limit", "buy", 0.02, me.price, params)

        async def amend(qty: str, **named: Any) -> Any:
            # ccxt has no method for it; it signs the request all the same.
            asked = {"symbol": "BTCUSDT", "newQty": qty, **named}
            return await within(
                exchange.request("order/amend/keepPriority", ["private"], "PUT", asked)
            )

        told = await amend("0.01", origClientOrderId="mine")
        assert told["amendedOrder"]["qty"] == "0.01000000"
        assert told["amendedOrder"]["origClientOrderId"] == "mine"
        assert told["amendedOrder"]["clientOrderId"] != "mine"
        assert await me.working() == {one["id"]: (me.price, 0.01)}
        for qty, why in (("0.03", "quantity increase"), ("0.01", "would change no state")):
            with pytest.raises(ccxt.ExchangeError, match=why):
                await amend(qty, orderId=one["id"])
        for name in ("mine", "never"):
            with pytest.raises(ccxt.OrderNotFound):
                await amend("0.005", origClientOrderId=name)


async def test_kraken_looks_at_a_batch_as_a_whole_and_places_each_order(sim) -> None:
    async with client(sim[0], "kraken") as exchange:
        me = await trader(exchange, "kraken")
        with pytest.raises(ccxt.ExchangeError):  # one is below the least quantity
            await within(exchange.create_orders([me.order(), me.order(0.00000001)]))
        with pytest.raises(ccxt.ExchangeError, match="orders"):
            await within(exchange.create_orders([me.order()]))
        assert await me.working() == {}
        with pytest.raises(ccxt.InsufficientFunds):  # so ccxt reads an answer with one refusal
            await within(exchange.create_orders([me.order(), me.order(5_000), me.order()]))
        ids = list(await me.working())
        assert len(ids) == 2
        (ended,) = await within(exchange.cancel_orders([*ids, "OQCLML-BW3P3-BUCMWZ"]))
        assert int(ended["info"]["result"]["count"]) == 2 and await me.working() == {}


async def test_kraken_amends_an_open_order_and_no_other(sim) -> None:
    async with client(sim[0], "kraken") as exchange:
        me = await trader(exchange, "kraken")
        one = await me.rest()
        await me.edit(one, 0.02, me.price - 10)
        assert await me.working() == {one: (me.price - 10, 0.02)}
        with pytest.raises(ccxt.InvalidOrder):
            await me.edit("OQCLML-BW3P3-BUCMWZ", 0.02, None)
        with pytest.raises(ccxt.ExchangeError, match="Post only"):
            params = {"postOnly": True}
            price = me.price * 2
            await exchange.edit_order(one, me.symbol, "limit", "buy", 0.02, price, params)
        with pytest.raises(ccxt.InsufficientFunds):
            await me.edit(one, 5_000, None)
        assert await me.working() == {one: (me.price - 10, 0.02)}
        await me.edit(one, None, me.price * 2)  # it reaches the market
        assert await me.working() == {}
        with pytest.raises(ccxt.InvalidOrder):
            await me.edit(one, 0.03, None)


async def test_bybit_tells_of_each_order_of_a_batch_beside_it(sim) -> None:
    async with client(sim[0], "bybit") as exchange:
        me = await trader(exchange, "bybit")
        made = await within(exchange.create_orders([me.order(), me.order(5_000), me.order()]))
        assert sorted(int(order["info"].get("code", 0)) for order in made) == [0, 0, 110007]
        ids = list(await me.working())
        assert len(ids) == 2
        changes = [{**me.order(0.02), "id": name} for name in (*ids, "77")]
        changed = await within(exchange.edit_orders(changes))
        assert sorted(int(order["info"].get("code", 0)) for order in changed) == [0, 0, 110001]
        assert {amount for _, amount in (await me.working()).values()} == {0.02}
        with pytest.raises(ccxt.BadRequest):
            await within(exchange.create_orders([me.order()] * 21))
        told = await within(
            exchange.privatePostV5OrderCancelBatch(
                {
                    "category": "linear",
                    "request": [{"symbol": "BTCUSDT", "orderId": name} for name in ("77", *ids)],
                }
            )
        )
        assert [int(row["code"]) for row in told["retExtInfo"]["list"]] == [110001, 0, 0]
        assert await me.working() == {}


async def test_bybit_amends_an_open_order_and_no_other(sim) -> None:
    async with client(sim[0], "bybit") as exchange:
        me = await trader(exchange, "bybit")
        one = await me.rest()
        assert (await me.edit(one, 0.02, me.price - 10))["id"] == one
        assert await me.working() == {one: (me.price - 10, 0.02)}
        with pytest.raises(ccxt.BadRequest, match="remains unchanged"):
            await me.edit(one, 0.02, me.price - 10)
        with pytest.raises(ccxt.OrderNotFound):
            await me.edit("77", 0.02, me.price)
        with pytest.raises(ccxt.InsufficientFunds):
            await me.edit(one, 5_000, None)
        assert await me.working() == {one: (me.price - 10, 0.02)}
        await me.edit(one, None, me.price * 2)  # it reaches the market
        assert await me.working() == {}
        with pytest.raises(ccxt.OrderNotFound):
            await me.edit(one, 0.03, None)


async def test_gate_answers_each_order_of_a_batch_by_itself(sim) -> None:
    async with client(sim[0], "gateio") as exchange:
        me = await trader(exchange, "gateio")
        made = await within(exchange.create_orders([me.order(), me.order(5_000), me.order()]))
        assert sorted(order["info"]["label"] for order in made) == ["", "", "BALANCE_NOT_ENOUGH"]
        ids = list(await me.working())
        assert len(ids) == 2
        market = exchange.market(me.symbol)["id"]
        parts = [{"order_id": name, "currency_pair": market, "amount": "0.02"} for name in ids]
        told = await within(
            exchange.request("amend_batch_orders", ["private", "spot"], "POST", parts)
        )
        assert [row["succeeded"] for row in told] == [True, True]
        assert {amount for _, amount in (await me.working()).values()} == {0.02}
        ended = await within(exchange.cancel_orders([*ids, "77"], me.symbol))
        assert sorted(order["info"]["label"] for order in ended) == ["", "", "ORDER_NOT_FOUND"]
        assert await me.working() == {}
        with pytest.raises(ccxt.ExchangeError, match="20"):
            await within(exchange.cancel_orders(["77"] * 21, me.symbol))


async def test_gate_amends_an_open_order_and_no_other(sim) -> None:
    async with client(sim[0], "gateio") as exchange:
        me = await trader(exchange, "gateio")
        one = await me.rest()
        changed = await me.edit(one, 0.02, me.price - 10)
        assert (changed["id"], changed["status"]) == (one, "open")
        assert await me.working() == {one: (me.price - 10, 0.02)}
        with pytest.raises(ccxt.OrderNotFound):
            await me.edit("77", 0.02, me.price)
        with pytest.raises(ccxt.InsufficientFunds):
            await me.edit(one, 5_000, None)
        assert await me.working() == {one: (me.price - 10, 0.02)}
        filled = await me.edit(one, None, me.price * 2)  # it reaches the market
        assert filled["status"] == "closed" and await me.working() == {}
        with pytest.raises(ccxt.ExchangeError, match="ORDER_CLOSED"):
            await me.edit(one, 0.03, None)


NESTED: Any = [["buy"], {"a": 1}, "\u00b2"]
"""What is JSON, and no name and no number."""


def plain_json(value: Any) -> str:
    """Return it without blanks: ccxt sends a list of ids as it is given."""
    return json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize("junk", NESTED)
async def test_what_is_no_plain_value_in_a_batch_is_refused_of_that_order(sim, junk: Any) -> None:
    async with client(sim[0], "binanceusdm") as exchange:
        asked = {"symbol": "BTCUSDT", "orderIdList": plain_json([junk, 77])}
        told = await within(exchange.fapiPrivateDeleteBatchOrders(asked))
        assert [int(row["code"]) for row in told] == [-1100, -2011]
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01"}
        for name, code in (("timeInForce", "-1115"), ("price", "-1100")):
            batch = {"timeInForce": "GTC", "price": "100", **order, name: junk}
            with pytest.raises(ccxt.BadRequest, match=code):
                await within(exchange.fapiPrivatePostBatchOrders({"batchOrders": [batch]}))
    async with client(sim[0], "kraken") as exchange:
        me = await trader(exchange, "kraken")
        pair = exchange.market(me.symbol)["id"]
        order = {"ordertype": "limit", "type": "buy", "volume": "1", "price": "100"}
        for name in ("type", "ordertype"):
            orders = [order, {**order, name: junk}]
            with pytest.raises(ccxt.ExchangeError, match=f":{name}"):
                await within(exchange.privatePostAddOrderBatch({"pair": pair, "orders": orders}))
