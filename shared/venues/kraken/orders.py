"""Order entry at Kraken spot through a ccxt client: what is peculiar, and what its errors mean.

Pure but for the calls on the client it is handed. ``AddOrder`` answers only with the order's txid;
status and executions come from ``QueryOrders`` and ``QueryTrades``. ccxt's ``fetch_order`` looks up
``userref``, not ``cl_ord_id``, so orders are looked up in ``OpenOrders`` and ``ClosedOrders``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from shared.errors import Cause, Rejected, Scope, Unavailable, VenueError
from shared.messages.balances import Balance
from shared.messages.terms import TimeInForce
from shared.venues.kraken.key_rights import read_key_rights
from shared.venues.kraken.order_errors import is_unknown_order, meaning
from shared.venues.order_port import (
    NO_REDUCE_ONLY,
    RateLimitedRead,
    never_forced,
    no_funding,
    no_positions,
)
from shared.venues.together import AskedTogether

WEIGHT_PER_S = 0.9
"""The private counter decays by 0.33 to 1 per second with the account's tier;
where it is slower, the venue refuses, and the bucket is emptied."""
WEIGHT_BURST = 15.0
WEIGHT_RESERVE = 9.0
WEIGHTS = {
    "submit": 0.0,
    "query": 1.0,
    "lookup": 2.0,
    "executions": 1.0,
    "cancel": 0.0,
    "cancel_all": 1.0,
    "dead_man": 1.0,
    "open": 1.0,
    "fills": 2.0,
    "balances": 1.0,
    "book": 0.0,
    "markets": 0.0,
    "clock": 0.0,
    "stream": 0.0,
    "test": 0.0,
    "key": 1.0,
}
"""AddOrder and CancelOrder have a counter of their own (per pair, 60 and more)."""
FILLS_PAGES_MAX = 100
"""Of 50 executions each."""
LOOKUP_PAGES_MAX = 5
"""Closed orders are asked for by the client's id: one page where the venue filters by it."""
ORDER_IDS_MAX = 50
"""Orders that may be asked for by txid at a time; the call counter counts one call."""
TRADE_IDS_MAX = 20
"""Executions that may be asked for by id at a time."""
REWARDS_SUFFIX = ".F"
IS_ORDERED = True
"""Nonces must rise as they arrive, so requests must not overtake each other."""
FILLS_TOGETHER = True
"""Executions of all instruments come in one reply."""


TIMES_IN_FORCE = frozenset({TimeInForce.GTC, TimeInForce.PO, TimeInForce.IOC})
"""That the venue documents for LIMIT orders."""


def order_params(client_order_id: str) -> dict[str, Any]:
    """Return what ccxt's ``create_order`` needs beside the usual for a limit order."""
    return {"clientOrderId": client_order_id}


def classify(kind: str, text: str, status: int = 0) -> type[VenueError]:
    """Return what became of a request that was answered with an error."""
    return meaning(kind, text, status).outcome


def is_not_found(text: str) -> bool:
    """Tell whether the venue says that it has no such order."""
    return is_unknown_order(text)


def is_canceled(text: str) -> bool:
    """Tell whether a failed cancel means that the order no longer rests."""
    return is_unknown_order(text)


def prepare(client: Any) -> None:
    """Make nonces rise whatever the clock does: the venue refuses one that does not.

    Orders and executions that wait for the call counter are asked for together: one by one, two
    calls for every order, no more than one order in two seconds would become known.
    """
    milliseconds = client.nonce
    last = 0

    def rising() -> int:
        nonlocal last
        last = max(last + 1, int(milliseconds()))
        return last

    async def orders(ids: Sequence[str]) -> dict[str, Any]:
        params = {"txid": ",".join(ids), "trades": "true"}
        found: dict[str, Any] = (await client.privatePostQueryOrders(params))["result"]
        return found

    async def trades(ids: Sequence[str]) -> dict[str, Any]:
        params = {"txid": ",".join(ids)}
        found: dict[str, Any] = (await client.privatePostQueryTrades(params))["result"]
        return found

    client.nonce = rising
    client.orders_by_id = AskedTogether("query", orders, ORDER_IDS_MAX)
    client.trades_by_id = AskedTogether("executions", trades, TRADE_IDS_MAX)


