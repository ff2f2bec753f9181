"""Order entry at Binance spot through a ccxt client: what is peculiar, and what its errors mean.

Pure but for the calls on the client it is handed. ``newOrderRespType=FULL`` answers an IOC order
with its fills and fees, so one request is usually enough.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.errors import Cause, Rejected, Scope, Unavailable, VenueError
from shared.messages.balances import Balance
from shared.messages.terms import TimeInForce
from shared.venues.binance import order_errors
from shared.venues.binance.key_rights import read_key_rights
from shared.venues.binance.order_errors import error_code
from shared.venues.order_port import (
    NO_REDUCE_ONLY,
    NO_SWITCH,
    RateLimitedRead,
    never_forced,
    no_cancel_all_after,
    no_funding,
    no_positions,
)
from shared.venues.refusals import MAY_EXIST, NOT_ACTED_SERVICE, ErrorMeaning
from shared.venues.together import ask_each

WEIGHT_PER_S = 50.0
"""Half of 6000 per minute; the rest is left to market data."""
WEIGHT_BURST = 300.0
WEIGHT_RESERVE = 150.0
WEIGHTS = {
    "submit": 1.0,
    "query": 4.0,
    "lookup": 4.0,
    "executions": 5.0,
    "cancel": 1.0,
    "cancel_all": 1.0,
    "open": 80.0,
    "fills": 20.0,
    "balances": 20.0,
    "book": 5.0,
    "markets": 20.0,
    "clock": 1.0,
    "account": 20.0,
    "key": 1.0,
    "stream": 1.0,
    "test": 1.0,
}
IS_ORDERED = False
"""Requests may overtake each other."""
FILLS_TOGETHER = False
"""Executions are asked for one instrument at a time."""
TIMES_IN_FORCE = frozenset(TimeInForce)
"""That the venue documents for LIMIT orders."""
VALIDITY_MS = 2_000
"""An order that arrives later than this after it was signed is refused (-1021)."""
FILLS_PAGE = 1_000
"""Executions in one answer, at most."""
FILLS_PAGES_MAX = 100
LENT_PREFIX = "LD"
FILLS_SPAN_MS = 24 * 3_600_000
"""How far start and end of one request may be apart."""


def prepare(client: Any) -> None:
    """Nothing to set up."""
    del client


def order_params(client_order_id: str) -> dict[str, Any]:
    """Return what ccxt's ``create_order`` needs beside the usual for a limit order."""
    return {
        "newClientOrderId": client_order_id,
        "recvWindow": VALIDITY_MS,
    }


SPOT: Mapping[int, ErrorMeaning] = {
    -1004: NOT_ACTED_SERVICE,  # "server is busy, please wait and try again"
    -2021: MAY_EXIST,  # cancel-replace done in part: the new order may be there
}


def meaning(kind: str, text: str, status: int) -> ErrorMeaning:
    """Return what an error means: ccxt class, the venue's answer, HTTP status."""
    return order_errors.meaning(kind, text, status, SPOT)


def classify(kind: str, text: str, status: int = 0) -> type[VenueError]:
    """Return what became of a request that was answered with an error."""
    return meaning(kind, text, status).outcome


def is_not_found(text: str) -> bool:
    """Tell whether the venue says that it has no such order."""
    return error_code(text) == -2013


async def measure_clock(client: Any) -> int:
    """Let requests carry the venue's time; return by how many ms ours is ahead of it."""
    return int(await client.load_time_difference())


async def check_account(client: Any, read: RateLimitedRead) -> None:
    """Check that the account may trade, and that the key may place orders.

    Raises:
        Rejected: It may not.
    """
    check_may_trade(await read("account", client.privateGetAccount()))
    await check_key(client, read, client.privatePostOrderTest)


def check_may_trade(account: Mapping[str, Any]) -> None:
    """Refuse an account that the venue does not let trade.

    Raises:
        Rejected: It may not.
    """
    if account.get("canTrade") is False:
        raise Rejected("the account may not trade (canTrade is false)", cause=Cause.ACCOUNT)


async def check_key(
    client: Any, read: RateLimitedRead, test: Callable[[Any], Awaitable[Any]]
) -> None:
    """Send an order of the least size to where orders are only tested.

    A refusal of this order as such (a filter, a price) shows that the key may place orders.
    """
    market = next((m for m in client.markets.values() if m.get("active")), None)
    if market is None:
        return
    filters = {f["filterType"]: f for f in market["info"].get("filters") or ()}
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    order = {
        "symbol": market["id"],
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": lot.get("minQty", "1"),
        "price": price.get("minPrice", "1"),
        "recvWindow": VALIDITY_MS,
    }
    try:
        await read("test", test(order))
    except Rejected as error:
        if error.scope is Scope.VENUE:
            raise