async def measure_clock(client: Any) -> int:
    """Let nonces be no lower than the venue's time; return by how many ms our clock is ahead.

    The venue compares a nonce only with the one before. Ours are never lowered: what was sent
    with a higher one is in the way of all lower ones.
    """
    server_ms = int(await client.fetch_time())
    ahead_ms = int(client.milliseconds()) - server_ms
    client.options["timeDifference"] = min(ahead_ms, 0)
    return ahead_ms


async def check_account(client: Any, read: RateLimitedRead) -> None:
    """Check that the key may place orders: one of the least size, only to be validated.

    A refusal of this order as such (its price, the balance) shows that it may.

    Raises:
        Rejected: It may not.
    """
    market = next((m for m in client.markets.values() if m.get("active")), None)
    if market is None:
        return
    order = {
        "pair": market["id"],
        "type": "buy",
        "ordertype": "limit",
        "volume": market["info"].get("ordermin", "1"),
        "price": market["info"].get("tick_size", "1"),
        "timeinforce": "IOC",
        "validate": "true",
    }
    try:
        await read("test", client.privatePostAddOrder(order))
    except Rejected as error:
        if error.scope is Scope.VENUE:
            raise


async def find(
    client: Any, read: RateLimitedRead, instrument: str, client_order_id: str, venue_order_id: str
) -> dict[str, Any] | None:
    """Return the ccxt order, ``None`` if the venue lists none under these ids.

    By the client's id, closed orders come first: that is where an IOC order nearly always is, and
    it is found with one question. One that closes between the two is missed, so "none" counts only
    when said repeatedly. Neither question waits for the reserve: it is kept for orders in doubt.
    """

    def parsed(txid: str, raw: dict[str, Any]) -> dict[str, Any]:
        order: dict[str, Any] = client.parse_order({**raw, "id": txid}, client.market(instrument))
        return order

    if venue_order_id:
        found = await client.orders_by_id.answer_for(read, [venue_order_id])
        return parsed(venue_order_id, found[venue_order_id]) if venue_order_id in found else None
    params = {"cl_ord_id": client_order_id, "trades": "true"}
    closed = await _pages(
        read, "lookup", client.privatePostClosedOrders, params, ("closed", LOOKUP_PAGES_MAX)
    )
    if found := _order_of(closed, client_order_id):
        return parsed(*found)
    working = (await read("query", client.privatePostOpenOrders(params)))["result"]["open"]
    found = _order_of(working, client_order_id)
    return parsed(*found) if found else None


def _order_of(
    rows: dict[str, dict[str, Any]], client_order_id: str
) -> tuple[str, dict[str, Any]] | None:
    """Return the txid and the row of the order with this client order id."""
    named = ((txid, row) for txid, row in rows.items() if row.get("cl_ord_id") == client_order_id)
    return next(named, None)


async def _pages(
    read: RateLimitedRead,
    what: str,
    ask: Callable[[Any], Any],
    params: dict[str, Any],
    bound: tuple[str, int],
) -> dict[str, dict[str, Any]]:
    """Read rows page by page, newest first; one that moves on meanwhile just comes twice.

    Args:
        read: Makes a request.
        what: Its kind.
        ask: The endpoint.
        params: Its parameters but ``ofs``.
        bound: The name of the rows in the answer, and the most pages to read.

    Raises:
        Unavailable: There are more pages.
    """
    name, pages_max = bound
    rows: dict[str, dict[str, Any]] = {}
    offset = 0
    for _ in range(pages_max):
        result = (await read(what, ask({**params, "ofs": offset})))["result"]
        page = result[name]
        rows |= page
        offset += len(page)
        if not page or offset >= int(result["count"]):
            return rows
    raise Unavailable(f"not all of {name} is read after {pages_max} pages", cause=Cause.SERVICE)


def fills_in(client: Any, order: dict[str, Any], instrument: str) -> list[dict[str, Any]]:
    """The reply to an order carries no executions."""
    del client, order, instrument
    return []


async def fills_of(
    client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the executions of one order as ccxt trades."""
    del instrument
    ids = order["info"].get("trades") or []
    trades: list[dict[str, Any]] = []
    for start in range(0, len(ids), TRADE_IDS_MAX):
        asked = ids[start : start + TRADE_IDS_MAX]
        rows = await client.trades_by_id.answer_for(read, asked)
        trades += _parsed_trades(client, {name: rows[name] for name in asked if name in rows})
    return trades


async def fills_since(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> list[dict[str, Any]]:
    """Return the account's executions in these instruments since ``since_ms``."""
    params = {"start": max(0, since_ms // 1_000 - 1)}  # in seconds, exclusive
    rows = await _pages(
        read, "fills", client.privatePostTradesHistory, params, ("trades", FILLS_PAGES_MAX)
    )
    trades = _parsed_trades(client, rows)
    return [trade for trade in trades if trade["symbol"] in instruments]


def _parsed_trades(client: Any, rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [client.parse_trade({**row, "id": trade_id}) for trade_id, row in rows.items()]


async def cancel(client: Any, instrument: str, client_order_id: str, venue_order_id: str) -> None:
    """Cancel one order."""
    params = {} if venue_order_id else {"clientOrderId": client_order_id}
    await client.cancel_order(venue_order_id, instrument, params)


async def cancel_all_after(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], after_s: int
) -> None:
    """Let all open orders of the account be canceled in so many seconds; 0: not any more.

    It fires once, and is off then. The venue advises 60 s, told again every 15 to 30 s.
    """
    del instruments  # it is of the whole account
    await read("dead_man", client.cancel_all_orders_after(after_s * 1_000))


async def cancel_all(client: Any, read: RateLimitedRead, instruments: Sequence[str]) -> None:
    """Cancel all open orders of the account, in whatever pair."""
    del instruments
    await read("cancel_all", client.privatePostCancelAll())


async def balances(client: Any, read: RateLimitedRead) -> dict[str, Balance]:
    """Return what orders may use and what they hold, of every asset.

    ``XBT.F`` earns rewards and is spent like ``XXBT``: both are BTC. Other suffixes (``.S`` ``.M``
    ``.B``) are bonded or opted in, and no order can use them. A line of credit is not counted: it
    is borrowed.
    """
    told = (await read("balances", client.privatePostBalanceEx()))["result"]
    names = _asset_names(client)
    found: dict[str, Balance] = {}
    for asset_id, row in told.items():
        spent_as = asset_id.removesuffix(REWARDS_SUFFIX)
        if "." in spent_as and asset_id not in names:
            continue
        asset = names.get(asset_id) or names.get(spent_as) or client.safe_currency_code(spent_as)
        used = Decimal(row.get("hold_trade") or 0)
        free = Decimal(row["balance"]) - used
        before = found.get(asset, Balance(free=Decimal(0), used=Decimal(0)))
        found[asset] = Balance(free=before.free + free, used=before.used + used)
    return found


def _asset_names(client: Any) -> dict[str, str]:
    """Return the venue's ids and short names of the assets of its markets -> our names."""
    names: dict[str, str] = {}
    for market in client.markets.values():
        names[market["baseId"]], names[market["quoteId"]] = market["base"], market["quote"]
    for currency in client.currencies.values():
        short = currency["info"].get("altname")
        if short and currency["id"] in names:
            names.setdefault(short, names[currency["id"]])
    return names


positions = no_positions
funding_since = no_funding
REDUCE_ONLY = NO_REDUCE_ONLY
forced_by = never_forced
key_rights = read_key_rights
NO_DEAD_MAN = ""
NO_CANCEL_ALL = ""