async def find(
    client: Any, read: RateLimitedRead, instrument: str, client_order_id: str, venue_order_id: str
) -> dict[str, Any] | None:
    """Return the ccxt order; ``None`` or a not-found error if there is none."""
    params = {} if venue_order_id else {"origClientOrderId": client_order_id}
    what = "query" if venue_order_id else "lookup"
    order: dict[str, Any] = await read(
        what, client.fetch_order(venue_order_id or None, instrument, params)
    )
    return order


def fills_in(client: Any, order: dict[str, Any], instrument: str) -> list[dict[str, Any]]:
    """Return the executions that the reply to an order carries (FULL), as ccxt trades.

    Their ids, ``tradeId``, are those of ``myTrades``; the side is the order's.
    """
    market, side = client.market(instrument), order["side"]
    return [
        {**client.parse_trade(fill, market), "side": side, "timestamp": order["timestamp"]}
        for fill in order["info"].get("fills") or []
    ]


async def fills_of(
    client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the executions of one order as ccxt trades."""
    return await order_fills(client, read, instrument, order, FILLS_SPAN_MS)


async def order_fills(
    client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any], span_ms: int
) -> list[dict[str, Any]]:
    """Read the executions of one order, all pages."""
    trades: list[dict[str, Any]] = await read(
        "executions",
        client.fetch_my_trades(instrument, None, FILLS_PAGE, {"orderId": order["id"]}),
    )
    if len(trades) < FILLS_PAGE:
        return trades
    # A full page may be the newest part only: read everything since the order was made.
    since_ms = int(order["timestamp"]) - 1_000
    everything = await all_fills(client, read, [instrument], since_ms, span_ms)
    return [trade for trade in everything if trade["order"] == order["id"]]


async def fills_since(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> list[dict[str, Any]]:
    """Return the account's executions in one instrument since ``since_ms``."""
    return await all_fills(client, read, instruments, since_ms, FILLS_SPAN_MS)


async def all_fills(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int, span_ms: int
) -> list[dict[str, Any]]:
    """Read executions span after span; after a full page on by id, up to now.

    Raises:
        Unavailable: There are more than ``FILLS_PAGES_MAX`` pages.
    """
    (instrument,) = instruments
    found: dict[tuple[str, str], dict[str, Any]] = {}  # by trade and side: both may be ours
    newest = None
    for _ in range(FILLS_PAGES_MAX):
        if newest is None:
            until_ms = since_ms + span_ms - 1
            request = client.fetch_my_trades(
                instrument, since_ms, FILLS_PAGE, {"endTime": until_ms}
            )
        else:
            params = {"fromId": newest}  # its other side may be on the next page
            request = client.fetch_my_trades(instrument, None, FILLS_PAGE, params)
        page = await read("fills", request)
        found |= {(trade["id"], trade["side"]): trade for trade in page}
        if len(page) >= FILLS_PAGE:
            newest = max(int(trade["id"]) for trade in page)
        elif newest is not None or until_ms >= client.nonce():
            return list(found.values())
        else:
            since_ms = until_ms + 1
    raise Unavailable(
        f"{instrument}: not all executions are read after {FILLS_PAGES_MAX} pages",
        cause=Cause.SERVICE,
    )


async def cancel(client: Any, instrument: str, client_order_id: str, venue_order_id: str) -> None:
    """Cancel one order."""
    params = {} if venue_order_id else {"origClientOrderId": client_order_id}
    await client.cancel_order(venue_order_id or None, instrument, params)


async def cancel_all(client: Any, read: RateLimitedRead, instruments: Sequence[str]) -> None:
    """Cancel all orders of each symbol; the venue has no request for all symbols."""
    requests = [client.cancel_all_orders(instrument) for instrument in instruments]
    await ask_each(read, "cancel_all", requests, is_canceled)


async def balances(client: Any, read: RateLimitedRead) -> dict[str, Balance]:
    """Return free and locked amounts of every asset.

    ``LDBTC`` is a claim on BTC lent out, which no order can use; ``LDO`` is a coin.
    """
    account = await read("balances", client.privateGetAccount())
    names: dict[str, str] = {}
    for market in client.markets.values():
        names[market["baseId"]], names[market["quoteId"]] = market["base"], market["quote"]
    found = {}
    for row in account["balances"]:
        asset_id = row["asset"]
        is_claim = asset_id not in names and asset_id.removeprefix(LENT_PREFIX) in names
        if not is_claim:
            asset = names.get(asset_id) or client.safe_currency_code(asset_id)
            found[asset] = Balance(free=Decimal(row["free"]), used=Decimal(row["locked"]))
    return found


positions = no_positions
funding_since = no_funding
REDUCE_ONLY = NO_REDUCE_ONLY
forced_by = never_forced
key_rights = read_key_rights
NO_DEAD_MAN = NO_SWITCH
NO_CANCEL_ALL = ""
cancel_all_after = no_cancel_all_after


def is_canceled(text: str) -> bool:
    """Tell whether a failed cancel means that the order no longer rests (-2011)."""
    return error_code(text) in {-2011, -2013}
